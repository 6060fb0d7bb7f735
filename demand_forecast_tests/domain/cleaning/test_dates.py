"""Dates as people and machines write them: days, moments in some zone, weeks and months."""

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demand_forecast.domain.cleaning.dates import PLAIN, DateReading, parse_dates, read_dates

TEXTS = ["2024-01-31", None, "31.01.2024", "", "2024-01-31", "03/04/2024", " 20240131 ", None, "2024-01-31 10:00"]
BERLIN = DateReading(timezone="Europe/Berlin")
FORMS = ("%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M%z", "%d.%m.%Y %H:%M:%S %z", "%Y/%m/%d %H:%M:%S.5 %z")


def day_of(text: str | None, reading: DateReading = PLAIN, store_id: str | None = "A") -> date | None:
    frame = pl.DataFrame({"date": [text], "store_id": [store_id]}, schema={"date": pl.String, "store_id": pl.String})
    return frame.select(parse_dates(pl.col("date"), reading)).item()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "reading", [PLAIN, DateReading("%d/%m/%Y"), BERLIN, DateReading(timezone="UTC", zones=(("A", "Asia/Tokyo"),))]
)
def test_dates_are_those_of_row_by_row_parsing(reading: DateReading) -> None:
    rows = pl.DataFrame({"date": TEXTS, "store_id": ["A", "B", None] * 3, "source": "files"})
    expected = [day_of(text, reading, store) for text, store in rows.select("date", "store_id").rows()]
    assert read_dates(rows, reading).to_list() == expected
    assert read_dates(rows, {"files": reading}).to_list() == expected
    assert any(expected)


@given(
    st.datetimes(datetime(1995, 1, 1), datetime(2035, 12, 31)),
    st.integers(-14 * 4, 14 * 4),
    st.sampled_from(FORMS),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC"]),
)
def test_a_moment_counts_on_the_day_that_it_was_where_the_shops_are(
    moment: datetime, quarters: int, form: str, zone: str
) -> None:
    there = moment.replace(second=0, microsecond=0, tzinfo=timezone(timedelta(minutes=15 * quarters)))
    assert day_of(there.strftime(form), DateReading(timezone=zone)) == there.astimezone(ZoneInfo(zone)).date()


def test_utc_is_written_in_several_ways_and_a_moment_without_a_zone_stays() -> None:
    late = datetime(2026, 6, 30, 22, 30, tzinfo=UTC)  # 0:30 in Berlin
    for text in ("2026-06-30T22:30:00Z", "2026-06-30 22:30:00 UTC", "2026-06-30 22:30:00+00", "2026-06-30 22:30Z"):
        assert day_of(text, BERLIN) == late.astimezone(ZoneInfo("Europe/Berlin")).date() == date(2026, 7, 1)
        assert day_of(text) == date(2026, 6, 30)  # nobody says where the shops are
    assert day_of("2026-06-30 22:30:00", BERLIN) == date(2026, 6, 30)
    assert day_of("30/06/2026 22:30 +0000", DateReading("%d/%m/%Y %H:%M %z", "Europe/Berlin")) == date(2026, 7, 1)


def test_each_store_has_its_own_day() -> None:
    reading = DateReading(timezone="Europe/Berlin", zones=(("LISBON", "Europe/Lisbon"),))
    moments = [day_of("2026-06-30T22:30:00Z", reading, store) for store in ("LISBON", "BERLIN")]
    assert moments == [date(2026, 6, 30), date(2026, 7, 1)]


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-W47", date(2026, 11, 16)),
        ("2026W01", date(2025, 12, 29)),
        ("2026-W53", date(2026, 12, 28)),
        ("2027-W53", None),
        ("2026-11", date(2026, 11, 1)),
        ("2026-13", None),
    ],
)
def test_weeks_and_months_are_dates_where_periods_are(text: str, day: date | None) -> None:
    assert day_of(text, DateReading(periods=True)) == day
    assert day_of(text) is None
