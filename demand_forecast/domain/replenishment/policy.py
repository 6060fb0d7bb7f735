"""What to order: periodic review, order up to a level that covers lead time plus review period.

Source: Silver, Pyke & Thomas (2017), Inventory and Production Management in Supply Chains, 4th ed., ch. 7.9: the (R, S)
system with the service measured as P1, the probability of no stock-out between two deliveries.
"""

import numpy as np
import polars as pl

from demand_forecast.domain.demand.calendar import Frequency, calendar_of
from demand_forecast.domain.replenishment.protection import DailyMoments, fit_correlation
from demand_forecast.domain.tables import QUANTILE_COLUMNS, SERIES
from demand_forecast.settings import Replenishment

PLAN_KEY = [*SERIES, "forecast_origin"]
PLAN_COLUMNS = {
    "store_id": pl.String,
    "product_id": pl.String,
    "forecast_origin": pl.Date,
    "on_hand": pl.Float32,
    "on_order": pl.Float32,
    "protection_days": pl.Int32,
    "expected_demand": pl.Float32,
    "target_stock": pl.Float32,
    "order_quantity": pl.Float32,
    "expected_stock": pl.Float32,
    "service_level": pl.Float32,
    "stock_known": pl.Boolean,
    "protection_cut": pl.Boolean,
}
CORRELATION = 0.1  # between errors of a series' days where no backtest tells; measured: 0.03 on the sample, 0.10 on M5
ROUNDING = 1e-4  # of stock counted in float32: 12.00001 missing units are 12
RISK_COLUMNS = {
    "store_id": pl.String,
    "product_id": pl.String,
    "forecast_origin": pl.Date,
    "lead_time": pl.Float32,
    "review_period": pl.Float32,
    "service_level_asked": pl.Float32,
    "stock_out_risk": pl.Float32,
}
POLICY = {
    "lead_time": pl.col("lead_time") >= 0,
    "review_period": pl.col("review_period") >= 1,
    "service_level": pl.col("service_level").is_between(0, 1, closed="none"),
}


def reorder_plan(
    forecast: pl.DataFrame,
    stock: pl.DataFrame | None,
    settings: Replenishment,
    frequency: Frequency,
    overrides: pl.DataFrame | None = None,
    correlation: float = CORRELATION,
) -> pl.DataFrame:
    """One row per series and origin of `forecast` (demand_forecast): how much to order at the end of the origin.

    Target stock is the service-level quantile of demand over the protection period of lead time + review period days,
    in whole units where the forecast quantiles are whole. Means and variances of days add up; medians and quantiles do
    not. Stock on hand and on order is the last that `stock` (clean_stock) reports up to the origin; none: 0, and
    `stock_known` is false. `overrides` may carry lead_time, review_period and service_level by
    product_id and/or store_id (clean_products); a value that is missing or impossible leaves the setting.

    `correlation` is that between the errors of a series' days, which share what is wrong about its level: see
    `error_correlation`.

    A protection period longer than the forecast is cut to it: `protection_days` says what is covered and
    `protection_cut` that it is too little. `service_level` is that of the stock after the order.
    """
    policies = _policies(forecast.select(PLAN_KEY).unique().sort(PLAN_KEY), settings, overrides)
    policies = _with_stock(policies, stock, calendar_of(frequency).step)
    days = _protected_days(forecast, policies, calendar_of(frequency).step)
    return _orders(policies.join(_reach(days), on=PLAN_KEY), days, correlation)


def stock_out_risk(
    forecast: pl.DataFrame,
    plan: pl.DataFrame,
    settings: Replenishment,
    frequency: Frequency,
    overrides: pl.DataFrame | None = None,
    correlation: float = CORRELATION,
) -> pl.DataFrame:
    """One row per row of `plan`, the `reorder_plan` of these arguments: the policy that it applied, as lead_time and
    review_period (days) and service_level_asked, and `stock_out_risk`.

    That is the probability that demand over the lead time, until an order placed now arrives, is above what is on hand
    and on order; null where the stock is not known. Demand is distributed as for the plan. Raises ValueError where the
    plan is not that of the forecast.
    """
    policies = _policies(plan.select(PLAN_KEY).sort(PLAN_KEY), settings, overrides)
    days = _protected_days(forecast, policies, calendar_of(frequency).step)
    if days["series"].n_unique() < len(policies):
        raise ValueError("the reorder plan has rows without a forecast: make reorder_plan again from demand_forecast")
    demand = _daily_demand(days).total(correlation, (days["awaited"] / days["step"]).to_numpy())
    stock = policies.select(PLAN_KEY).join(plan, on=PLAN_KEY, how="left", maintain_order="left")
    position = stock.select(pl.sum_horizontal("on_hand", "on_order").cast(pl.Float64)).to_series().to_numpy()
    risk = np.where(demand.mean > 0, 1.0 - demand.at_most(position), 0.0)
    found = policies.rename({"service_level": "service_level_asked"}).with_columns(
        pl.when(stock["stock_known"]).then(pl.Series(risk)).alias("stock_out_risk")
    )
    return found.select(pl.col(name).cast(dtype) for name, dtype in RISK_COLUMNS.items())


def error_correlation(backtest: pl.DataFrame, model: str, settings: Replenishment, frequency: Frequency) -> float:
    """The correlation, 0..1, between the errors of any two periods of one protection period of a series.

    From the rows of `model` in `backtest` (the table of that name); CORRELATION where they do not tell.
    """
    asked = calendar_of(frequency).periods(settings.lead_time + settings.review_period)
    days = backtest.filter(pl.col("model") == model, pl.col("units").is_not_null(), pl.col("horizon") <= asked)
    periods = pl.len().over(PLAN_KEY)
    days = days.filter(periods == periods.max(), periods > 1).sort(*PLAN_KEY, "horizon")
    if not (days["mean"] > 0).any():
        return CORRELATION
    days = days.with_columns(series=pl.struct(PLAN_KEY).rle_id())
    return fit_correlation(_daily_demand(days), days["units"].cast(pl.Float64).to_numpy())


def _policies(series: pl.DataFrame, settings: Replenishment, overrides: pl.DataFrame | None) -> pl.DataFrame:
    """`series` with lead_time, review_period (days) and service_level."""
    known = [name for name in POLICY if overrides is not None and name in overrides.columns]
    if overrides is not None and known:
        key = [column for column in SERIES if column in overrides.columns]
        own = overrides.select(*key, pl.col(known).cast(pl.Float64, strict=False))
        series = series.join(own, on=key, how="left")
    absent = [pl.lit(None, pl.Float64).alias(name) for name in POLICY if name not in known]
    return series.with_columns(absent).with_columns(
        pl.when(possible).then(pl.col(name)).otherwise(float(getattr(settings, name))).alias(name)
        for name, possible in POLICY.items()
    )


def _with_stock(policies: pl.DataFrame, stock: pl.DataFrame | None, step: int) -> pl.DataFrame:
    """`policies` with on_hand and on_order of the last report until the origin's period ends, and stock_known."""
    if stock is None or "on_hand" not in stock.columns:
        return policies.with_columns(on_hand=0.0, on_order=0.0, stock_known=False)
    counted = [name for name in ("on_hand", "on_order") if name in stock.columns]
    reports = stock.drop_nulls("on_hand").select("date", *SERIES, pl.col(counted).cast(pl.Float64))
    last = (
        policies.select(PLAN_KEY)
        .join(reports, on=SERIES)
        .filter(pl.col("date") < pl.col("forecast_origin").dt.offset_by(f"{step}d"))
        .sort("date")
        .group_by(PLAN_KEY)
        .agg(pl.col(counted).last())
    )
    found = policies.join(last, on=PLAN_KEY, how="left", maintain_order="left")
    on_order = pl.col("on_order").fill_null(0.0) if "on_order" in counted else pl.lit(0.0)
    return found.with_columns(
        pl.col("on_hand").fill_null(0.0), on_order.alias("on_order"), stock_known=pl.col("on_hand").is_not_null()
    )


def _protected_days(forecast: pl.DataFrame, policies: pl.DataFrame, step: int) -> pl.DataFrame:
    """The periods that the protection period reaches, with how many of their `step` days are in it (`covered`) and in
    the lead time (`awaited`).
    """
    asked = pl.col("lead_time") + pl.col("review_period")
    numbered = policies.select(*PLAN_KEY, "lead_time", asked.alias("asked_days")).with_row_index("series")
    before = (pl.col("horizon") - 1) * step
    near = forecast.filter(before < (numbered["asked_days"].max() or 0))
    days = near.join(numbered, on=PLAN_KEY).with_columns(
        covered=(pl.col("asked_days") - before).clip(0, step),
        awaited=(pl.col("lead_time") - before).clip(0, step),
        step=pl.lit(step),
    )
    return days.filter(pl.col("covered") > 0).sort("series", "horizon")


def _reach(days: pl.DataFrame) -> pl.DataFrame:
    protection = pl.col("covered").sum()
    return days.group_by(PLAN_KEY).agg(
        pl.col("series").first(),
        protection.ceil().alias("protection_days"),
        (protection < pl.col("asked_days").first()).alias("protection_cut"),
    )


def _daily_demand(days: pl.DataFrame) -> DailyMoments:
    mean, quantiles = days["mean"].cast(pl.Float64), days.select(pl.col(QUANTILE_COLUMNS).cast(pl.Float64))
    return DailyMoments.of(days["series"].to_numpy(), mean.to_numpy(), quantiles.to_numpy())


def _orders(policies: pl.DataFrame, days: pl.DataFrame, correlation: float) -> pl.DataFrame:
    policies = policies.sort("series")
    demand = _daily_demand(days).total(correlation, (days["covered"] / days["step"]).to_numpy())
    target = demand.quantile(policies["service_level"].to_numpy())
    position = (policies["on_hand"] + policies["on_order"]).to_numpy()
    order = np.maximum(np.ceil(target - position - ROUNDING), 0.0)
    plan = policies.with_columns(
        pl.Series("expected_demand", demand.mean),
        pl.Series("target_stock", target),
        pl.Series("order_quantity", order),
        pl.Series("expected_stock", np.maximum(position + order - demand.mean, 0.0)),
        pl.Series("service_level", demand.at_most(position + order)),
    )
    return plan.select(pl.col(name).cast(dtype) for name, dtype in PLAN_COLUMNS.items())
