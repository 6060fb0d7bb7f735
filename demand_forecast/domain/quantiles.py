"""How sure a forecast is: nine quantiles around its mean, from a distribution that suits what is sold."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from demand_forecast.domain.tables import QUANTILE_LEVELS

Floats = np.ndarray[Any, np.dtype[np.float64]]

POISSON_BELOW = 1.001  # variance to mean under which the negative binomial is as good as its limit


@dataclass(frozen=True)
class Dispersion:
    """Variance of units around a forecast mean: `mean * (constant + own * ratio) + square * mean ** 2`.

    `ratio` is the series' own past variance to mean. `counts`: units are whole numbers.
    """

    constant: float
    own: float
    square: float
    counts: bool

    def variance(self, mean: Floats, ratio: Floats) -> Floats:
        return mean * (self.constant + self.own * _known(ratio)) + self.square * mean**2

    def quantiles(self, mean: Floats, ratio: Floats) -> Floats:
        """Rows x nine levels, never below zero, never crossing."""
        variance = self.variance(mean, ratio)
        return count_quantiles(mean, variance) if self.counts else continuous_quantiles(mean, variance)


def fit_dispersion(mean: Floats, units: Floats, ratio: Floats, weight: Floats) -> Dispersion:
    """The dispersion that best explains the squared errors of `mean`: non-negative least squares, each row scaled by
    its rough variance, so that small series count as much as large ones.
    """
    from scipy.optimize import nnls

    own = mean * _known(ratio)
    scale = np.sqrt(weight) / (mean + own + 0.01)
    terms = np.column_stack([mean, own, mean**2]) * scale[:, None]
    (constant, by_ratio, square), _ = nnls(terms, (units - mean) ** 2 * scale)
    return Dispersion(float(constant), float(by_ratio), float(square), counts=bool(np.all(units == np.round(units))))


def count_quantiles(mean: Floats, variance: Floats) -> Floats:
    """Quantiles of the negative binomial with these moments, of the Poisson where the variance is not above the mean.

    Rows x nine levels, whole numbers.
    """
    from scipy.stats import nbinom, poisson

    levels = np.array(QUANTILE_LEVELS)[None, :]
    result = np.zeros((len(mean), len(QUANTILE_LEVELS)))
    spread = variance > POISSON_BELOW * mean
    wide, narrow = spread & (mean > 0), ~spread & (mean > 0)
    m, v = mean[wide, None], variance[wide, None]
    result[wide] = nbinom.ppf(levels, m**2 / (v - m), m / v)
    result[narrow] = poisson.ppf(levels, mean[narrow, None])
    return result


def continuous_quantiles(mean: Floats, variance: Floats) -> Floats:
    """Quantiles of a gamma distribution with mass at zero and these moments; rows x nine levels.

    The mass is that of the compound Poisson-gamma (Tweedie, power 1.5) with these moments: exp(-2 mean^2 / variance).
    """
    from scipy.stats import gamma

    levels = np.array(QUANTILE_LEVELS)[None, :]
    result = np.zeros((len(mean), len(QUANTILE_LEVELS)))
    some = (mean > 0) & (variance > 0)
    result[(mean > 0) & ~some] = mean[(mean > 0) & ~some, None]
    m, v = mean[some, None], variance[some, None]
    zero = np.exp(-2 * m**2 / v)
    selling = m / (1 - zero)
    spread = np.maximum((v + m**2) / (1 - zero) - selling**2, 1e-12)
    above = np.clip((levels - zero) / (1 - zero), 0, 1)
    result[some] = gamma.ppf(above, selling**2 / spread, scale=spread / selling)
    return result


def normal_quantiles(mean: Floats, deviation: Floats) -> Floats:
    """Quantiles of the normal distribution, cut at zero; rows x nine levels."""
    from scipy.stats import norm

    return np.maximum(mean[:, None] + norm.ppf(QUANTILE_LEVELS)[None, :] * deviation[:, None], 0)


def _known(ratio: Floats) -> Floats:
    """Where a series is too young to have shown its own, that of a Poisson."""
    return np.where(np.isfinite(ratio), ratio, 1.0)
