"""How old a layer may be, and days that were to come."""

from datetime import date, timedelta

import dagster as dg
import polars as pl
import pytest

from demand_forecast.definitions import defs
from demand_forecast.defs.automation.freshness import missing_days

MONDAY = date(2026, 3, 2)
WEEKS = [MONDAY + timedelta(days=n) for n in range(70)]
WEEKDAYS = [day for day in WEEKS if day.weekday() < 6]  # closed on Sundays
CLOSED = WEEKS[-1]


@pytest.mark.parametrize(
    ("held", "missing"),
    [
        (WEEKDAYS, []),
        (WEEKS, []),
        ([day for day in WEEKDAYS if day != MONDAY + timedelta(days=63)], [MONDAY + timedelta(days=63)]),
        (WEEKDAYS[:-2], WEEKDAYS[-2:]),
        (WEEKDAYS[:30], [day for day in WEEKDAYS if day > CLOSED - timedelta(days=14)]),
        ([], []),
    ],
    ids=["closed on Sundays", "open every day", "a hole", "two late", "long silent", "nothing yet"],
)
def test_days_that_were_to_come(held: list[date], missing: list[date]) -> None:
    assert missing_days(pl.Series(held, dtype=pl.Date), CLOSED) == missing


def test_an_old_day_collected_again_makes_no_table_fresh() -> None:
    """The partitioned table has no policy of its own: its newest days are asked for by a check, at the raw deadline."""
    graph = defs().resolve_asset_graph()
    assert graph.get(dg.AssetKey("raw_sales")).freshness_policy is None
    checked = defs().resolve_job_def("arrival_watch").asset_layer
    assert {key.name for key in checked.asset_graph.asset_check_keys} >= {"expected_days_have_arrived"}
    unpartitioned = [key for key in graph.get_all_asset_keys() if key != dg.AssetKey("raw_sales")]
    assert all(graph.get(key).freshness_policy for key in unpartitioned)
