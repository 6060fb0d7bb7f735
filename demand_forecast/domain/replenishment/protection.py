"""How demand over a protection period of several days is distributed, from the mean and variance of each day.

Quantiles of days do not add up; means and variances do. Errors of the days of one period are correlated, because they
share the error of the level; how much is learned from the retailer's own backtest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from demand_forecast.domain.models.distribution import SMALLEST, Floats, negative_binomial

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

CORRELATIONS = tuple(float(one) for one in np.linspace(0, 1, 21))  # between which the first that will do is looked for
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

    def kept(self, units: Floats) -> Floats:
        """The share of series whose service level would have been met with demand of `units`, for each of PROMISES.

        By randomised quantiles: the probability at `units` itself counts in proportion, so that the share is that of
        PROMISES where the distribution is right, however coarse the units are.
        """
        most, fewer = self.at_most(units), self.at_most(units - self.whole)
        inside = (np.array(PROMISES)[:, None] - fewer) / np.maximum(most - fewer, SMALLEST)
        return np.clip(inside, 0, 1).mean(axis=1)

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
    def of(cls, series: Integers, mean: Floats, variance: Floats, quantiles: Floats) -> Self:
        """The days whose forecast is `mean`, `variance` (rows) and `quantiles` (rows, 9).

        Units are whole where all quantiles of a series are: the models make them so where units are counted.
        """
        fractional = (quantiles != np.round(quantiles)).any(axis=1)
        return cls(series, mean, variance, np.bincount(series, fractional) == 0)

    def total(self, correlation: Floats | float, share: Floats | float = 1.0) -> DemandSum:
        """The sum over the days of each series, of each day only its `share` (0..1).

        Var = (1 - rho) sum v + rho (sum sqrt v)^2: every two days of a series have the correlation rho, one
        for all series or one for each.
        """
        variance = self._of_part(share)
        apart, alike = np.bincount(self.series, variance), np.bincount(self.series, np.sqrt(variance)) ** 2
        mean = np.bincount(self.series, share * self.mean).astype(np.float64)
        return DemandSum(mean, (1 - correlation) * apart + correlation * alike, self.whole)

    def _of_part(self, share: Floats | float) -> Floats:
        """The variance of what a day sells in a `share` of it, demand spread evenly over the day: of counts those of
        the arrivals fall with the share, those of the level with its square; of fractional units all with the share.
        """
        if np.all(share == 1):
            return self.variance
        of_level = np.maximum(self.variance - self.mean, 0)
        counted = share * np.minimum(self.variance, self.mean) + share**2 * of_level
        return np.where(self.whole[self.series], counted, share * self.variance)


def fit_correlation(days: DailyMoments, units: Floats, exposure: Floats) -> float:
    """The correlation between days, 0..1, with which high service levels would have been met for the `units` (rows),
    which were sold in so much of the time (`exposure`, 0..1).

    Calibrated, not most likely: the few series that start to sell again dominate the likelihood, and service would be
    too low for all others. The least correlation that will do, for beyond some service falls again: of slow sellers a
    very wide distribution has a low quantile at 0.8. Where none will do it is the one that comes nearest.
    """
    from scipy.optimize import brentq

    sold = np.bincount(days.series, units).astype(np.float64)

    def excess(correlation: float) -> float:
        """Of what is kept over what is promised, each level by its own standard error."""
        promised = np.array(PROMISES)
        beyond = days.total(correlation, exposure).kept(sold) - promised
        return float(np.mean(beyond / np.sqrt(promised * (1 - promised))))

    found = []
    for correlation in CORRELATIONS:
        found.append(excess(correlation))
        if found[-1] >= 0:
            break
    else:
        return CORRELATIONS[int(np.argmax(found))]
    if len(found) == 1:
        return 0.0
    return float(brentq(excess, CORRELATIONS[len(found) - 2], CORRELATIONS[len(found) - 1], xtol=1e-3))
