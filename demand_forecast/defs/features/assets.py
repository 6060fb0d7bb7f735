"""Demand by series and day, and the feature tables."""

import json
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import dagster as dg
import polars as pl

from demand_forecast.defs.features.contract import feature_notes, night_notes, read_contract
from demand_forecast.defs.features.readable import changes, contract_of_tonight, require_readable
from demand_forecast.defs.features.vintages import plan_in_words, plans_kept, read_vintages
from demand_forecast.defs.metadata import (
    TABLE_KINDS,
    Metadata,
    declared_columns,
    lake_metadata,
    markdown_table,
    picture,
    recent_days,
    table_metadata,
)
from demand_forecast.defs.project import Project, recipe
from demand_forecast.domain.demand.calendar import Calendar
from demand_forecast.domain.demand.exceptions import without_exceptions
from demand_forecast.domain.demand.panel import build_daily_demand, continues
from demand_forecast.domain.demand.silence import Silence, Silences, first_difference, read_silences, silences
from demand_forecast.domain.evaluation.backtest import backtest_origins
from demand_forecast.domain.features import (
    ContractError,
    FeatureContract,
    ForecastFeatures,
    build_demand_features,
    build_forecast_features,
    looked_back,
)
from demand_forecast.domain.models.training_rows import newest_origin
from demand_forecast.domain.tables import SERIES
from demand_forecast.lake.tables import Lake
from demand_forecast.sources.days import local_day

DOUBT = "doubt"  # the note with why the rows look like those of longer periods than are configured
SILENCES = "silences"  # the note with what was found of stores of which nothing was heard
PANEL_TABLES = ("clean_sales", "clean_stock", "clean_plan")
ATTRIBUTE_TABLES = ("clean_plan", "clean_products", "clean_stores", "clean_stock")
EMPTY = "daily_demand is empty: no sales line counts; the asset rejected_sales has the reasons"
MODEL_TABLES = ("raw_sales", "clean_sales", *ATTRIBUTE_TABLES, "daily_demand")


@dg.asset(
    deps=["clean_sales", "clean_stock", "clean_plan"],
    group_name="features",
    kinds=TABLE_KINDS,
    description="One row per series and period from the series' first sale to the last closed day, zeros filled in. "
    "A day without stock or with a closed shop is marked: it is not a day without demand. Of a store of which nothing "
    "was heard nothing is known: no units; a day with an exceptional order has no in_stock.",
)
def daily_demand(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    from demand_forecast.reports.charts.data import demand_over_time

    lake, settings = project.lake, project.settings
    lines = lake.scan("clean_sales").group_by("store_id", "date").agg(rows=pl.len()).collect(engine="streaming")
    kept = project.recognise(lines.group_by("date").agg(pl.col("rows").sum()))
    found = _silences(lake, lines, kept.calendar)
    context.log.info(kept.said)
    how = recipe(kept.calendar.code, settings.missing_day, settings.covariates.past_only)
    notes = {table: str(version) for table, version in lake.versions(PANEL_TABLES).items()}
    notes |= {"how": how, "frequency": kept.calendar.code, DOUBT: kept.doubt, SILENCES: found.to_json()}
    since = _first_day_to_build(lake, how, found)
    if since is None:
        context.log.info("nothing changed on any day")
    else:
        _build(project, kept.calendar, since, notes, found.days)
        context.log.info(f"built from {lake.notes('daily_demand').get('since', 'the first day')} on")
    series, last = len(first_sales(lake)), last_day(lake)
    context.log.info(f"{series:,} series to {last}")
    recent = recent_days(lake, "daily_demand").select("store_id", "product_id", "date", "units").collect()
    shown: Metadata = {
        "series": series,
        "last_day": str(last),
        "periods": kept.said,
        "demand": picture(demand_over_time(recent)),
    }
    table = lake_metadata(lake, "daily_demand", declared_columns(settings.covariates))
    return dg.MaterializeResult(metadata=shown | table)


def _silences(lake: Lake, lines: pl.DataFrame, calendar: Calendar) -> Silences:
    """Judged by all lines: a late one ends a silence, a night without one makes days before it unknown."""
    plan = lake.read("clean_plan")
    closed = plan.filter(pl.col("open") == 0, pl.col("product_id").is_null()) if "open" in plan.columns else None
    return silences(lines.select("store_id", "date"), closed, calendar)


def read_heard(lake: Lake) -> tuple[Silence, ...]:
    """The silences in daily_demand. Raises LakeError without that table."""
    return read_silences(lake.notes("daily_demand").get(SILENCES, "[]"))


def _first_day_to_build(lake: Lake, how: str, found: Silences) -> date | None:
    """The first day of daily_demand whose inputs changed; None where none did, date.min where all may have."""
    notes = lake.notes("daily_demand") if lake.exists("daily_demand") else {}
    if notes.get("how") != how:
        return date.min
    changes = [lake.first_change(table, int(notes[table])) for table in PANEL_TABLES]
    changes.append(first_difference(read_heard(lake), found.found))
    first = min((day for day in changes if day is not None), default=None)
    newest = lake.newest("clean_sales")
    return None if first is None or newest is None or first > max(newest, last_day(lake)) else first


def _build(project: Project, calendar: Calendar, since: date, notes: dict[str, str], unknown: pl.DataFrame) -> None:
    """Writes daily_demand from `since` on, or all of it where earlier days change too."""
    lake = project.lake
    since = min(since, last_day(lake) + timedelta(days=1)) if since > date.min else since
    if since > date.min and calendar.frequency == "daily":
        history = lake.scan("daily_demand").filter(pl.col("date") < since)
        before = history.filter(pl.col("date") == since - timedelta(days=1)).collect()
        after = _panel(project, calendar, since, before, unknown) if len(before) else before
        if continues(before, after, history):
            after = without_exceptions(after, 1, history)
            lake.replace_since("daily_demand", after, since, notes=notes | {"since": str(since)})
            return
    whole = _panel(project, calendar, date.min, None, unknown)
    lake.replace("daily_demand", without_exceptions(whole, calendar.step), notes)


def _panel(
    project: Project, calendar: Calendar, since: date, before: pl.DataFrame | None, unknown: pl.DataFrame
) -> pl.DataFrame:
    lake, settings = project.lake, project.settings
    read = [*SERIES, "date", "units", "price", *settings.covariates.past_only]
    return build_daily_demand(
        lake.scan("clean_sales").filter(pl.col("date") >= since).select(read).collect(),
        lake.scan("clean_stock").filter(pl.col("date") >= since).collect(),
        lake.read("clean_plan"),
        frequency=calendar.code,
        missing_day=settings.missing_day,
        past_only=settings.covariates.past_only,
        before=before,
        unknown=unknown,
        arrived=_newest_arrived(project) if calendar.totals else None,
    )


def _newest_arrived(project: Project) -> date | None:
    """The day, where the shops are, on which the newest rows of sales arrived."""
    lake = project.lake
    rows = lake.scan("raw_sales").filter(pl.col("day") == lake.newest("clean_sales"))
    arrived = rows.select(pl.col("arrived_at").max()).collect().item()
    return arrived and local_day(project.settings, arrived)


def last_day(lake: Lake) -> date:
    """The last day of daily_demand. Raises ValueError when it is empty, LakeError when there is none."""
    last = lake.newest("daily_demand")
    if last is None:
        raise ValueError(EMPTY)
    return last


def _first_and_last_day(demand: pl.DataFrame) -> tuple[date, date]:
    first, last = demand["date"].min(), demand["date"].max()
    if not isinstance(first, date) or not isinstance(last, date):
        raise ValueError(EMPTY)
    return first, last


def first_sales(lake: Lake) -> pl.DataFrame:
    """`store_id, product_id, first_sale` of every series in daily_demand, cached in the table `first_sales`.

    Raises LakeError without daily_demand.
    """
    version = lake.version("daily_demand")
    known = lake.notes("first_sales") if lake.exists("first_sales") else {}
    since = lake.first_change("daily_demand", int(known["daily_demand"])) if known else date.min
    if since is None:
        return lake.read("first_sales")
    kept = lake.read("first_sales").filter(pl.col("first_sale") < since) if known else None
    rows = lake.scan("daily_demand", version).filter(pl.col("date") >= since)
    found = rows.group_by(SERIES).agg(first_sale=pl.col("date").min()).collect()
    if kept is not None:
        found = pl.concat([kept, found.join(kept, on=SERIES, how="anti")])
    lake.replace("first_sales", found.sort(SERIES), {"daily_demand": str(version)})
    return found


@dg.asset(
    deps=["daily_demand", "clean_plan", "clean_products", "clean_stores", "clean_stock"],
    group_name="features",
    kinds=TABLE_KINDS,
    description="One row per series, forecast origin and horizon: what was known at the origin about that day, and, "
    "where the day is past, the units it brought. Rows to train on, rows of the backtest origins, and rows of the "
    "next forecast, all made by one builder. A backtest origin reads the plan as it was known there, where that was "
    "kept. The feature contract is noted with the table's version.",
)
def demand_features(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    lake, settings = project.lake, project.settings
    inputs = lake.versions(MODEL_TABLES)  # read as of these: a night may go on beside a training
    demand = lake.read("daily_demand", inputs["daily_demand"])
    first, last = _first_and_last_day(demand)
    origins = backtest_origins(
        first,
        last,
        horizon=settings.horizon,
        count=settings.backtest.origins,
        step=settings.backtest.step,
        frequency=project.frequency,
    )
    how: dict[str, Any] = {
        "covariates": settings.covariates,
        "frequency": project.frequency,
        "horizon": settings.horizon,
        "origins": [*origins, last],
        "training": settings.training,
        "seed": settings.seed,
    }
    previous = read_contract(lake) if lake.exists("demand_features") else None
    plan, *others = (lake.read(table, inputs[table]) for table in ATTRIBUTE_TABLES)
    plans = plans_kept(project, origins)
    vintages = read_vintages(lake, plans, plan)
    features, contract = build_demand_features(demand, plan, *others, **how, previous=previous, vintages=vintages)
    version = lake.replace("demand_features", features, feature_notes(contract, inputs, how, plans))
    context.log.info(f"{len(features):,} rows of {len(contract.columns)} features")
    read = pl.DataFrame({"origin": origins, "plan": [plan_in_words(origin, plans) for origin in origins]})
    shown: Metadata = {
        "feature_contract": dg.MetadataValue.md(contract.to_markdown()),
        "backtest_origins": dg.MetadataValue.md(markdown_table(read)),
    }
    meaning = declared_columns(settings.covariates) | {column.name: column.reason for column in contract.columns}
    return dg.MaterializeResult(metadata=shown | table_metadata(features, version, meaning))


@dg.asset(
    deps=["daily_demand", "clean_plan", "clean_products", "clean_stores", "clean_stock", "demand_features"],
    group_name="features",
    kinds=TABLE_KINDS,
    description="What models read for the next forecast: the rows of `demand_features` at the last closed day, made by "
    "the same builder from the days that features look back on, under the contract that models were trained with. "
    "Beside it the tables forecast_plan, what the plan says of these days, to be read again otherwise, and "
    "new_product_features, the rows of a product that nobody sells yet: one in each shop for every kind of product. "
    "What the models have not seen, or read otherwise than it stands, is told.",
)
def forecast_features(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    lake = project.lake
    inputs = lake.versions(("daily_demand", *ATTRIBUTE_TABLES))
    contract = contract_of_tonight(project)
    if contract is None:
        return _unread(context, project)
    made = _next_forecast(project, contract, inputs)
    beside = {"forecast_plan": made.planned, "new_product_features": made.new_products}
    notes = {table: str(lake.replace(table, frame)) for table, frame in beside.items()}  # the versions that fit
    version = lake.replace("forecast_features", made.rows, notes | night_notes(made, inputs))
    context.log.info(f"{len(made.rows):,} rows at {newest_origin(made.rows)}")
    for line in (*made.unfamiliar, *made.ends):
        context.log.warning(line)
    shown: Metadata = {"unfamiliar": [*made.unfamiliar]}
    table = table_metadata(made.rows, version, declared_columns(project.settings.covariates))
    return dg.MaterializeResult(metadata=shown | table)


def _unread(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    """Leaves the table of the last night: nothing that is trained can read what is configured tonight.

    Raises ContractError where there is no such table.
    """
    lake, lines = project.lake, changes(project)
    if not lake.exists("forecast_features"):
        raise ContractError(f"{lines[0]}; train again: demand-forecast run")
    notes = lake.notes("forecast_features") | {"unfamiliar": json.dumps(lines)}
    lake.replace("forecast_features", lake.read("forecast_features"), notes)
    for line in lines:
        context.log.warning(line)
    return dg.MaterializeResult(metadata={"unfamiliar": lines} | lake_metadata(lake, "forecast_features"))


def own_features(project: Project, contract: FeatureContract) -> ForecastFeatures | None:
    """What models of `contract` read for the next forecast, made of what forecast_features was made of; None where the
    tables of that asset are what they read.

    Raises LakeError without that table, ContractError where models of `contract` cannot forecast what is configured.
    """
    require_readable(project, contract)
    notes = project.lake.notes("forecast_features")
    if "contract" not in notes or contract.reads(FeatureContract.from_json(notes["contract"])):
        return None
    return _next_forecast(project, contract, json.loads(notes["inputs"]))


def _next_forecast(project: Project, contract: FeatureContract, inputs: Mapping[str, int]) -> ForecastFeatures:
    """From the tables as of `inputs`."""
    lake, settings = project.lake, project.settings
    demand = lake.scan("daily_demand", inputs["daily_demand"])
    last = demand.select(pl.col("date").max()).collect().item()
    if last is None:
        raise ValueError(EMPTY)
    return build_forecast_features(
        demand.filter(pl.col("date") >= looked_back(last, project.frequency)).collect(),
        *(lake.read(table, inputs[table]) for table in ATTRIBUTE_TABLES),
        started=first_sales(lake),
        covariates=settings.covariates,
        frequency=project.frequency,
        horizon=settings.horizon,
        previous=contract,
    )
