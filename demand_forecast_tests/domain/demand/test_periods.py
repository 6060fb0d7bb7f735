"""How a retailer keeps its weeks and months is recognised from its rows."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from demand_forecast.domain.demand.calendar import WEEKDAYS, calendar_of
from demand_forecast.domain.demand.periods import recognise, whole_periods
from demand_forecast.settings import ConfigError, Settings


def settings(frequency: str = "weekly", **keys: Any) -> Settings:
    return Settings(frequency=frequency, source={"kind": "files"}, **keys)


def rows(days: Sequence[date]) -> pl.DataFrame:
    return pl.DataFrame({"date": days, "rows": [3] * len(days)}, schema={"date": pl.Date, "rows": pl.Int64})


def weeks(weekday: int, count: int = 30) -> list[date]:
    """Dates on `weekday`, Monday is 1."""
    return [date(2026, 1, 4) + timedelta(days=weekday + 7 * n) for n in range(count)]


@pytest.mark.parametrize("weekday", range(1, 8))
def test_weekly_rows_of_any_label_are_recognised(weekday: int) -> None:
    found = recognise(rows(weeks(weekday)), settings())
    assert found.calendar.totals
    assert found.calendar.dated_by == ("first" if weekday == 1 else "last")
    assert found.calendar.ahead(weeks(weekday)[0], 0) == weeks(weekday)[0]
    assert "week: in the configuration says otherwise" in found.said


@pytest.mark.parametrize("starts", WEEKDAYS)
@pytest.mark.parametrize("dated_by", ["first", "last"])
def test_the_configuration_says_otherwise(starts: str, dated_by: str) -> None:
    number = WEEKDAYS.index(starts) + 1
    label = number if dated_by == "first" else (number + 5) % 7 + 1
    for given in ({"starts": starts, "dated_by": dated_by}, {"starts": starts}, {"dated_by": dated_by}):
        found = recognise(rows(weeks(label)), settings(week=given))
        assert (found.calendar.dated_by, WEEKDAYS[found.calendar.starts - 1]) == (dated_by, starts)
        assert "(as week: says)" in found.said


def test_a_week_that_does_not_fit_the_rows_is_an_error_with_its_repair() -> None:
    with pytest.raises(
        ConfigError, match=r"by Wednesdays, neither .* from monday on; set week\.starts: wednesday or t"
    ):
        recognise(rows(weeks(3)), settings(week={"starts": "monday"}))
    with pytest.raises(ConfigError, match="set starts: thursday"):
        recognise(rows(weeks(3)), settings(week={"starts": "wednesday", "dated_by": "last"}))


def test_the_name_of_the_column_says_first_or_last() -> None:
    for name, dated_by in (("WEEK_END_DATE", "last"), ("week_start", "first"), ("Week commencing", "first")):
        for weekday in (1, 6):
            assert recognise(rows(weeks(weekday)), settings(), (name,)).calendar.dated_by == dated_by


def test_a_few_rows_of_other_days_are_slips_many_are_daily_rows() -> None:
    assert recognise(rows([*weeks(5, 60), date(2026, 3, 4)]), settings()).calendar.totals
    daily = rows([date(2026, 1, 5) + timedelta(days=n) for n in range(60) if n % 7 != 6])
    found = recognise(daily, settings())
    assert found.calendar == calendar_of("weekly")
    assert "daily rows, summed to weeks from Monday to Sunday" in found.said
    assert recognise(daily, settings(week={"starts": "saturday"})).calendar == calendar_of("weekly from saturday")


def test_months_of_any_label_are_recognised() -> None:
    firsts = [date(2024 + n // 12, n % 12 + 1, 1) for n in range(30)]
    lasts = [day - timedelta(days=1) for day in firsts]
    monthly = settings("monthly")
    assert recognise(rows(firsts), monthly).calendar == calendar_of("monthly totals")
    assert recognise(rows(lasts), monthly).calendar == calendar_of("monthly totals dated by last")
    assert recognise(rows(lasts), settings("monthly", month={"dated_by": "first"})).calendar.dated_by == "first"
    daily = [date(2026, 1, 1) + timedelta(days=n) for n in range(100)]
    assert recognise(rows(daily), monthly).calendar == calendar_of("monthly")


def test_rows_of_longer_periods_than_configured_are_doubted() -> None:
    firsts = [date(2024 + n // 12, n % 12 + 1, 1) for n in range(30)]
    daily = [date(2026, 1, 5) + timedelta(days=n) for n in range(60)]
    for days, frequency, wanted in (
        (weeks(5), "daily", "as totals of weeks are: if so, set frequency: weekly"),
        (firsts, "daily", "set frequency: monthly"),
        (firsts, "weekly", "as totals of months are"),
    ):
        assert wanted in recognise(rows(days), settings(frequency)).doubt
    for days, frequency in ((daily, "daily"), (weeks(5), "weekly"), (firsts, "monthly"), (weeks(5, 7), "daily")):
        assert not recognise(rows(days), settings(frequency)).doubt
    assert not recognise(rows([]), settings("daily")).doubt


def test_the_newest_whole_week_counts_whatever_its_label() -> None:
    newest = weeks(1)[-1]
    for code, last in (
        ("weekly totals", newest + timedelta(days=6)),
        ("weekly totals from tuesday dated by last", newest),
    ):
        assert whole_periods(pl.Series(weeks(1)), calendar_of(code), last)[1] == last
    early = whole_periods(pl.Series(weeks(1)), calendar_of("weekly totals"), newest + timedelta(days=2))
    assert early[1] == newest - timedelta(days=1)  # it came before its week was over


def test_a_week_of_daily_rows_is_whole_but_for_days_that_never_sell() -> None:
    days = pl.date_range(date(2026, 1, 5), date(2026, 4, 4), eager=True)
    no_sundays = days.filter(days.dt.weekday() < 7)  # the last is a Saturday
    assert whole_periods(no_sundays, calendar_of("weekly"), None) == (date(2026, 1, 5), date(2026, 4, 5))
    assert whole_periods(no_sundays.head(-1), calendar_of("weekly"), None)[1] == date(2026, 3, 29)
    assert whole_periods(pl.Series([date(2026, 1, 5)]), calendar_of("weekly"), None) == (None, None)
