"""The order-up-to level of every series at every review, by the product and by the textbook."""

from collections.abc import Callable
from functools import cache

import polars as pl
from scipy.stats import norm

from demand_forecast.domain.replenishment.policy import PLAN_KEY, reorder_plan
from demand_forecast.domain.tables import series_key
from demand_forecast.settings import Replenishment

Targets = Callable[[float], pl.DataFrame]  # from a service level: PLAN_KEY, target_stock, and what the plan promises


def by_reorder_plan(forecast: pl.DataFrame, policy: Replenishment) -> Targets:
    """The product's own plan on `forecast`."""

    @cache
    def targets(level: float) -> pl.DataFrame:
        asked = policy.model_copy(update={"service_level": level})
        return reorder_plan(forecast, None, asked, "daily")

    return targets


def by_normal_error(forecast: pl.DataFrame, backtest: pl.DataFrame, policy: Replenishment) -> Targets:
    """The textbook: S = mean + z sigma sqrt(L + R), with one sigma per series.

    sigma is the root mean squared error of a day's forecast in `backtest`: all its origins and horizons; a series that
    is not in it takes the median of the others. Source: Silver, Pyke & Thomas (2017), 4th ed., ch. 6.7 and 7.9.
    """
    protection = policy.lead_time + policy.review_period
    squared = (pl.col("units") - pl.col("mean")).cast(pl.Float64) ** 2
    sigma = backtest.group_by(series_key()).agg(sigma=squared.mean().sqrt())
    expected = forecast.group_by(PLAN_KEY).agg(expected_demand=pl.col("mean").cast(pl.Float64).sum())
    spread = expected.join(sigma, on=series_key(), how="left").with_columns(
        pl.col("sigma").fill_null(sigma["sigma"].median())
    )

    def targets(level: float) -> pl.DataFrame:
        safety = float(norm.ppf(level)) * pl.col("sigma") * protection**0.5
        return spread.select(*PLAN_KEY, target_stock=(pl.col("expected_demand") + safety).clip(0))

    return targets
