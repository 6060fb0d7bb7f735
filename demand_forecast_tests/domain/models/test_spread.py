"""The spread around a mean: learned where outcomes were not seen, and calibrated by what they say."""

import numpy as np
import pytest
from scipy.stats import nbinom

from demand_forecast.domain.models.distribution import Dispersion
from demand_forecast.domain.models.spread import GRID, KINDS, Irregularity, KindSpread, Spread, fit_spread
from demand_forecast.domain.tables import QUANTILE_LEVELS

ROWS = 12_000


def regular(rows: int, kind: int = 0) -> Irregularity:
    return Irregularity(np.full(rows, np.nan), np.full(rows, kind))


def calibration_error(spread: Spread, mean: np.ndarray, about: Irregularity, units: np.ndarray) -> float:
    """The largest gap between the share of outcomes below a quantile, of counts spread evenly, and its level."""
    low, high = spread.probabilities(mean, about, units)
    width = np.maximum(high - low, 1e-12)
    return max(abs(np.clip((level - low) / width, 0, 1).mean() - level) for level in QUANTILE_LEVELS)


def fast(rng: np.random.Generator, rows: int = ROWS, *, whole: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Means of a fast seller and what was sold: log-normal around them, as no law of ours is, off by 15%."""
    mean = rng.uniform(20, 200, rows)
    units = mean * np.exp(rng.normal(-(0.4**2) / 2, 0.4, rows))
    return mean, np.round(units) if whole else units


@pytest.mark.parametrize("whole", [True, False])
def test_outcomes_of_another_law_are_calibrated_on_those_that_were_not_learned_from(whole: bool) -> None:
    mean, units = fast(np.random.default_rng(1), whole=whole)
    learned, judged = slice(0, ROWS // 2), slice(ROWS // 2, None)
    origin = np.arange(ROWS // 2) % 3
    spread = fit_spread(mean[learned], units[learned], regular(ROWS // 2), origin)
    plain = Spread.everywhere(spread.kinds[0].dispersion)
    errors = [calibration_error(one, mean[judged], regular(ROWS // 2), units[judged]) for one in (plain, spread)]
    assert errors[0] > 0.02
    assert errors[1] < errors[0] / 2
    assert errors[1] < 0.015


def test_a_calibrated_quantile_is_the_one_that_so_many_outcomes_are_below() -> None:
    mean, units = fast(np.random.default_rng(2), whole=False)
    spread = fit_spread(mean, units, regular(ROWS), np.arange(ROWS) % 5)
    quantiles = spread.quantiles(mean, regular(ROWS))
    assert (np.diff(quantiles, axis=1) >= 0).all()
    below = (units[:, None] <= quantiles).mean(axis=0)
    assert below == pytest.approx(QUANTILE_LEVELS, abs=0.015)


def test_each_kind_has_its_own_spread_and_a_rare_one_that_of_all() -> None:
    rng = np.random.default_rng(3)
    kind = np.repeat([0, 2, 3], [6000, 6000, 20])
    mean = np.full(len(kind), 5.0)
    ratio = np.array([1.2, 1.0, 6.0, 1.0])[kind]
    units = nbinom(mean / (ratio - 1 + 1e-3), 1 / (ratio + 1e-3)).rvs(random_state=rng).astype(float)
    about = Irregularity(np.full(len(kind), np.nan), kind)
    spread = fit_spread(mean, units, about, np.zeros(len(kind)))
    variance = spread.variance(np.full(4, 5.0), Irregularity(np.full(4, np.nan), np.arange(4)))
    assert variance[[0, 2]] == pytest.approx([6, 30], rel=0.1)
    assert variance[1] == variance[3]
    assert 6 < variance[3] < 30
    assert len(spread.kinds) == len(KINDS)


def test_few_outcomes_hardly_move_the_law() -> None:
    mean, units = fast(np.random.default_rng(4), 40)
    spread = fit_spread(mean, units, regular(40), np.zeros(40))
    assert np.abs(np.array(spread.kinds[0].below) - GRID).max() < 0.03


def test_of_forecasts_of_nothing_nothing_is_learned() -> None:
    spread = fit_spread(np.zeros(5), np.ones(5), regular(5), np.zeros(5))
    assert spread == Spread.everywhere(Dispersion(1.0, 0.0, 0.0, counts=True))
    mean, units = fast(np.random.default_rng(5), 600)
    about = Irregularity(np.full(1200, np.nan), np.zeros(1200, np.int64))
    both = fit_spread(np.r_[mean, np.zeros(600)], np.r_[units, np.zeros(600)], about, np.zeros(1200))
    assert both == fit_spread(mean, units, regular(600), np.zeros(600))


def test_probabilities_and_quantiles_are_of_the_same_distribution() -> None:
    kind = KindSpread(Dispersion(1.0, 0.0, 0.3, counts=True), tuple(np.array(GRID) ** 1.3))
    mean = np.array([0.4, 3.0, 40.0])
    quantiles = kind.quantiles(mean, np.full(3, np.nan))
    for number, level in enumerate(QUANTILE_LEVELS):
        low, high = kind.probabilities(mean, np.full(3, np.nan), quantiles[:, number])
        assert (low <= level + 1e-9).all()
        assert (high >= level - 1e-9).all()
