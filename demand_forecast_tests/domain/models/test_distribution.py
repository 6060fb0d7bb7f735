"""Quantiles against scipy one at a time, against samples, and at the edges."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from demand_forecast.domain.models.distribution import (
    Dispersion,
    continuous_quantiles,
    count_quantiles,
    fit_dispersion,
    normal_quantiles,
)
from demand_forecast.domain.tables import QUANTILE_LEVELS

MEANS = np.array([0.0, 0.001, 0.05, 0.4, 1.0, 3.7, 25.0, 900.0])


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.3, 4.0])
def test_count_quantiles_are_the_smallest_count_that_covers(ratio: float) -> None:
    found = count_quantiles(MEANS, ratio * MEANS)
    for i, mean in enumerate(MEANS):
        for j, level in enumerate(QUANTILE_LEVELS):
            k = found[i, j]
            if mean == 0:
                assert k == 0
                continue
            law = stats.nbinom(mean / (ratio - 1), 1 / ratio) if ratio > 1 else stats.poisson(mean)
            assert law.cdf(k) >= level - 1e-9
            assert k == 0 or law.cdf(k - 1) < level + 1e-9


@pytest.mark.parametrize("ratio", [0.2, 1.0, 5.0])
def test_continuous_quantiles_are_those_of_a_sample(ratio: float) -> None:
    rng = np.random.default_rng(5)
    mean, variance = 6.0, 6.0 * ratio
    zero = np.exp(-2 * mean**2 / variance)
    selling = mean / (1 - zero)
    spread = (variance + mean**2) / (1 - zero) - selling**2
    sample = rng.gamma(selling**2 / spread, spread / selling, 400_000) * (rng.random(400_000) > zero)
    assert (sample.mean(), sample.var()) == (pytest.approx(mean, rel=0.02), pytest.approx(variance, rel=0.03))
    found = continuous_quantiles(np.array([mean]), np.array([variance]))[0]
    assert found == pytest.approx(np.quantile(sample, QUANTILE_LEVELS), rel=0.03, abs=0.03)


@pytest.mark.parametrize("make", [count_quantiles, continuous_quantiles])
def test_never_crossing_never_negative_always_a_number(make: Callable[..., np.ndarray]) -> None:
    rng = np.random.default_rng(1)
    mean = np.concatenate([rng.gamma(0.3, 20, 3000), [0, 1e-9, 1e6]])
    found = make(mean, mean * rng.uniform(0, 30, len(mean)))
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert (np.diff(found, axis=1) >= 0).all()


def test_dispersion_is_found_again() -> None:
    rng = np.random.default_rng(2)
    mean, ratio = rng.gamma(1, 5, 200_000) + 0.1, rng.uniform(1, 6, 200_000)
    variance = mean * (0.4 + 0.5 * ratio) + 0.2 * mean**2
    units = rng.negative_binomial(mean**2 / np.maximum(variance - mean, 1e-3), np.minimum(mean / variance, 0.999))
    fitted = fit_dispersion(mean, units.astype(float), ratio, np.ones(len(mean)))
    assert fitted.counts
    found, expected = fitted.variance(mean, ratio), np.maximum(variance, mean)
    assert found.sum() == pytest.approx(expected.sum(), rel=0.05)
    assert np.median(np.abs(found / expected - 1)) < 0.1


def test_dispersion_covers_what_it_was_fitted_to() -> None:
    rng = np.random.default_rng(4)
    mean = rng.gamma(2, 20, 50_000)
    units = rng.negative_binomial(3, 3 / (3 + mean)).astype(float)
    fitted = fit_dispersion(mean, units, np.full(len(mean), np.nan), np.ones(len(mean)))
    found = fitted.quantiles(mean, np.full(len(mean), np.nan))
    covered = (units[:, None] <= found).mean(axis=0)
    assert covered == pytest.approx(QUANTILE_LEVELS, abs=0.03)


def test_whole_units_are_told_from_weights() -> None:
    mean, ratio, weight = np.full(4, 2.0), np.ones(4), np.ones(4)
    assert fit_dispersion(mean, np.array([1.0, 2, 3, 0]), ratio, weight).counts
    assert not fit_dispersion(mean, np.array([1.5, 2, 3, 0]), ratio, weight).counts
    assert (Dispersion(1, 0, 0, counts=True).quantiles(mean, ratio) % 1 == 0).all()


def test_normal_quantiles_are_cut_at_zero() -> None:
    found = normal_quantiles(np.array([1.0, 100.0]), np.array([10.0, 0.0]))
    assert found[0, 0] == 0
    assert found[0, 8] == pytest.approx(1 + 10 * stats.norm.ppf(0.9))
    assert (found[1] == 100).all()
