"""The champion's forecast, the group forecasts it is aligned with, and the reorder plan."""

import json
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
import polars as pl

from demand_forecast.defs.features.assets import first_sales, last_day, own_features
from demand_forecast.defs.forecasts.kept import groups_obstacle, keep, left_as_it_is, standstill
from demand_forecast.defs.metadata import SHOWN, TABLE_KINDS, Metadata, lake_metadata, picture, table_metadata
from demand_forecast.defs.models.group_model import group_demand, level_of
from demand_forecast.defs.project import Project
from demand_forecast.domain.alignment.align import Groups
from demand_forecast.domain.alignment.group_forecast import forecast_groups
from demand_forecast.domain.alignment.groups import membership
from demand_forecast.domain.evaluation.roles import Role
from demand_forecast.domain.models import BASELINE_MODEL, load_model
from demand_forecast.domain.models.training_rows import newest_origin
from demand_forecast.domain.replenishment.policy import PLAN
from demand_forecast.domain.replenishment.policy import reorder_plan as plan_orders
from demand_forecast.domain.tables import FORECAST_NUMBERS, meaning_of, series_key
from demand_forecast.tracking.ledger import PromotionLedger
from demand_forecast.tracking.registry import ModelVersion
from demand_forecast.tracking.trial import TrialChoice, choose_trial

OF_THE_NIGHT = (
    *("forecast_features", "forecast_plan", "new_product_features", "group_forecast", "demand_forecast"),
    *("published_forecasts", "reorder_plan", "series_overview", "challenger_forecast"),
)
MADE_OF = ("forecast_features", "group_forecast", "group_members")
FORGOTTEN_AFTER = timedelta(days=14)  # a night's tables; what models were made of is kept
COLUMNS = (
    *(*series_key(), "date", "forecast_origin", "horizon", *FORECAST_NUMBERS),
    *("model", "model_version", "alignment"),
)
KEPT_HORIZONS = 2  # for so long what was published is kept: its days come within one


class NoChampionError(RuntimeError):
    """No model was promoted yet, so nothing can be forecast."""


@dg.asset(
    deps=["daily_demand", "clean_plan", "clean_products", "clean_stores", "group_model"],
    group_name="forecasts",
    kinds={"lightgbm", *TABLE_KINDS},
    description="The demand of groups of series at the last closed day, forecast directly by `group_model`. The "
    "forecasts of series are moved towards these, by group and day, as far as the champion's backtest says.",
)
def group_forecast(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    lake, settings = project.lake, project.settings
    newest = project.group_tracking.newest()
    if newest is None:
        raise NoChampionError("group_forecast: no model of groups is registered; materialize group_model first")
    if (why := groups_obstacle(project)) and lake.exists("group_forecast"):
        context.log.warning(f"left as it was: {why}")
        return dg.MaterializeResult(metadata={"kept": why} | lake_metadata(lake, "group_forecast"))
    with TemporaryDirectory() as folder:
        model = load_model(project.group_tracking.download(newest.version, Path(folder)))
    demand, series = group_demand(project, last_day(lake)), first_sales(lake)
    plan, products, stores = map(lake.read, ("clean_plan", "clean_products", "clean_stores"))
    level = level_of(newest)
    forecast = forecast_groups(
        model,
        demand,
        series,
        plan,
        products,
        stores,
        level,
        covariates=settings.covariates,
        frequency=project.frequency,
    )
    lake.replace("group_members", membership(series, level, products, stores).sort(series_key()))
    version = lake.replace("group_forecast", forecast)
    groups = forecast.select("store_group", "product_group").n_unique()
    context.log.info(f"{groups} groups of level {level.name} by model version {newest.version}")
    shown: Metadata = {"level": level.name, "groups": groups, "model_version": newest.version}
    return dg.MaterializeResult(metadata=shown | table_metadata(forecast, version))


@dg.asset(
    deps=["promoted_model", "forecast_features", "group_forecast"],
    group_name="forecasts",
    kinds=TABLE_KINDS,
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
    if (why := standstill(project, champion)) and project.lake.exists("demand_forecast"):
        return keep(context, project, why)
    rows = project.lake.read("forecast_features")
    weight = project.tracking.proof(champion.version).alignment
    forecast = forecast_by(project, champion, rows)
    origin = newest_origin(rows)
    context.log.info(
        f"{len(forecast):,} rows from {origin} by {champion.model} version {champion.version}, "
        f"aligned with groups by {weight:g}"
    )
    version = project.lake.replace("demand_forecast", forecast)
    recent = project.lake.scan("daily_demand").filter(pl.col("date") > origin - SHOWN).collect()
    pictures = {
        f"forecast_{number}": picture(forecast_fan(recent, forecast, series))
        for number, series in enumerate(representative_series(recent, 3), start=1)
    }
    made_by = {"forecast_origin": str(origin), "model": champion.model, "model_version": champion.version}
    shown = made_by | pictures | {"alignment": weight}
    return dg.MaterializeResult(metadata=shown | table_metadata(forecast, version))


def forecast_by(project: Project, version: ModelVersion, rows: pl.DataFrame) -> pl.DataFrame:
    """The table demand_forecast as the registered `version` forecasts `rows`, the table forecast_features, aligned with
    groups as its own backtest says. A version that reads other features gets these. The model's expected units times
    `alignment` are, bit for bit, the mean behind the quantiles.

    Raises RegistryError where the version is gone, LakeError without the group forecasts, ContractError where the
    version cannot read tonight's tables.
    """
    with TemporaryDirectory() as folder:
        model = load_model(project.tracking.download(version.version, Path(folder)))
    own = own_features(project, model.contract)
    rows = rows if own is None else own.rows
    groups = Groups(project.lake.read("group_forecast"), project.lake.read("group_members"))
    mean = model.expected(rows)
    factor = groups.factor(rows, mean, model.proof.alignment if model.proof else 0.0)
    forecast = model.distribution(rows, mean * factor)
    forecast = forecast.with_columns(model_version=pl.lit(version.version), alignment=pl.Series(factor))
    return forecast.select(COLUMNS).sort(*series_key(), "horizon")


@dg.asset(
    deps=["demand_forecast"],
    group_name="forecasts",
    kinds=TABLE_KINDS,
    description="What was published, beside what the previous champion, seasonal naive and a challenger on trial would "
    "have said of the same days: forecasts of the last weeks, by origin and role, to be scored when their days have "
    "come.",
)
def published_forecasts(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    lake, tracking, settings = project.lake, project.tracking, project.settings
    if left := left_as_it_is(context, lake, "published_forecasts"):
        return left
    kept = -KEPT_HORIZONS * settings.horizon
    published, rows = lake.read("demand_forecast"), lake.read("forecast_features")
    origin, live = newest_origin(published), published["model_version"][0]
    choice, tried = forecast_on_trial(project)
    shadows: dict[Role, ModelVersion | None] = {
        "previous": tracking.previous(),
        "baseline": tracking.newest(BASELINE_MODEL),
        "challenger": choice.version,
    }
    made = [published.with_columns(role=pl.lit("champion"))]
    for role, version in shadows.items():
        if version is not None and version.version != live:
            tonight = tried if version == choice.version else None
            try:
                forecast = forecast_by(project, version, rows) if tonight is None else tonight
            except Exception as error:  # whatever a model of another time may do: no reason to publish nothing
                context.log.warning(f"{role}: {version.model} version {version.version} is left out: {error}")
                continue
            made.append(forecast.with_columns(role=pl.lit(role)))
            context.log.info(f"{role}: {version.model} version {version.version}")
    context.log.info(choice.text)
    frame = pl.concat(made, how="diagonal").drop("alignment", strict=False)
    lake.replace_since("published_forecasts", frame, origin, "forecast_origin")
    lake.drop_before("published_forecasts", project.calendar.ahead(origin, kept), "forecast_origin")
    for table in OF_THE_NIGHT:
        if lake.exists(table):
            lake.forget(table, FORGOTTEN_AFTER)
    roles = {"roles": [*frame["role"].unique().sort()]}
    return dg.MaterializeResult(metadata=roles | lake_metadata(lake, "published_forecasts"))


def forecast_on_trial(project: Project) -> tuple[TrialChoice, pl.DataFrame | None]:
    """The challenger on trial tonight and its table demand_forecast; None where nobody is on trial.

    Made once a night and kept as table `challenger_forecast`. A challenger that fails to forecast is not tried out; the
    champion is not affected. Raises RegistryError where the challenger's version is gone.
    """
    choice = choose_trial(project.tracking, PromotionLedger(project.lake), project.settings)
    if choice.version is None:
        return choice, None
    try:
        return choice, _kept_or_made(project, choice.version)
    except Exception as error:  # whatever a model that does not serve may do
        return TrialChoice(f"version {choice.version.version} does not forecast: {error}"), None


def _kept_or_made(project: Project, version: ModelVersion) -> pl.DataFrame:
    lake, table = project.lake, "challenger_forecast"
    made_of = json.dumps({"model_version": version.version} | lake.versions(MADE_OF), sort_keys=True)
    if lake.exists(table) and lake.notes(table).get("made_of") == made_of:
        return lake.read(table)
    forecast = forecast_by(project, version, lake.read("forecast_features"))
    lake.replace(table, forecast, {"made_of": made_of})
    return forecast


@dg.asset(
    deps=["demand_forecast", "clean_stock", "clean_products"],
    group_name="forecasts",
    kinds=TABLE_KINDS,
    description="What to order now, by series: up to the service-level quantile of demand over lead time and review "
    "period, less the stock on hand and on order.",
)
def reorder_plan(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    from demand_forecast.reports.charts.forecasts import reorder_summary

    lake, settings = project.lake, project.settings
    if kept := left_as_it_is(context, lake, "reorder_plan"):
        return kept
    stock, products, forecast = (lake.read(name) for name in ("clean_stock", "clean_products", "demand_forecast"))
    policy, frequency = settings.replenishment, project.frequency
    plan = plan_orders(forecast, stock, policy, frequency, products)
    context.log.info(
        f"{plan['order_quantity'].sum():,.0f} units to order in {(plan['order_quantity'] > 0).sum():,} series"
    )
    table = table_metadata(plan, lake.replace("reorder_plan", plan), meaning_of(PLAN))
    shown: Metadata = {"orders": picture(reorder_summary(plan))}
    return dg.MaterializeResult(metadata=shown | table)
