"""Predictive distributions: quantiles around a mean, for whole and for fractional units."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from demand_forecast.domain.tables import QUANTILE_LEVELS

Floats = np.ndarray[Any, np.dtype[np.float64]]
Levels = Sequence[float] | Floats

POISSON_BELOW = 1.001  # variance to mean under which the negative binomial is as good as its limit
SMALLEST = 1e-9
SUMMED_BELOW = 50.0  # mean units up to which summing probabilities is quicker than solving for quantiles
ROUNDING = 1e-12  # of a sum of probabilities
FITTED_ROWS = 10_000  # three parameters: more rows move no quantile of a few units
START = np.log([0.5, 0.5, 0.1])


@dataclass(frozen=True)
class Dispersion:
    """Variance of units around a forecast mean: `mean * (constant + own * ratio) + square * mean ** 2`.

    `ratio` is the series' own past variance to mean. `counts`: units are whole numbers, negative binomial; else they
    are gamma with mass at zero.
    """

    constant: float
    own: float
    square: float
    counts: bool

    def variance(self, mean: Floats, ratio: Floats) -> Floats:
        return mean * (self.constant + self.own * _known(ratio)) + self.square * mean**2

    def quantiles(self, mean: Floats, ratio: Floats, levels: Levels = QUANTILE_LEVELS) -> Floats:
        """Rows x levels (rising, within 0..1), never below zero, never crossing."""
        of = count_quantiles if self.counts else continuous_quantiles
        return of(mean, self.variance(mean, ratio), levels)

    def probabilities(self, mean: Floats, ratio: Floats, units: Floats) -> tuple[Floats, Floats]:
        """P(demand < units) and P(demand <= units), which differ where there is point mass; shape (rows,) each."""
        variance = self.variance(mean, ratio)
        bounds = count_probabilities if self.counts else continuous_probabilities
        return bounds(mean, variance, units)


POISSON = Dispersion(1.0, 0.0, 0.0, counts=True)  # where nothing is known


def fit_dispersion(
    mean: Floats, units: Floats, ratio: Floats, weight: Floats, *, counts: bool | None = None
) -> Dispersion:
    """The maximum-likelihood dispersion of `units`, rows weighted by `weight`; `counts`: whether units are whole, by
    default as these are.

    Likelihood rather than squared errors: a single wholesale order would outweigh thousands of usual days.
    """
    from scipy.optimize import minimize

    rows = np.linspace(0, len(mean) - 1, min(len(mean), FITTED_ROWS)).astype(np.int64)
    m, y, w = np.maximum(mean[rows], SMALLEST), units[rows], weight[rows]
    terms = np.column_stack([m, m * _known(ratio[rows]), m**2])
    counts = bool(np.all(units == np.round(units))) if counts is None else counts
    density = _count_log_density if counts else _continuous_log_density

    def negative_likelihood(parameters: Floats) -> float:
        return -float(np.average(density(m, terms @ _bounded(parameters), y), weights=w))

    fit = minimize(
        negative_likelihood, START, method="Nelder-Mead", options={"xatol": 0.01, "fatol": 1e-6, "maxiter": 300}
    )
    constant, own, square = _bounded(fit.x)
    return Dispersion(float(constant), float(own), float(square), counts)


def _bounded(parameters: Floats) -> Floats:
    """Of their logarithms; a few rows would drive them anywhere."""
    return np.exp(np.clip(parameters, -20, 5))


def count_quantiles(mean: Floats, variance: Floats, levels: Levels = QUANTILE_LEVELS) -> Floats:
    """Quantiles of the negative binomial with these moments, of its Poisson limit where the variance is not above the
    mean. Rows x levels, which rise; whole numbers.

    Probabilities are summed from zero up, p(k + 1) = p(k) (k + n) / (k + 1) (1 - mean / variance): a day sells few.
    """
    result = np.zeros((len(mean), len(levels)))
    few, many = (mean > 0) & (mean <= SUMMED_BELOW), mean > SUMMED_BELOW
    result[few] = _counted_quantiles(mean[few], variance[few], np.array(levels))
    if many.any():
        from scipy.stats import nbinom

        result[many] = nbinom.ppf(
            np.array(levels)[None, :], *(p[:, None] for p in negative_binomial(mean[many], variance[many]))
        )
    return result


def _counted_quantiles(mean: Floats, variance: Floats, levels: Floats) -> Floats:
    n, p = negative_binomial(mean, variance)
    found = np.zeros((len(mean), len(levels)))
    rows, probability = np.arange(len(mean)), np.exp(n * np.log(p))
    total, k = probability.copy(), 0
    while len(rows):
        open_levels = total[:, None] < levels - ROUNDING
        found[rows] += open_levels
        going = open_levels[:, -1]
        rows, n, p, probability, total = rows[going], n[going], p[going], probability[going], total[going]
        probability = probability * (k + n) / (k + 1) * (1 - p)
        total, k = total + probability, k + 1
    return found


def negative_binomial(mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
    """Shape and success probability of the negative binomial with these moments, the variance above the mean."""
    wide = np.maximum(variance, POISSON_BELOW * mean)
    return mean**2 / (wide - mean), mean / wide


def count_probabilities(mean: Floats, variance: Floats, units: Floats) -> tuple[Floats, Floats]:
    """P(demand < units) and P(demand <= units) of the distribution of `count_quantiles`; shape (rows,) each."""
    from scipy.stats import nbinom

    law = nbinom(*negative_binomial(np.maximum(mean, SMALLEST), variance))
    return law.cdf(units - 1), law.cdf(units)


def continuous_quantiles(mean: Floats, variance: Floats, levels: Levels = QUANTILE_LEVELS) -> Floats:
    """Quantiles of a gamma distribution with mass at zero and these moments; rows x levels.

    The mass is that of the compound Poisson-gamma (Tweedie, power 1.5) with these moments: exp(-2 mean^2 / variance).
    """
    from scipy.stats import gamma

    result = np.zeros((len(mean), len(levels)))
    some = (mean > 0) & (variance > 0)
    result[(mean > 0) & ~some] = mean[(mean > 0) & ~some, None]
    zero, shape, scale = (part[:, None] for part in _continuous_parts(mean[some], variance[some]))
    above = np.clip((np.array(levels)[None, :] - zero) / (1 - zero), 0, 1)
    result[some] = gamma.ppf(above, shape, scale=scale)
    return result


def continuous_probabilities(mean: Floats, variance: Floats, units: Floats) -> tuple[Floats, Floats]:
    """P(demand < units) and P(demand <= units) of the distribution of `continuous_quantiles`; shape (rows,) each."""
    from scipy.stats import gamma

    zero, shape, scale = _continuous_parts(np.maximum(mean, SMALLEST), np.maximum(variance, SMALLEST))
    at_most = zero + (1 - zero) * gamma.cdf(units, shape, scale=scale)
    return np.where(units > 0, at_most, 0), at_most


def _continuous_parts(mean: Floats, variance: Floats) -> tuple[Floats, Floats, Floats]:
    """Probability of zero, and shape and scale of the gamma of what is sold above zero; shape (rows,) each."""
    zero = np.exp(-2 * mean**2 / variance)
    selling = mean / (1 - zero)
    spread = np.maximum((variance + mean**2) / (1 - zero) - selling**2, 1e-12)
    return zero, selling**2 / spread, spread / selling


def normal_quantiles(mean: Floats, deviation: Floats) -> Floats:
    """Quantiles of the normal distribution, cut at zero; rows x nine levels."""
    from scipy.stats import norm

    return np.maximum(mean[:, None] + norm.ppf(QUANTILE_LEVELS)[None, :] * deviation[:, None], 0)


def normal_probabilities(mean: Floats, deviation: Floats, units: Floats) -> tuple[Floats, Floats]:
    """P(demand < units) and P(demand <= units) of the distribution of `normal_quantiles`; shape (rows,) each."""
    from scipy.stats import norm

    at_most = norm.cdf((units - mean) / np.maximum(deviation, SMALLEST))
    return np.where(units > 0, at_most, 0), at_most


def _count_log_density(mean: Floats, variance: Floats, units: Floats) -> Floats:
    """Of the negative binomial, in the shape n = mean^2 / (variance - mean)."""
    from scipy.special import gammaln

    n, _ = negative_binomial(mean, variance)
    chosen = gammaln(units + n) - gammaln(n) - gammaln(units + 1)
    return chosen + n * np.log(n / (n + mean)) + units * np.log(mean / (n + mean))


def _continuous_log_density(mean: Floats, variance: Floats, units: Floats) -> Floats:
    """Of zero where nothing is sold, else of the gamma; written out, because scipy's takes ten times as long."""
    from scipy.special import gammaln

    zero, shape, scale = _continuous_parts(mean, np.maximum(variance, SMALLEST))
    sold = np.maximum(units, SMALLEST)
    gamma = (shape - 1) * np.log(sold) - sold / scale - shape * np.log(scale) - gammaln(shape)
    above = np.log1p(-np.minimum(zero, 1 - 1e-12)) + gamma
    return np.maximum(np.where(units > 0, above, np.log(np.maximum(zero, 1e-300))), -700)


def _known(ratio: Floats) -> Floats:
    """The series' own ratio, that of a Poisson where it is too young to have one."""
    return np.where(np.isfinite(ratio), ratio, 1.0)
