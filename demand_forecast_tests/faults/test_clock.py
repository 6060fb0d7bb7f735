"""Clocks that jump: both changes of daylight saving, and a leap day."""

import json
import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from demand_forecast_tests.behaviour.conftest import Shopkeeper, csv, night, sales_rows

SPRING, AUTUMN, LEAP_DAY = date(2024, 3, 31), date(2024, 10, 27), date(2024, 2, 29)
FIRST, SHOPS = date(2024, 1, 22), {"Lyon": ["A", "B"], "Brest": ["A", "B"]}
ASKED = """
import json
from datetime import datetime, UTC
from demand_forecast.defs.automation.arrival import closed_days, every_night
from demand_forecast.defs.project import SALES_DAYS, SETTINGS
from demand_forecast.sources.days import local_day
from dagster._utils.schedules import schedule_execution_time_iterator as ticks
keys = SALES_DAYS.get_partition_keys()
windows = [SALES_DAYS.time_window_for_partition_key(key) for key in keys]
nights = ticks(datetime(2024, 1, 1, tzinfo=UTC).timestamp(), every_night.cron_schedule, every_night.execution_timezone)
moments = ["2024-03-30T22:59", "2024-03-30T23:01", "2024-03-31T21:59", "2024-03-31T22:01",
           "2024-10-26T21:59", "2024-10-26T22:01", "2024-10-27T22:59", "2024-10-27T23:01", "2024-02-28T23:01"]
print(json.dumps({
    "keys": keys,
    "windows": [(str(window.start.date()), str(window.end.date())) for window in windows],
    "hours": [(window.end.timestamp() - window.start.timestamp()) / 3600 for window in windows],
    "nights": [next(nights).isoformat() for _ in range(366)],
    "local": {moment: str(local_day(SETTINGS, datetime.fromisoformat(moment + "+00:00"))) for moment in moments},
}))
"""
COLLECTED = """
import json, sys
from demand_forecast.workspace.home import Home
from demand_forecast.settings import load_settings
settings = load_settings()
Home(settings.root).prepare()
from demand_forecast.cli.run import _execute
assert _execute(settings, "collect").success
import dagster as dg
print(json.dumps(sorted(dg.DagsterInstance.get().get_materialized_partitions(dg.AssetKey("raw_sales")))))
"""


def days(first: date, last: date) -> list[date]:
    return pl.date_range(first, last, eager=True).to_list()


@pytest.fixture(
    scope="module",
    params=[pytest.param("0 3 * * *", marks=pytest.mark.slow), "30 2 * * *"],
    ids=["at three", "in the hour that jumps"],
)
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What a code location in Paris, in a process of its own, says of days and nights."""
    retailer = Shopkeeper(tmp_path_factory.mktemp("paris"))
    automation = {"timezone": "Europe/Paris", "nightly": request.param}
    retailer.configure(automation=automation, history_start=str(FIRST))
    environment = os.environ | {"DEMAND_FORECAST_CONFIG": str(retailer.folder / "config.yaml")}
    done = subprocess.run([sys.executable, "-c", ASKED], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_day_is_one_partition_however_long_it_is(asked: dict) -> None:
    expected = days(FIRST, date.fromisoformat(asked["keys"][-1]))
    assert asked["keys"] == [str(day) for day in expected]
    assert asked["windows"] == [[str(day), str(day + timedelta(days=1))] for day in expected]
    hours = dict(zip(expected, asked["hours"], strict=True))
    assert (hours[SPRING], hours[AUTUMN], hours[LEAP_DAY]) == (23, 25, 24)


def test_every_night_is_run_once(asked: dict) -> None:
    assert [night[:10] for night in asked["nights"]] == [str(day) for day in days(date(2024, 1, 1), date(2024, 12, 31))]


def test_a_day_is_over_at_the_retailers_midnight(asked: dict) -> None:
    assert asked["local"] == {
        "2024-03-30T22:59": "2024-03-30",
        "2024-03-30T23:01": "2024-03-31",
        "2024-03-31T21:59": "2024-03-31",
        "2024-03-31T22:01": "2024-04-01",
        "2024-10-26T21:59": "2024-10-26",
        "2024-10-26T22:01": "2024-10-27",
        "2024-10-27T22:59": "2024-10-27",
        "2024-10-27T23:01": "2024-10-28",
        "2024-02-28T23:01": "2024-02-29",
    }


@pytest.mark.parametrize("last", [SPRING - timedelta(days=3), SPRING, AUTUMN - timedelta(days=3), AUTUMN], ids=str)
def test_demand_and_forecasts_have_every_day_once(tmp_path: Path, last: date) -> None:
    """History from before the leap day, its last day before a change or on it."""
    retailer = Shopkeeper(tmp_path)
    rows = sales_rows((last - FIRST).days + 1, SHOPS, FIRST)
    retailer.write("sales/all.csv", csv(rows))
    made = night(retailer.configure(automation={"timezone": "Europe/Paris"}).settings, "seasonal_naive")
    assert len(made.kept) == len(rows)
    of_series = made.demand.group_by("store_id", "product_id").agg(pl.col("date").sort())
    assert of_series["date"].to_list() == [days(FIRST, last)] * 4
    ahead = made.forecast.group_by("store_id", "product_id").agg(pl.col("date").sort())
    assert ahead["date"].to_list() == [days(last + timedelta(days=1), last + timedelta(days=7))] * 4


@pytest.mark.slow
def test_a_run_over_the_change_makes_a_partition_for_each_day(tmp_path: Path) -> None:
    retailer = Shopkeeper(tmp_path)
    for day in days(LEAP_DAY, SPRING + timedelta(days=1)):
        retailer.write(f"sales/{day}.csv", csv(sales_rows(1, SHOPS, day)))
    retailer.configure(automation={"timezone": "Europe/Paris"})
    command = [sys.executable, "-c", COLLECTED, str(retailer.folder / "config.yaml")]
    environment = os.environ | {"DEMAND_FORECAST_CONFIG": command[-1]}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    expected = days(LEAP_DAY, SPRING + timedelta(days=1))
    assert json.loads(done.stdout.splitlines()[-1]) == [str(day) for day in expected]
    for table, column in (("raw_sales", "day"), ("clean_sales", "date")):
        counts = retailer.table(table).group_by(column).len().sort(column)
        assert counts.rows() == [(day, 4) for day in expected]
