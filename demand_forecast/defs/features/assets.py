"""Demand by series and day, and what models read."""

import dagster as dg

from demand_forecast.defs.features.contract import read_contract
from demand_forecast.defs.metadata import picture, table_metadata
from demand_forecast.defs.project import Project, first_and_last_day
from demand_forecast.domain.backtest import backtest_origins
from demand_forecast.domain.features import build_demand_features
from demand_forecast.domain.panel import build_daily_demand
from demand_forecast.domain.tables import SERIES

KINDS = {"polars", "deltalake"}


@dg.asset(
    deps=["clean_sales", "clean_stock", "clean_plan"],
    group_name="features",
    kinds=KINDS,
    description="One row per series and period from the series' first sale to the last closed day, zeros filled in. "
    "A day without stock or with a closed shop is marked: it is not a day without demand.",
)
def daily_demand(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    from demand_forecast.reports.charts.data import demand_over_time

    lake, settings = project.lake, project.settings
    read = [*SERIES, "date", "units", "price", *settings.covariates.past_only]
    demand = build_daily_demand(
        lake.scan("clean_sales").select(read).collect(),
        lake.read("clean_stock"),
        lake.read("clean_plan"),
        frequency=settings.frequency,
        missing_day=settings.missing_day,
        past_only=settings.covariates.past_only,
    )
    series = demand.select("store_id", "product_id").n_unique()
    _, last = first_and_last_day(demand)
    context.log.info(f"{series:,} series, {len(demand):,} rows to {last}")
    metadata = table_metadata(demand, lake.replace("daily_demand", demand))
    shown = {"series": series, "last_day": str(last), "demand": picture(demand_over_time(demand))}
    return dg.MaterializeResult(metadata=metadata | shown)


@dg.asset(
    deps=["daily_demand", "clean_plan", "clean_products", "clean_stores", "clean_stock"],
    group_name="features",
    kinds=KINDS,
    description="One row per series, forecast origin and horizon: what was known at the origin about that day, and, "
    "where the day is past, the units it brought. Rows to train on, rows of the backtest origins, and rows of the "
    "next forecast, all made by one builder. The feature contract is noted with the table's version.",
)
def demand_features(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    lake, settings = project.lake, project.settings
    demand = lake.read("daily_demand")
    first, last = first_and_last_day(demand)
    origins = backtest_origins(
        first,
        last,
        horizon=settings.horizon,
        count=settings.backtest.origins,
        step=settings.backtest.step,
        frequency=settings.frequency,
    )
    features, contract = build_demand_features(
        demand,
        lake.read("clean_plan"),
        lake.read("clean_products"),
        lake.read("clean_stores"),
        lake.read("clean_stock"),
        covariates=settings.covariates,
        frequency=settings.frequency,
        horizon=settings.horizon,
        origins=[*origins, last],
        training=settings.training,
        seed=settings.seed,
        previous=read_contract(lake) if lake.exists("demand_features") else None,
    )
    version = lake.replace("demand_features", features, notes={"contract": contract.to_json()})
    context.log.info(f"{len(features):,} rows of {len(contract.columns)} features")
    shown = {"feature_contract": dg.MetadataValue.md(contract.to_markdown()), "backtest_origins": [*map(str, origins)]}
    meaning = {column.name: column.reason for column in contract.columns}
    return dg.MaterializeResult(metadata=table_metadata(features, version, meaning) | shown)
