"""The model of groups of series, and what it would have forecast at the backtest origins."""

import json
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg
import polars as pl

from demand_forecast.defs.features.contract import data_versions, read_plans
from demand_forecast.defs.features.vintages import read_vintages
from demand_forecast.defs.metadata import Metadata, table_metadata
from demand_forecast.defs.models.assets import fingerprint
from demand_forecast.defs.project import Project, code_version
from demand_forecast.domain.alignment.align import Groups
from demand_forecast.domain.alignment.group_forecast import backtest_groups
from demand_forecast.domain.alignment.groups import alignment_level, membership
from demand_forecast.domain.demand.hierarchy import Level
from demand_forecast.domain.features import looked_back
from demand_forecast.domain.models import ForecastModel
from demand_forecast.domain.models.lightgbm_tweedie import LightGBMTweedie
from demand_forecast.domain.tables import SERIES
from demand_forecast.tracking.registry import ModelVersion

ATTRIBUTES = ("plan", "products", "stores")
GROUP_COLUMNS = (*SERIES, "date", "units", "in_stock", "open")


@dg.asset(
    deps=["demand_features", "daily_demand", "clean_plan", "clean_products", "clean_stores"],
    group_name="models",
    kinds={"lightgbm", "mlflow"},
    description="The model of groups of series (of the finest declared level above products), forecast directly: sums "
    "are steadier than what they are made of. Trained at every backtest origin (table `group_backtest`), from which "
    "the backtest learns how far the forecasts of series are moved towards those of groups, and at the newest, which "
    "is registered and forecasts every night.",
)
def group_model(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    lake, tracking = project.lake, project.group_tracking
    tracking.prepare()
    versions = data_versions(lake)
    found = _registered(project, versions)
    if found is None:
        found = _train(context, project, versions)
    else:
        context.log.info(f"version {found.version} was trained on the same tables by the same code")
    made = lake.read("group_backtest")
    shown: Metadata = {"level": found.tag("level"), "model_version": found.version, "mlflow_run_id": found.run_id}
    seconds = 0.0 if found.tags.get("dagster_run_id") != context.run_id else float(found.tag("fit_seconds"))
    return dg.MaterializeResult(
        metadata=table_metadata(made, lake.version("group_backtest")) | shown | {"fit_seconds": seconds}
    )


def _registered(project: Project, versions: dict[str, int]) -> ModelVersion | None:
    """The version trained on the features as they are now, if `group_backtest` is of it too."""
    mark = _mark(project, versions)
    lake = project.lake
    kept = lake.exists("group_backtest") and lake.notes("group_backtest").get("fingerprint") == mark
    return project.group_tracking.find(mark) if kept else None


def _mark(project: Project, versions: dict[str, int]) -> str:
    return fingerprint(LightGBMTweedie(seed=project.settings.seed), versions)


def _train(context: dg.AssetExecutionContext, project: Project, versions: dict[str, int]) -> ModelVersion:
    """Writes `group_backtest` and `group_members`, and registers the model of the newest origin."""
    lake, settings = project.lake, project.settings
    rows = lake.scan("demand_features").filter(~pl.col("training")).select("forecast_origin").collect()
    origins: list[date] = rows["forecast_origin"].unique().sort().to_list()
    demand = group_demand(project, origins[-1], versions["daily_demand"])
    plan, products, stores = (lake.read(f"clean_{name}", versions[f"clean_{name}"]) for name in ATTRIBUTES)
    series = demand.select(SERIES).unique()
    level = alignment_level(series, products, stores, settings.covariates.static)
    plans = read_plans(lake.notes("demand_features", versions["demand_features"]))
    seconds: list[float] = []

    def said(origin: date, took: float) -> None:
        context.log.info(f"groups at {origin}")
        seconds.append(took)

    made, model = backtest_groups(
        demand,
        plan,
        products,
        stores,
        level,
        covariates=settings.covariates,
        frequency=project.frequency,
        horizon=settings.horizon,
        origins=origins,
        training=settings.training,
        seed=settings.seed,
        vintages=read_vintages(lake, plans, plan),
        on_fit=said,
    )
    about = {"level": level.name, "level_columns": level.columns, "fit_seconds": f"{sum(seconds):.2f}"}
    version = _register(
        context, project, model, about | {"forecast_origin": str(origins[-1]), "data_versions": versions}
    )
    lake.replace("group_members", membership(series, level, products, stores).sort(SERIES))
    lake.replace("group_backtest", made, {"fingerprint": _mark(project, versions)})
    context.log.info(f"{made.select('store_group', 'product_group').n_unique()} groups of level {level.name}")
    return version


def _register(
    context: dg.AssetExecutionContext, project: Project, model: ForecastModel, about: dict[str, Any]
) -> ModelVersion:
    tracking, dagster = project.group_tracking, {"dagster_run_id": context.run_id}
    name = f"groups {about['forecast_origin']}"
    with tracking.run(name, dagster | {"dagster_asset_key": "group_model"}) as run, TemporaryDirectory() as folder:
        model.save(Path(folder) / "model")
        made_by = {
            "model": model.name,
            "fingerprint": _mark(project, about["data_versions"]),
            "code_version": code_version(),
        }
        return tracking.version(tracking.register(run.run_id, Path(folder) / "model", about | made_by | dagster))


def group_demand(project: Project, last: date, version: int | None = None) -> pl.DataFrame:
    """The days of daily_demand that groups are forecast from: those that models are trained on."""
    since = looked_back(last, project.frequency) - timedelta(days=project.settings.training.window)
    days = project.lake.scan("daily_demand", version).filter(pl.col("date") >= since, pl.col("date") <= last)
    return days.select(GROUP_COLUMNS).collect()


def level_of(version: ModelVersion) -> Level:
    return Level(version.tag("level"), tuple(json.loads(version.tag("level_columns"))))


def read_group_backtest(project: Project) -> Groups:
    return Groups(project.lake.read("group_backtest"), project.lake.read("group_members"))
