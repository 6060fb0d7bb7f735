"""How far a right model may be out of bounds by chance: proven on simulated backtests."""

from datetime import date, timedelta
from itertools import product
from math import inf, isinf

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm, poisson

from demand_forecast.domain.evaluation.chance import measure_chance
from demand_forecast.domain.evaluation.metrics import calibration_error, pit_shares
from demand_forecast.settings import Promotion

RULES = Promotion()
SIZES = {36: (2, 3, 6), 144: (8, 3, 6), 336: (4, 3, 28), 3024: (36, 3, 28)}  # series, origins, days
FIRST = date(2026, 1, 1)


def pairs_of(transform: np.ndarray, mean: float = 10.0, step: int | None = None) -> pl.DataFrame:
    """Outcomes of series that sell `mean` units a day, at the places `transform` (series, origins, days) of the
    distribution that was forecast; origins are `step` days apart."""
    series, origins, days = (index.ravel() for index in np.indices(transform.shape))
    apart = step or transform.shape[2]
    units = poisson.ppf(np.clip(transform, 1e-9, 1 - 1e-9), mean).ravel()
    low, high = poisson.cdf(units - 1, mean), poisson.cdf(units, mean)
    dates = [FIRST + timedelta(days=int(at)) for at in origins * apart + days + 1]
    known = [FIRST + timedelta(days=int(at)) for at in origins * apart]
    frame = {"series": series, "forecast_origin": known, "date": dates, "units": units}
    return pl.DataFrame(frame).with_columns(mean=pl.lit(mean), pit_low=pl.Series(low), pit_high=pl.Series(high))


def transforms(rng: np.random.Generator, size: tuple[int, int, int], alike: float, shift: float = 0.0) -> np.ndarray:
    """Uniform where `shift` is 0; of a series at an origin correlated by `alike`."""
    common, own = rng.normal(size=(*size[:2], 1)), rng.normal(size=size)
    return norm.cdf(np.sqrt(alike) * common + np.sqrt(1 - alike) * own + shift)


def figures(pairs: pl.DataFrame) -> tuple[float, float]:
    """Bias and calibration error as the backtest scores them: those of the means over origins."""
    bias = ((pl.col("mean") - pl.col("units")).sum() / pl.col("units").sum()).alias("bias")
    by_origin = pairs.group_by("forecast_origin").agg(bias, **pit_shares())
    means = by_origin.select(pl.exclude("forecast_origin").mean())
    return means["bias"][0], means.select(calibration_error()).item()


def passes(pairs: pl.DataFrame) -> tuple[bool, bool]:
    """Whether bias and calibration error are within bounds."""
    (bias, error), chance = figures(pairs), measure_chance(pairs)
    limits = RULES.max_bias, RULES.max_calibration_error
    allowed = chance.bias_allowance(limits[0]), chance.calibration_allowance(limits[1])
    return abs(bias) <= limits[0] + allowed[0], error <= limits[1] + allowed[1]


@pytest.mark.parametrize(
    ("outcomes", "alike"),
    [
        *((36, 0.6), (336, 0.2)),
        *(
            pytest.param(outcomes, alike, marks=pytest.mark.slow)
            for outcomes, alike in product((36, 144, 336, 3024), (0.0, 0.2, 0.6))
        ),
    ],
)
def test_a_right_model_passes_however_few_outcomes_there_are(outcomes: int, alike: float) -> None:
    """The limit alone refuses it: of 36 independent outcomes in 97% of cases, of 336 in 18%."""
    rng = np.random.default_rng(8)
    found = [passes(pairs_of(transforms(rng, SIZES[outcomes], alike))) for _ in range(150)]
    for bounds in zip(*found, strict=True):
        assert sum(bounds) >= 138, "95% of 150 are 142; fewer than 138 come once in 40 times"


def test_the_limit_alone_refused_a_right_model_with_few_outcomes() -> None:
    rng = np.random.default_rng(8)
    errors = [figures(pairs_of(transforms(rng, SIZES[36], 0.0)))[1] for _ in range(100)]
    assert sum(error <= RULES.max_calibration_error for error in errors) < 12
    assert np.mean(errors) == pytest.approx(0.105, abs=0.015)


@pytest.mark.parametrize("alike", [0.0, 0.1])
def test_a_calibration_error_that_is_real_is_refused_with_many_outcomes(alike: float) -> None:
    rng, shift = np.random.default_rng(2), norm.ppf(0.5 + 0.12)
    found = [passes(pairs_of(transforms(rng, SIZES[3024], alike, shift)))[1] for _ in range(20)]
    assert sum(found) <= 1


def test_a_calibration_error_just_within_the_limit_passes() -> None:
    rng, shift = np.random.default_rng(4), norm.ppf(0.5 + 0.049)
    found = [passes(pairs_of(transforms(rng, SIZES[3024], 0.0, shift)))[1] for _ in range(40)]
    assert sum(found) >= 36


@pytest.mark.parametrize("bias", [-0.25, 0.25])
def test_a_bias_that_is_real_is_refused_with_many_outcomes(bias: float) -> None:
    rng = np.random.default_rng(3)
    for alike in (0.0, 0.2):
        pairs = pairs_of(transforms(rng, SIZES[3024], alike)).with_columns(pl.col("mean") * (1 + bias))
        assert not passes(pairs)[0]


def test_the_allowance_falls_with_the_root_of_independent_outcomes_and_grows_with_alike_ones() -> None:
    rng = np.random.default_rng(6)
    few, many, alike = (
        measure_chance(pairs_of(transforms(rng, size, same)))
        for size, same in (((40, 3, 7), 0.0), ((160, 3, 28), 0.0), ((40, 3, 7), 0.6))
    )
    assert (few.outcomes, many.outcomes) == (840, 13_440)
    assert few.calibration.error == pytest.approx(0.5 / np.sqrt(840), rel=0.2)
    assert few.calibration.error == pytest.approx(4 * many.calibration.error, rel=0.2)
    assert alike.calibration.error > 1.5 * few.calibration.error
    assert few.bias.error == pytest.approx(np.sqrt(10 / 840) / 10, rel=0.25)


def test_with_many_outcomes_the_limits_are_what_they_were() -> None:
    rng = np.random.default_rng(6)
    chance = measure_chance(pairs_of(transforms(rng, (400, 3, 28), 0.0)))
    assert chance.calibration_allowance(0.05) < 0.006
    assert chance.bias_allowance(0.10) < 0.004


@pytest.mark.parametrize(("size", "step"), [((1, 1, 28), None), ((1, 3, 28), 7)], ids=["one origin", "overlapping"])
def test_one_series_at_one_origin_does_not_tell_what_chance_does(size: tuple[int, int, int], step: int | None) -> None:
    """Origins whose days overlap are one: they share their outcomes."""
    chance = measure_chance(pairs_of(transforms(np.random.default_rng(1), size, 0.0), step=step))
    assert chance.bias_allowance(0.1) == chance.calibration_allowance(0.05) == inf
    assert chance.outcomes == np.prod(size)


def test_pairs_that_say_nothing_are_no_outcomes() -> None:
    pairs = pairs_of(transforms(np.random.default_rng(1), (2, 3, 6), 0.0))
    dumb = pairs.with_columns(units=0.0, mean=0.0, pit_low=pl.lit(None, pl.Float64), pit_high=pl.lit(None, pl.Float64))
    assert measure_chance(dumb).outcomes == 0
    assert isinf(measure_chance(dumb).bias_allowance(0.1))
    assert measure_chance(pl.concat([pairs, dumb])).calibration == measure_chance(pairs).calibration


def test_a_level_that_no_outcome_fell_below_is_not_taken_as_certain() -> None:
    """Of six outcomes none is below the lowest tenth in every second case."""
    transform = np.linspace(0.3, 0.9, 6).reshape(2, 3, 1)
    assert measure_chance(pairs_of(transform)).calibration.error >= 0.999 * 0.5 / np.sqrt(6)
