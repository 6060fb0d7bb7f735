"""How much a day says about demand: sales are those of the time in which there was something to sell."""

import polars as pl
from polars.selectors import by_name

from demand_forecast.domain.tables import QUANTILE_COLUMNS

SHORTEST = 0.01  # of the opening time: what stock reports say of a few minutes is rounding


def exposure() -> pl.Expr:
    """The share, 0..1, of a day of `daily_demand` in which there was something to sell; 0 of a day that says nothing of
    demand: one of which nothing is known, or an exceptional one.

    Expected sales are exposure * demand, with demand spread evenly over the opening time. So demand is the ratio of
    sums sum(units) / sum(exposure): the maximum-likelihood rate of a Poisson process seen for so long, and unbiased
    however slow the seller is, also where goods were gone because they were sold (Cox & Lewis 1966, The Statistical
    Analysis of Series of Events, ch. 2). Means of units / exposure are neither.
    """
    return pl.when(pl.col("open").fill_null(True)).then(in_stock()).otherwise(pl.lit(0, pl.Float32))


def in_stock() -> pl.Expr:
    """The share of the opening time that goods were there, 0..1; an unknown one counts as 0, as of a few minutes."""
    share = pl.col("in_stock").fill_null(0).cast(pl.Float32)
    return pl.when(share >= SHORTEST).then(share).otherwise(pl.lit(0, pl.Float32))


def units_of_demand() -> pl.Expr:
    """`units` of the days of `daily_demand` that say something of demand; null of one of which nothing is known and of
    an exceptional one.
    """
    return pl.when(pl.col("in_stock").is_not_null()).then("units").alias("units")


def outcome_units() -> pl.Expr:
    """`units` of a period as an outcome: of one that says nothing of demand 0, as of one without goods."""
    return pl.when(pl.col("exposure") == 0).then(pl.col("units").fill_null(0)).otherwise("units").alias("units")


def outcome_exposure() -> pl.Expr:
    """`exposure` of a period as an outcome: of a closed one 1, because nobody came and nobody found shelves empty."""
    return pl.when(pl.col("open").not_()).then(pl.lit(1, pl.Float32)).otherwise("exposure").alias("exposure")


def for_the_time_in_stock() -> pl.Expr:
    """Mean and quantiles of a forecast, those that a frame has, for its column `exposure`, as units are; f64."""
    return by_name("mean", *QUANTILE_COLUMNS, require_all=False).cast(pl.Float64) * pl.col("exposure")
