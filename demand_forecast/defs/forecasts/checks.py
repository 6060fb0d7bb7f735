"""Checks of the forecast and of the reorder plan."""

import dagster as dg
import polars as pl

from demand_forecast.defs.features.assets import first_sales, last_day
from demand_forecast.defs.forecasts.kept import KEPT, SINCE, kept_because
from demand_forecast.defs.metadata import contract_check
from demand_forecast.defs.project import Project
from demand_forecast.domain.tables import series_key

RECENT = 56  # periods

demand_forecast_contract = contract_check("demand_forecast")


@dg.asset_check(
    asset="demand_forecast",
    blocking=True,
    description="Every series of daily_demand, and every one announced, has a forecast for every day of the horizon.",
)
def every_series_is_forecast(project: Project) -> dg.AssetCheckResult:
    if why := kept_because(project.lake):
        return dg.AssetCheckResult(passed=True, description=f"not made tonight: {why}")
    sold = first_sales(project.lake)
    forecast = project.lake.read("demand_forecast")
    series = forecast.select(series_key()).unique()
    missing = len(sold.join(series, on=series_key(), how="anti"))
    complete = len(forecast) == len(series) * project.settings.horizon
    return dg.AssetCheckResult(
        passed=missing == 0 and complete and forecast.select(*series_key(), "horizon").is_unique().all(),
        description=f"{len(forecast):,} rows for {len(series):,} series x {project.settings.horizon} periods, "
        f"{len(series) - len(sold) + missing:,} of them not sold yet; {missing:,} series without a forecast",
    )


@dg.asset_check(
    asset="demand_forecast",
    description="The forecast was made tonight. Where the champion cannot read what is configured now, its last "
    "forecast serves on, with the orders made of it, until a training has another champion: this only warns.",
)
def forecast_was_made_tonight(project: Project) -> dg.AssetCheckResult:
    notes = project.lake.notes("demand_forecast")
    origin = project.lake.newest("demand_forecast", "forecast_origin")
    text = f"made of the sales to {origin}"
    if why := notes.get(KEPT):
        text = (
            f"since {notes[SINCE]} the forecast of {origin} serves on: {why}. The sensor retraining requests a "
            "training; without it: demand-forecast run"
        )
    return dg.AssetCheckResult(passed=why is None, severity=dg.AssetCheckSeverity.WARN, description=text)


@dg.asset_check(
    asset="demand_forecast",
    description="The total forecast per period is within half and double of the last eight weeks' mean.",
)
def total_is_plausible(project: Project) -> dg.AssetCheckResult:
    forecast = _per_period(project.lake.scan("demand_forecast"), "mean")
    since = project.calendar.ahead(last_day(project.lake), -RECENT)
    demand = project.lake.scan("daily_demand").filter(pl.col("date") > since)
    recent = _per_period(demand, "units")
    return dg.AssetCheckResult(
        passed=0.5 * recent <= forecast <= 2.0 * recent,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{forecast:,.0f} units per period forecast, {recent:,.0f} sold in the last {RECENT} periods",
    )


def _per_period(table: pl.LazyFrame, column: str) -> float:
    totals = table.group_by("date").agg(pl.col(column).sum()).sort("date").tail(RECENT)
    return totals.select(pl.col(column).mean()).collect().item() or 0.0


@dg.asset_check(
    asset="reorder_plan", blocking=True, description="One line per series; no negative or unknown quantity."
)
def orders_are_sound(project: Project) -> dg.AssetCheckResult:
    plan = project.lake.read("reorder_plan")
    unique = plan.select(series_key()).is_unique().all()
    bad = plan.filter(pl.col("order_quantity").is_null() | (pl.col("order_quantity") < 0)).height
    return dg.AssetCheckResult(passed=unique and bad == 0, description=f"{len(plan):,} lines, {bad} unsound")
