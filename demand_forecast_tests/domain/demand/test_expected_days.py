"""Days of sales that were to come."""

from datetime import date, timedelta

import polars as pl
import pytest

from demand_forecast.domain.demand.expected_days import missing_days

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
