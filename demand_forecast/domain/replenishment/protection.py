"""How demand over a protection period of several days is distributed, from the mean and nine quantiles of each day.

Quantiles of days do not add up; means and variances do. The variance of a day is that of the distribution whose nine
quantiles lie nearest to those forecast, with one spread for all days of a series, so that the rounding of quantiles of
counts evens out. Errors of the days of one period are correlated, because they share the error of the level; how much
is learned from the retailer's own backtest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from demand_forecast.domain.models.distribution import (
    SMALLEST,
    Floats,
    continuous_quantiles,
    count_quantiles,
    negative_binomial,
)

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

COUNTED_BELOW = 30.0  # mean units a day from which whole numbers are as good as continuous
COUNT_RATIOS = np.geomspace(1.0, 50.0, 21)  # variance to mean
SQUARED_VARIATIONS = np.geomspace(1e-4, 20.0, 90)  # variance to squared mean
MEAN_STEP = 0.05  # of log mean, within which quantiles of counts are taken as the same
PROMISES = (0.8, 0.85, 0.9, 0.95, 0.98, 0.99)  # service levels in use


@dataclass(frozen=True)
class DemandSum:
    """Demand of each series over its days: negative binomial where `whole`, else gamma, with these moments."""

    mean: Floats
    variance: Floats
    whole: Flags

    def quantile(self, level: Floats) -> Floats:
        """The units not exceeded with probability `level`."""
        return self._by_law(lambda law, rows: law.ppf(level[rows]))

    def at_most(self, units: Floats) -> Floats:
        """The probability of a demand of at most `units`."""
        return self._by_law(lambda law, rows: law.cdf(units[rows]))

    def kept(self, units: Floats) -> float:
        """The share of series whose service level would have been met with demand of `units`; mean over PROMISES.

        By randomised quantiles: the probability at `units` itself counts in proportion, so that the share is that of
        PROMISES where the distribution is right, however coarse the units are.
        """
        most, fewer = self.at_most(units), self.at_most(units - self.whole)
        inside = (np.array(PROMISES)[:, None] - fewer) / np.maximum(most - fewer, SMALLEST)
        return float(np.clip(inside, 0, 1).mean())

    def _by_law(self, evaluate: Callable[[Any, Flags], Floats]) -> Floats:
        from scipy.stats import gamma, nbinom

        result = np.zeros(len(self.mean))
        mean = np.maximum(self.mean, SMALLEST)
        for rows in (self.whole, ~self.whole):
            m, v = mean[rows], np.maximum(self.variance[rows], SMALLEST)
            law = nbinom(*negative_binomial(m, v)) if rows is self.whole else gamma(m**2 / v, scale=v / m)
            result[rows] = evaluate(law, rows)
        return result


@dataclass(frozen=True)
class DailyMoments:
    """Demand of each day (row): the number of its series from 0, mean and variance; `whole`, by series: units are
    whole numbers.
    """

    series: Integers
    mean: Floats
    variance: Floats
    whole: Flags

    @classmethod
    def of(cls, series: Integers, mean: Floats, quantiles: Floats) -> Self:
        """The days whose forecast is `mean` (rows) and `quantiles` (rows, 9).

        Units are whole where all quantiles of a series are: the models make them so where units are counted.
        """
        fractional = (quantiles != np.round(quantiles)).any(axis=1)
        whole = np.bincount(series, fractional) == 0
        return cls(series, mean, daily_variance(series, mean, quantiles, whole), whole)

    def total(self, correlation: float, share: Floats | float = 1.0) -> DemandSum:
        """The sum over the days of each series, of each day only its `share` (0..1).

        Var = (1 - rho) sum v + rho (sum sqrt v)^2: every two days of a series have the correlation rho.
        """
        variance = share * self.variance
        apart, alike = np.bincount(self.series, variance), np.bincount(self.series, np.sqrt(variance)) ** 2
        mean = np.bincount(self.series, share * self.mean).astype(np.float64)
        return DemandSum(mean, (1 - correlation) * apart + correlation * alike, self.whole)


def fit_correlation(days: DailyMoments, units: Floats) -> float:
    """The correlation between days, 0..1, with which high service levels would have been met for the `units` (rows).

    Calibrated, not most likely: the few series that start to sell again dominate the likelihood, and service would be
    too low for all others.
    """
    from scipy.optimize import brentq

    sold = np.bincount(days.series, units).astype(np.float64)

    def excess(correlation: float) -> float:
        return days.total(correlation).kept(sold) - float(np.mean(PROMISES))

    if excess(0.0) >= 0:
        return 0.0
    return 1.0 if excess(1.0) <= 0 else float(brentq(excess, 0.0, 1.0, xtol=1e-3))


def daily_variance(series: Integers, mean: Floats, quantiles: Floats, whole: Flags) -> Floats:
    """The variance of each day (row), shape (rows,).

    `series` numbers the rows' series from 0, `quantiles` is (rows, 9), `whole` says which series sell whole numbers.
    """
    selling = mean > 0
    daily_mean = np.bincount(series, mean) / np.maximum(np.bincount(series), 1)
    counted = (whole & (daily_mean < COUNTED_BELOW))[series]
    variance = np.zeros(len(mean))
    for rows, nearest in ((selling & counted, _count_variance), (selling & ~counted, _continuous_variance)):
        if rows.any():
            variance[rows] = nearest(series[rows], mean[rows], quantiles[rows])
    return variance


def _count_variance(series: Integers, mean: Floats, quantiles: Floats) -> Floats:
    cells, cell = np.unique(np.round(np.log(mean) / MEAN_STEP), return_inverse=True)
    means = np.exp(cells * MEAN_STEP)
    ratios = _nearest(series, quantiles, COUNT_RATIOS, lambda ratio: count_quantiles(means, ratio * means)[cell])
    return mean * ratios


def _continuous_variance(series: Integers, mean: Floats, quantiles: Floats) -> Floats:
    one = np.ones(1)
    scaled = quantiles / mean[:, None]
    spreads = _nearest(series, scaled, SQUARED_VARIATIONS, lambda spread: continuous_quantiles(one, spread * one))
    return spreads * mean**2


def _nearest(series: Integers, quantiles: Floats, spreads: Floats, reference: Callable[[float], Floats]) -> Floats:
    """The spread of each row's series: that whose reference quantiles are nearest to those of all the series' rows.

    Nearest by Wasserstein's distance, |Q - Q_reference| over the nine levels; of equally near ones the smallest, since
    the quantiles of slow sellers, all zero, say nothing about their spread.
    """
    distances = [np.bincount(series, np.abs(quantiles - reference(spread)).sum(axis=1)) for spread in spreads]
    return spreads[np.argmin(distances, axis=0)][series]
