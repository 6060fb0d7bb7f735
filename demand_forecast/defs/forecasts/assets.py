"""The forecast by the champion, those of groups that it is aligned with, and what to order."""

from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
import polars as pl

from demand_forecast.defs.metadata import picture, table_metadata
from demand_forecast.defs.project import Project
from demand_forecast.domain.alignment.align import Groups
from demand_forecast.domain.alignment.group_forecast import forecast_groups
from demand_forecast.domain.alignment.groups import alignment_level, membership
from demand_forecast.domain.backtest import newest_origin
from demand_forecast.domain.models import load_model
from demand_forecast.domain.replenishment import error_correlation
from demand_forecast.domain.replenishment import reorder_plan as plan_orders
from demand_forecast.domain.tables import QUANTILE_COLUMNS, series_key

KINDS = {"polars", "deltalake"}


class NoChampionError(RuntimeError):
    """Nothing may be served: no model was promoted yet."""


@dg.asset(
    deps=["demand_features", "daily_demand", "clean_plan", "clean_products", "clean_stores"],
    group_name="forecasts",
    kinds={"lightgbm", *KINDS},
    description="The demand of groups of series (of the finest declared level above products), forecast directly at "
    "every origin. Sums are steadier than what they are made of: the backtest learns how far the forecasts of series "
    "are moved towards these, by group and day.",
)
def group_forecast(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    lake, settings = project.lake, project.settings
    demand = lake.scan("daily_demand").select("store_id", "product_id", "date", "units", "open").collect()
    plan, products, stores = map(lake.read, ("clean_plan", "clean_products", "clean_stores"))
    origins = lake.scan("demand_features").select("forecast_origin", "training").collect()
    series = demand.select("store_id", "product_id").unique()
    level = alignment_level(series, products, stores, settings.covariates.static)
    seconds = []

    def said(origin: date, took: float) -> None:
        context.log.info(f"groups at {origin}")
        seconds.append(took)

    forecast = forecast_groups(
        demand,
        plan,
        products,
        stores,
        level,
        covariates=settings.covariates,
        frequency=settings.frequency,
        horizon=settings.horizon,
        origins=origins.filter(~pl.col("training"))["forecast_origin"].unique().sort().to_list(),
        training=settings.training,
        seed=settings.seed,
        on_fit=said,
    )
    lake.replace("group_members", membership(series, level, products, stores).sort("store_id", "product_id"))
    version = lake.replace("group_forecast", forecast)
    groups = forecast.select("store_group", "product_group").n_unique()
    context.log.info(f"{groups} groups of level {level.name}")
    shown = {"level": level.name, "groups": groups, "fit_seconds": round(sum(seconds), 2)}
    return dg.MaterializeResult(metadata=table_metadata(forecast, version) | shown)


def read_groups(project: Project) -> Groups:
    return Groups(project.lake.read("group_forecast"), project.lake.read("group_members"))


@dg.asset(
    deps=["promoted_model", "demand_features", "group_forecast", "backtest"],
    group_name="forecasts",
    kinds=KINDS,
    description="Expected units and nine quantiles for every series and day of the horizon, by the champion.",
)
def demand_forecast(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    from demand_forecast.reports.charts.forecasts import forecast_fan, representative_series

    champion = project.tracking.champion()
    if champion is None:
        raise NoChampionError(
            "demand_forecast: no model was promoted, so nothing is forecast; the reasons are in the promotion ledger "
            "(asset promoted_model). Bring more history, or change promotion: in the configuration"
        )
    features = project.lake.read("demand_features")
    origin = newest_origin(features)
    rows = features.filter(~pl.col("training") & (pl.col("forecast_origin") == origin))
    with TemporaryDirectory() as folder:
        model = load_model(project.tracking.download(champion.version, Path(folder)))
    weight = alignment_weight(project, champion.version)
    mean = read_groups(project).align(rows, model.expected(rows), weight)
    forecast = (
        model.distribution(rows, mean)
        .with_columns(model_version=pl.lit(champion.version))
        .select(
            *series_key(), "date", "forecast_origin", "horizon", "mean", *QUANTILE_COLUMNS, "model", "model_version"
        )
        .sort(*series_key(), "horizon")
    )
    context.log.info(
        f"{len(forecast):,} rows from {origin} by {champion.model} version {champion.version}, "
        f"aligned with groups by {weight:g}"
    )
    version = project.lake.replace("demand_forecast", forecast)
    demand = project.lake.read("daily_demand")
    pictures = {
        f"forecast_{number}": picture(forecast_fan(demand, forecast, series))
        for number, series in enumerate(representative_series(demand, 3), start=1)
    }
    shown = {"forecast_origin": str(origin), "model": champion.model, "model_version": champion.version} | {
        "alignment": weight
    }
    return dg.MaterializeResult(metadata=table_metadata(forecast, version) | shown | pictures)


def alignment_weight(project: Project, version: str) -> float:
    """How far the forecast of a model version is moved towards those of groups: what its last backtest says."""
    learned = project.lake.read("alignment").filter(
        pl.col("forecast_origin").is_null() & (pl.col("model_version") == version)
    )
    return float(learned["weight"][0]) if len(learned) else 0.0


@dg.asset(
    deps=["demand_forecast", "backtest", "clean_stock", "clean_products"],
    group_name="forecasts",
    kinds=KINDS,
    description="What to order now, by series: up to the service-level quantile of demand over lead time and review "
    "period, less the stock on hand and on order.",
)
def reorder_plan(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    from demand_forecast.reports.charts.forecasts import reorder_summary

    lake, settings = project.lake, project.settings
    stock, products, forecast = (lake.read(name) for name in ("clean_stock", "clean_products", "demand_forecast"))
    policy, frequency = settings.replenishment, settings.frequency
    alike = error_correlation(lake.read("backtest"), forecast["model"][0], policy, frequency)
    plan = plan_orders(forecast, stock, policy, frequency, products, alike)
    context.log.info(
        f"{plan['order_quantity'].sum():,.0f} units to order in {(plan['order_quantity'] > 0).sum():,} series"
    )
    metadata = table_metadata(plan, lake.replace("reorder_plan", plan))
    shown = {"error_correlation": round(alike, 3), "orders": picture(reorder_summary(plan))}
    return dg.MaterializeResult(metadata=metadata | shown)
