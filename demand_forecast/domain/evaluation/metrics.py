"""The metrics, each one polars expression over pairs: `units` sold against the forecast `mean` and `q10` … `q90`.

An expression gives one number in a `select` and one per group in a `group_by`. A zero denominator gives null.
"""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import getdoc
from itertools import pairwise
from typing import Literal

import polars as pl

from demand_forecast.domain.tables import QUANTILE_COLUMNS, QUANTILE_LEVELS

PIT_SHARES = tuple(f"pit_{10 * tenth}" for tenth in range(1, 11))

Optimum = Literal["mean", "median", "quantiles", "nothing"]
Expression = Callable[[], pl.Expr]


@dataclass(frozen=True)
class Metric:
    """A metric and what may be done with it.

    `optimised_by` is the statistic of demand whose forecast gets the best expected value; `may_choose` says whether a
    promotion may rest on it.
    """

    name: str
    optimised_by: Optimum
    may_choose: bool
    expression: Expression

    @property
    def description(self) -> str:
        return getdoc(self.expression) or ""


METRICS: dict[str, Metric] = {}


def metric(optimised_by: Optimum, *, may_choose: bool = False) -> Callable[[Expression], Expression]:
    """Enter the decorated function in METRICS under its own name."""

    def enter(expression: Expression) -> Expression:
        METRICS[expression.__name__] = Metric(expression.__name__, optimised_by, may_choose, expression)
        return expression

    return enter


def ratio(numerator: pl.Expr, denominator: pl.Expr) -> pl.Expr:
    """numerator / denominator, null where the denominator is not above zero."""
    return pl.when(denominator > 0).then(numerator / denominator)


def error() -> pl.Expr:
    return pl.col("mean") - pl.col("units")


@metric("median", may_choose=True)
def wape() -> pl.Expr:
    """Weighted absolute percentage error: sum|f - y| / sum y.

    Source: Kolassa & Schütz (2007), Foresight 6, 40-43. On slow sellers the median wins it, far too low:
    it chooses only behind the gate on bias.
    """
    return ratio(error().abs().sum(), pl.col("units").sum())


@metric("nothing")
def bias() -> pl.Expr:
    """Bias: sum(f - y) / sum y; positive when too much is forecast.

    Source: Vandeput (2021), Data Science for Supply Chain Forecasting, ch. 2. Zero for the mean, but also for many bad
    forecasts: a gate, not a goal.
    """
    return ratio(error().sum(), pl.col("units").sum())


@metric("median")
def mase() -> pl.Expr:
    """Mean absolute scaled error of one node: mean|f - y| / mean|y_t - y_{t-m}| in training, m = season.

    Source: Hyndman & Koehler (2006), Int. J. Forecasting 22, 679-688. Reads the constant column `absolute_scale`.
    """
    return ratio(error().abs().mean(), pl.col("absolute_scale").first())


@metric("mean", may_choose=True)
def rmsse() -> pl.Expr:
    """Root mean squared scaled error of one node: sqrt(mean (f - y)^2 / mean (y_t - y_{t-1})^2 in training).

    Source: Makridakis, Spiliotis & Assimakopoulos (2022), Int. J. Forecasting 38, 1346-1364, eq. 1; the scale starts at
    the node's first sale. Reads the constant column `squared_scale`.
    """
    return ratio((error() ** 2).mean(), pl.col("squared_scale").first()).sqrt()


@metric("mean", may_choose=True)
def wrmsse() -> pl.Expr:
    """Weighted RMSSE: the mean over levels of the nodes' RMSSE weighted by revenue of the last 28 training days.

    Source: as RMSSE, eq. 2. Read over one row per level with its weighted `value`; every level weighs the same.
    """
    return pl.col("value").mean()


def weighted_mean(column: str) -> pl.Expr:
    """sum(weight * column) / sum weight over the nodes that have a value: the weights are made to sum to one again."""
    weight = pl.col("weight").filter(pl.col(column).is_not_null())
    return ratio((pl.col("weight") * pl.col(column)).sum(), weight.sum()).alias(column)


def pinball_of(column: str, level: float) -> pl.Expr:
    """The pinball loss of each pair at one level: level * (y - q) above the quantile, (1 - level) * (q - y) below."""
    shortfall = pl.col("units") - pl.col(column)
    return pl.max_horizontal(level * shortfall, (level - 1) * shortfall)


@metric("quantiles")
def pinball() -> pl.Expr:
    """Pinball (quantile) loss in units: the mean over pairs and the nine levels.

    Source: Koenker & Bassett (1978), Econometrica 46, 33-50.
    """
    return pl.mean_horizontal(pinball_of(*item).mean() for item in _quantiles())


@metric("quantiles", may_choose=True)
def wql() -> pl.Expr:
    """Weighted quantile loss: the mean over the nine levels of 2 * sum pinball / sum y.

    Source: Gneiting & Raftery (2007), J. Am. Stat. Assoc. 102, sec. 6; scaled as GluonTS' mean_wQuantileLoss.
    """
    total = pl.mean_horizontal(pinball_of(*item).sum() for item in _quantiles())
    return ratio(2 * total, pl.col("units").sum())


def quantile_loss() -> pl.Expr:
    """The quantile loss of each pair, in units: twice the mean pinball loss over the nine levels."""
    return 2 * pl.mean_horizontal(pinball_of(*item) for item in _quantiles())


@metric("nothing")
def coverage_80() -> pl.Expr:
    """Coverage: share of pairs with q10 <= y <= q90.

    Source: Gneiting, Balabdaoui & Raftery (2007), J. R. Stat. Soc. B 69, 243-268. At least
    0.8 when calibrated; well above it for slow sellers, whose units are few whole numbers.
    """
    return pl.col("units").is_between("q10", "q90").mean()


def pit_below(level: float) -> pl.Expr:
    """Share of the probability integral transform below `level`: F_bar(level), the mean of `pit_part_below`."""
    return pit_part_below(level).mean()


def pit_part_below(level: float) -> pl.Expr:
    """The part of each pair's probability integral transform below `level`.

    A pair's transform is spread evenly from F(y-1) (`pit_low`) to F(y) (`pit_high`), where a randomised one would draw
    it; where these are equal it is a point; a pair that says nothing has null. Source: Czado, Gneiting & Held (2009),
    Biometrics 65, 1254-1261, eq. 2.
    """
    low, width = pl.col("pit_low"), pl.col("pit_high") - pl.col("pit_low")
    spread = ((level - low) / width).clip(0, 1)
    return pl.when(width == 0).then((low < level).cast(pl.Float64)).otherwise(spread)


def pit_shares() -> dict[str, pl.Expr]:
    """The share of the probability integral transform in each tenth, `pit_10` … `pit_100`: 0.1 when calibrated."""
    below = [pl.lit(0.0), *(pit_below(level) for level in QUANTILE_LEVELS), pl.lit(1.0)]
    return {name: upper - lower for name, (lower, upper) in zip(PIT_SHARES, pairwise(below), strict=True)}


@metric("nothing")
def calibration_error() -> pl.Expr:
    """Calibration error: the largest |P(PIT <= p) - p| over the nine levels p; zero when calibrated, counts or not.

    Source: as `pit_below`, whose shares `pit_10` … `pit_90` it reads; the Kolmogorov distance at nine points.
    """
    below = [pl.sum_horizontal(PIT_SHARES[: i + 1]) for i in range(len(QUANTILE_LEVELS))]
    gaps = [(share - level).abs() for share, level in zip(below, QUANTILE_LEVELS, strict=True)]
    return (
        pl.when(pl.any_horizontal(gap.is_nan() for gap in gaps)).then(float("nan")).otherwise(pl.max_horizontal(gaps))
    )


def forecast_value_added(value: pl.Expr, baseline: pl.Expr) -> pl.Expr:
    """FVA = 1 - metric / metric of seasonal naive; null where that is zero. Source: Gilliland (2013), Foresight 29."""
    return 1 - ratio(value, baseline)


def _quantiles() -> list[tuple[str, float]]:
    return list(zip(QUANTILE_COLUMNS, QUANTILE_LEVELS, strict=True))
