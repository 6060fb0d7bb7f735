"""What to order: periodic review, order up to a level that covers lead time plus review period.

Source: Silver, Pyke & Thomas (2017), Inventory and Production Management in Supply Chains, 4th ed., ch. 7.9: the (R, S)
system with the service measured as P1, the probability of no stock-out between two deliveries.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from demand_forecast.domain.demand.calendar import Calendar, Frequency, calendar_of
from demand_forecast.domain.models.distribution import Floats
from demand_forecast.domain.models.spread import KINDS
from demand_forecast.domain.replenishment.protection import DailyMoments, fit_correlation
from demand_forecast.domain.tables import MEANING, QUANTILE_COLUMNS, SERIES, Column, schema_of
from demand_forecast.settings import Replenishment

PLAN_KEY = [*SERIES, "forecast_origin"]
PLAN = (
    Column("store_id", pl.String(), MEANING["store_id"]),
    Column("product_id", pl.String(), MEANING["product_id"]),
    Column("forecast_origin", pl.Date(), MEANING["forecast_origin"]),
    Column("on_hand", pl.Float32(), "units in the store that were counted", "On hand", "units", 735.0),
    Column("on_order", pl.Float32(), "units ordered and not yet here that were counted", "On order", "units", 0.0),
    Column("protection_days", pl.Int32(), "days covered: lead time + review period, at most the forecast", example=10),
    Column(
        "expected_demand",
        pl.Float32(),
        "expected units over the protection period",
        "Expected to sell until the next order arrives",
        "units",
        959.2474,
    ),
    Column(
        "target_stock",
        pl.Float32(),
        "order-up-to level: the service-level quantile of demand over the protection period",
        "Stock to aim for",
        "units",
        1064.0,
    ),
    Column("order_quantity", pl.Float32(), "units to order now", "To order", "units", 329.0),
    Column(
        "expected_stock",
        pl.Float32(),
        "expected units left at the end of the protection period, after the order",
        "Expected to be left at the end",
        "units",
        104.7526,
    ),
    Column(
        "service_level",
        pl.Float32(),
        "probability that the stock after the order covers demand over the protection period",
        "Chance that it lasts",
        "share",
        0.9514657,
    ),
    Column("stock_known", pl.Boolean(), "whether a stock report says what is on hand; else 0 counts", example=True),
    Column(
        "protection_cut", pl.Boolean(), "whether lead time + review period is longer than the forecast", example=False
    ),
)
"""The columns of `reorder_plan`."""
DOUBT = 100  # protection periods of a kind of demand with as many of which its own correlation is trusted half
ROUNDING = 1e-4  # of stock counted in float32: 12.00001 missing units are 12
STOCK_OUT = (
    Column("lead_time", pl.Float32(), "days between order and delivery", example=3),
    Column("review_period", pl.Float32(), "days between orders", example=7),
    Column("service_level_asked", pl.Float32(), "service level that the order aims at", example=0.95),
    Column(
        "stock_out_risk",
        pl.Float32(),
        "probability that demand until an order placed now arrives is above on_hand + on_order",
        "Stock-out risk",
        "share",
        0.780966,
    ),
)
"""The policy that the plan applied, and what `stock_out_risk` adds to the key of a plan's row."""
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
    series: Sequence[str] = SERIES,
) -> pl.DataFrame:
    """One row per series and origin of `forecast` (demand_forecast): how much to order at the end of the origin.

    Target stock is the service-level quantile of demand over the protection period of lead time + review period days,
    in whole units where the forecast quantiles are whole. Means add up, and variances with the `correlation` of a
    series' days, whose errors share what is wrong about its level; medians and quantiles do not. Stock on hand and on
    order is the last that `stock` (clean_stock) reports up to the origin; none: 0, and `stock_known` is false.
    `overrides` may carry lead_time, review_period and service_level by product_id and/or store_id (clean_products); a
    value that is missing or impossible leaves the setting.

    A protection period longer than the forecast is cut to it: `protection_days` says what is covered and
    `protection_cut` that it is too little. `service_level` is that of the stock after the order.

    `series` are the columns by which the three tables name a series, and by which the result is sorted.
    """
    key = [*series, "forecast_origin"]
    policies = _policies(forecast.select(key).unique().sort(key), settings, overrides, series)
    policies = _with_stock(policies, stock, calendar_of(frequency), series)
    days = _protected_days(forecast, policies, calendar_of(frequency), key)
    return _orders(policies.join(_reach(days, key), on=key), days, key)


def stock_out_risk(
    forecast: pl.DataFrame,
    plan: pl.DataFrame,
    settings: Replenishment,
    frequency: Frequency,
    overrides: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """One row per row of `plan`, the `reorder_plan` of these arguments: the policy that it applied, as lead_time and
    review_period (days) and service_level_asked, and `stock_out_risk`.

    That is the probability that demand over the lead time, until an order placed now arrives, is above what is on hand
    and on order; null where the stock is not known. Demand is distributed as for the plan. Raises ValueError where the
    plan is not that of the forecast.
    """
    policies = _policies(plan.select(PLAN_KEY).sort(PLAN_KEY), settings, overrides)
    days = _protected_days(forecast, policies, calendar_of(frequency))
    if days["series"].n_unique() < len(policies):
        raise ValueError("the reorder plan has rows without a forecast: make reorder_plan again from demand_forecast")
    demand = _daily_demand(days).total(_correlation(days), (days["awaited"] / days["step"]).to_numpy())
    stock = policies.select(PLAN_KEY).join(plan, on=PLAN_KEY, how="left", maintain_order="left")
    position = stock.select(pl.sum_horizontal("on_hand", "on_order").cast(pl.Float64)).to_series().to_numpy()
    risk = np.where(demand.mean > 0, 1.0 - demand.at_most(position), 0.0)
    found = policies.rename({"service_level": "service_level_asked"}).with_columns(
        pl.when(stock["stock_known"]).then(pl.Series(risk)).alias("stock_out_risk")
    )
    return found.select(
        pl.col(name).cast(dtype) for name, dtype in (schema_of(PLAN[:3]) | schema_of(STOCK_OUT)).items()
    )


def error_correlation(
    backtest: pl.DataFrame, model: str, settings: Replenishment, frequency: Frequency
) -> tuple[float, ...] | None:
    """The correlation, 0..1, between the errors of any two periods of one protection period of a series, of each of
    KINDS of demand, drawn towards that of all kinds together.

    From the rows of `model` in `backtest` (the table of that name), of each day for the time in which goods were there;
    None where they do not tell.
    """
    asked = calendar_of(frequency).periods(settings.lead_time + settings.review_period)
    days = backtest.filter(pl.col("model") == model, pl.col("units").is_not_null(), pl.col("horizon") <= asked)
    periods = pl.len().over(PLAN_KEY)
    days = days.filter(periods == periods.max(), periods > 1).sort(*PLAN_KEY, "horizon")
    told = days.filter((pl.col("mean") * pl.col("exposure")).sum().over(PLAN_KEY) > 0)
    if told.is_empty():
        return None
    whole, found = _fitted(told), []
    for kind in KINDS:
        own = told.filter(pl.col("kind") == kind)
        count = own.select(PLAN_KEY).n_unique()
        trust = count / (count + DOUBT)
        found.append(trust * _fitted(own) + (1 - trust) * whole if count else whole)
    return tuple(found)


def _fitted(days: pl.DataFrame) -> float:
    """The correlation that all series have in common; `days` by series."""
    days = days.with_columns(series=pl.struct(PLAN_KEY).rle_id())
    units, exposure = (days[name].cast(pl.Float64).to_numpy() for name in ("units", "exposure"))
    return fit_correlation(_daily_demand(days), units, exposure)


def _policies(
    rows: pl.DataFrame, settings: Replenishment, overrides: pl.DataFrame | None, series: Sequence[str] = SERIES
) -> pl.DataFrame:
    """`rows` with lead_time, review_period (days) and service_level."""
    known = [name for name in POLICY if overrides is not None and name in overrides.columns]
    if overrides is not None and known:
        key = [column for column in series if column in overrides.columns]
        own = overrides.select(*key, pl.col(known).cast(pl.Float64, strict=False))
        rows = rows.join(own, on=key, how="left")
    absent = [pl.lit(None, pl.Float64).alias(name) for name in POLICY if name not in known]
    return rows.with_columns(absent).with_columns(
        pl.when(possible).then(pl.col(name)).otherwise(float(getattr(settings, name))).alias(name)
        for name, possible in POLICY.items()
    )


def _with_stock(
    policies: pl.DataFrame, stock: pl.DataFrame | None, calendar: Calendar, series: Sequence[str]
) -> pl.DataFrame:
    """`policies` with on_hand and on_order of the last report until the origin's period ends, and stock_known."""
    if stock is None or "on_hand" not in stock.columns:
        return policies.with_columns(on_hand=0.0, on_order=0.0, stock_known=False)
    counted = [name for name in ("on_hand", "on_order") if name in stock.columns]
    key = [*series, "forecast_origin"]
    reports = stock.drop_nulls("on_hand").select("date", *series, pl.col(counted).cast(pl.Float64))
    last = (
        policies.select(key)
        .join(reports, on=series)
        .filter(pl.col("date") <= calendar.last_day(pl.col("forecast_origin")))
        .sort("date")
        .group_by(key)
        .agg(pl.col(counted).last())
    )
    found = policies.join(last, on=key, how="left", maintain_order="left")
    on_order = pl.col("on_order").fill_null(0.0) if "on_order" in counted else pl.lit(0.0)
    return found.with_columns(
        pl.col("on_hand").fill_null(0.0), on_order.alias("on_order"), stock_known=pl.col("on_hand").is_not_null()
    )


def _protected_days(
    forecast: pl.DataFrame, policies: pl.DataFrame, calendar: Calendar, key: Sequence[str] = PLAN_KEY
) -> pl.DataFrame:
    """The periods that the protection period reaches, with how many of their days (`step`) are in it (`covered`) and
    in the lead time (`awaited`).
    """
    asked = pl.col("lead_time") + pl.col("review_period")
    numbered = policies.select(*key, "lead_time", asked.alias("asked_days")).with_row_index("series")
    before = (calendar.first_day(pl.col("date")) - calendar.last_day(pl.col("forecast_origin"))).dt.total_days() - 1
    near = forecast.with_columns(before=before, step=calendar.days(pl.col("date")))
    near = near.filter(pl.col("before") < (numbered["asked_days"].max() or 0))
    days = near.join(numbered, on=key).with_columns(
        (pl.col(asked) - pl.col("before")).clip(0, pl.col("step")).alias(part)
        for part, asked in (("covered", "asked_days"), ("awaited", "lead_time"))
    )
    return days.filter(pl.col("covered") > 0).sort("series", "horizon")


def _reach(days: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    protection = pl.col("covered").sum()
    return days.group_by(key).agg(
        pl.col("series").first(),
        protection.ceil().alias("protection_days"),
        (protection < pl.col("asked_days").first()).alias("protection_cut"),
    )


def _daily_demand(days: pl.DataFrame) -> DailyMoments:
    mean, variance = (days[name].cast(pl.Float64).to_numpy() for name in ("mean", "variance"))
    return DailyMoments.of(days["series"].to_numpy(), mean, variance, days.select(QUANTILE_COLUMNS).to_numpy())


def _correlation(days: pl.DataFrame) -> Floats:
    """Between the days of each series, shape (series,)."""
    return days.group_by("series", maintain_order=True).agg(pl.col("correlation").first())["correlation"].to_numpy()


def _orders(policies: pl.DataFrame, days: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    policies = policies.sort("series")
    demand = _daily_demand(days).total(_correlation(days), (days["covered"] / days["step"]).to_numpy())
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
    schema = schema_of(PLAN)
    columns = [*key, *(name for name in schema if name not in PLAN_KEY)]
    return plan.select(columns).cast({name: schema[name] for name in columns if name in schema})  # type: ignore[arg-type]
