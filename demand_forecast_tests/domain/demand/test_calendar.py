"""Periods: their days, dates and numbers, whatever weekday a week begins on and however long a month is."""

import calendar as months
from datetime import date, timedelta
from itertools import product

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demand_forecast.domain.demand.calendar import WEEKDAYS, Calendar, by_day, calendar_of

WEEKS = [
    f"weekly{totals} from {day} dated by {by}"
    for totals, day, by in product(("", " totals"), WEEKDAYS, ("first", "last"))
]
CODES = ["daily", "weekly", *WEEKS, "monthly", "monthly dated by last", "monthly totals"]
DAYS = st.dates(date(1990, 1, 1), date(2040, 12, 31))
DAY = timedelta(days=1)


def span(calendar: Calendar, day: date) -> tuple[date, date]:
    """The slow way."""
    if calendar.frequency == "daily":
        return day, day
    if calendar.frequency == "monthly":
        return day.replace(day=1), day.replace(day=months.monthrange(day.year, day.month)[1])
    first = day
    while first.isoweekday() != calendar.starts:
        first -= DAY
    return first, first + 6 * DAY


@given(DAYS, st.sampled_from(CODES), st.integers(-60, 60))
def test_periods_are_those_of_counting_days(day: date, code: str, periods: int) -> None:
    calendar = calendar_of(code)
    first, last = span(calendar, day)
    assert calendar.span(day) == (first, last)
    assert calendar.ahead(day, 0) == (last if calendar.dated_by == "last" else first)
    there = day
    for _ in range(abs(periods)):
        before, after = span(calendar, there)
        there = after + DAY if periods > 0 else before - DAY
    later = calendar.ahead(day, periods)
    assert span(calendar, later) == span(calendar, there)
    assert calendar.count(day, later) == periods
    assert pl.select(calendar.days(pl.lit(day))).item() == (last - first).days + 1


@pytest.mark.parametrize("code", CODES)
def test_a_calendar_is_what_its_code_says(code: str) -> None:
    calendar = calendar_of(code)
    assert calendar_of(calendar.code) == calendar
    with pytest.raises(ValueError, match="no frequency"):
        calendar_of(f"{code} and so on")


def test_months_are_as_long_as_they_are() -> None:
    year = pl.DataFrame({"date": pl.date_range(date(2025, 1, 1), date(2025, 12, 31), "1mo", eager=True)})
    lengths = year.select(calendar_of("monthly").length(pl.col("date"))).to_series()
    assert lengths.sum() == pytest.approx(12, abs=0.01)
    assert lengths[1] == pytest.approx(28 / 30.44, abs=0.001)


def test_rows_of_whole_periods_hold_for_their_days() -> None:
    weekly = calendar_of("weekly totals from saturday dated by last")
    rows = pl.DataFrame(
        {
            "date": [date(2026, 11, 20), date(2026, 11, 27), date(2026, 11, 24)],
            "store_id": ["A", "A", None],
            "promo": [1.0, 0.0, None],
            "holiday": [None, None, "Fair"],
        }
    )
    made = by_day(rows, weekly).sort("date", "promo", nulls_last=True)
    promo, holiday = made.drop_nulls("promo"), made.drop_nulls("holiday")
    assert promo["date"].to_list() == [date(2026, 11, 14) + n * DAY for n in range(14)]
    assert promo["promo"].to_list() == [1.0] * 7 + [0.0] * 7
    assert holiday.rows() == [(date(2026, 11, 24), None, None, "Fair")]
    assert by_day(rows, calendar_of("weekly from saturday dated by last")).equals(rows)
