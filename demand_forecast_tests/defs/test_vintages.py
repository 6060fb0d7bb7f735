"""Which plan the rows of a backtest origin read, as assets note it and `reproduce` reads it again."""

import io
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import polars as pl
import pytest
from rich.console import Console

from demand_forecast.cli.reproduce import reproduce_version
from demand_forecast.defs.features.assets import demand_features
from demand_forecast.defs.features.contract import data_versions, read_plans
from demand_forecast.defs.features.vintages import plans_kept
from demand_forecast.defs.models.assets import model_asset
from demand_forecast.defs.models.group_model import group_model
from demand_forecast.defs.project import Project
from demand_forecast_tests.commit_times import commit_at
from demand_forecast_tests.domain.small_retailer import make_retailer

RETAILER = make_retailer(days=200, products=3)
FIRST, SECOND = (RETAILER.last_day - timedelta(days=14 * back) for back in (2, 1))
ZONE = "America/Los_Angeles"
BEFORE = RETAILER.plan.filter(pl.col("date") <= FIRST)  # nothing is planned ahead
CONTEXT = dg.build_asset_context()


def midnight(after: date) -> datetime:
    """The end of the day, where the shops are."""
    return datetime.combine(after + timedelta(days=1), time.min, ZoneInfo(ZONE))


def made(asset: dg.AssetsDefinition, project: Project) -> dg.MaterializeResult:
    return asset.op.compute_fn.decorated_fn(CONTEXT, project=project)


@pytest.fixture
def project(project_of: Callable[..., Project], undrawn: Any) -> Project:
    """The lake of a retailer whose plan was cleaned once, today."""
    covariates = RETAILER.covariates.model_dump()
    training = {"candidates": ["seasonal_naive"], "window": 100, "max_rows": 2000}
    project = project_of({"timezone": ZONE}, covariates=covariates, horizon=14, training=training)
    stock = {"date": pl.Date, "store_id": pl.String, "product_id": pl.String, "on_hand": pl.Float32}
    project.lake.replace("clean_stock", pl.DataFrame(schema=stock))
    project.lake.replace("daily_demand", RETAILER.demand)
    for name in ("products", "stores", "plan"):
        project.lake.replace(f"clean_{name}", getattr(RETAILER, name))
    return project


def planned(project: Project, *plans: tuple[pl.DataFrame, datetime]) -> None:
    """Later versions of clean_plan, and today's after them; the version that was there began after all origins."""
    for plan, moment in plans:
        project.lake.replace("clean_plan", plan)
        commit_at(project.lake, "clean_plan", project.lake.version("clean_plan") or 0, moment)
    project.lake.replace("clean_plan", RETAILER.plan)


@pytest.fixture
def two_plans(project: Project) -> Project:
    """BEFORE was the plan when FIRST ended; today's came in the same night, before SECOND ended."""
    planned(project, (BEFORE, midnight(FIRST) - timedelta(seconds=1)))
    commit_at(project.lake, "clean_plan", 2, midnight(FIRST) + timedelta(seconds=1))
    return project


def test_a_plan_that_was_loaded_today_is_read_at_every_origin(project: Project) -> None:
    shown = made(demand_features, project).metadata
    assert plans_kept(project, [FIRST, SECOND]) == read_plans(project.lake.notes("demand_features")) == {}
    assert str(shown["backtest_origins"].value).count("today's, none was kept from then") == 2
    rows = RETAILER.features([FIRST, SECOND, RETAILER.last_day])[0].filter(~pl.col("training"))
    found = project.lake.read("demand_features").filter(~pl.col("training"))
    assert found.select(rows.columns).equals(rows)


def test_the_plan_of_an_origin_is_what_was_known_when_its_day_ended_where_the_shops_are(two_plans: Project) -> None:
    assert plans_kept(two_plans, [FIRST, SECOND]) == {FIRST: 1, SECOND: 2}
    commit_at(two_plans.lake, "clean_plan", 1, midnight(FIRST) + timedelta(milliseconds=1))
    assert plans_kept(two_plans, [FIRST, SECOND]) == {SECOND: 2}


def test_a_week_ends_with_its_sunday(project_of: Callable[..., Project]) -> None:
    project, monday = project_of({"timezone": ZONE}, frequency="weekly"), date(2024, 3, 4)
    project.lake.replace("clean_plan", BEFORE)
    commit_at(project.lake, "clean_plan", 0, midnight(monday + timedelta(days=6)) - timedelta(seconds=1))
    assert plans_kept(project, [monday - timedelta(weeks=1), monday]) == {monday: 0}


def test_a_plan_that_somebody_vacuumed_was_not_kept(two_plans: Project) -> None:
    table = two_plans.lake._open("clean_plan")
    table.vacuum(0, dry_run=False, enforce_retention_duration=False)
    assert plans_kept(two_plans, [FIRST, SECOND]) == {SECOND: 2}


def test_rows_of_an_origin_are_noted_and_shown_with_the_plan_they_read(two_plans: Project) -> None:
    shown = made(demand_features, two_plans).metadata
    lines = str(shown["backtest_origins"].value).splitlines()
    assert f"|{FIRST}|as known there: version 1|" in lines
    assert f"|{SECOND}|as known there: version 2|" in lines
    assert read_plans(two_plans.lake.notes("demand_features")) == {FIRST: 1, SECOND: 2}
    rows = two_plans.lake.read("demand_features").filter(~pl.col("training"))
    assert set(rows.filter(pl.col("forecast_origin") == FIRST)["promo"]) == {None}
    assert rows.filter(pl.col("forecast_origin") != FIRST)["promo"].max() == 1


def test_another_plan_of_then_is_another_version_and_the_same_is_none(two_plans: Project) -> None:
    made(demand_features, two_plans)
    first = two_plans.lake.version("demand_features")
    made(demand_features, two_plans)
    assert two_plans.lake.version("demand_features") == first
    commit_at(two_plans.lake, "clean_plan", 1, midnight(SECOND))
    made(demand_features, two_plans)
    assert two_plans.lake.version("demand_features") != first
    assert data_versions(two_plans.lake)["clean_plan"] == 2


def test_a_version_is_reproduced_from_the_plans_that_it_read(two_plans: Project) -> None:
    made(demand_features, two_plans)
    result = made(model_asset("seasonal_naive", ["seasonal_naive"]), two_plans)
    two_plans.lake.replace("clean_plan", BEFORE)
    commit_at(two_plans.lake, "clean_plan", 1, midnight(SECOND))  # whatever the commits say now
    said = io.StringIO()
    assert reproduce_version(two_plans.settings, str(result.metadata["model_version"]), Console(file=said, width=300))
    assert f"clean_plan 1 at {FIRST}, clean_plan 2 at {SECOND}: equal" in said.getvalue()


def test_groups_read_the_plans_that_are_noted(project: Project) -> None:
    planned(project, (BEFORE, midnight(FIRST)))
    made(demand_features, project)
    read = read_plans(project.lake.notes("demand_features"))
    assert read == {FIRST: 1, SECOND: 1}
    made(group_model, project)
    then = project.lake.read("group_backtest")
    commit_at(project.lake, "clean_plan", 1, midnight(RETAILER.last_day))
    made(demand_features, project)
    made(group_model, project)
    today, last = project.lake.read("group_backtest"), pl.col("forecast_origin") == RETAILER.last_day
    assert today.filter(last).equals(then.filter(last))
    for origin in (FIRST, SECOND):
        assert not today.filter(forecast_origin=origin)["mean"].equals(then.filter(forecast_origin=origin)["mean"])
