"""How a retailer keeps its weeks and months, recognised from the dates of its sales."""

import re
from dataclasses import replace
from datetime import date, timedelta
from typing import NamedTuple

import polars as pl

from demand_forecast.domain.demand.calendar import MOST, WEEKDAYS, Calendar, DatedBy, calendar_of
from demand_forecast.domain.demand.expected_days import LOOKED_BACK
from demand_forecast.settings import ConfigError, Settings

ENOUGH_DATES = 8  # fewer say little
NAMES_LAST = re.compile(r"end|until|last|close|bis$|fin$", re.IGNORECASE)  # columns such as WEEK_END_DATE
NAMES_FIRST = re.compile(r"start|begin|commenc|first|open|von$|debut", re.IGNORECASE)


class Recognised(NamedTuple):
    """`said`: what was found, why, and where it is set otherwise."""

    calendar: Calendar
    said: str
    doubt: str = ""  # where the rows look like those of longer periods than are configured


def recognise(days: pl.DataFrame, settings: Settings, columns: tuple[str, ...] = ()) -> Recognised:
    """The calendar of a retailer with sales rows on `days` (`date`, `rows`); `columns`: as its sources call the date.

    Nearly all rows on one weekday: these are totals of weeks, dated by it. Whether it is their first day or their last
    no date can say: `week:` does, or the column's name; else a Monday begins its week, as in ISO 8601, and any other
    weekday ends it, as with Walmart's Fridays and what pandas calls W-SUN. Rows of months are known alike, by the first
    or the last day of the month. Rows of other days are summed to the weeks that `week:` says.
    Raises ConfigError where `week:` says that weeks begin on a day that does not fit the rows.
    """
    calendar = calendar_of(settings.frequency)
    if calendar.frequency == "daily":
        return Recognised(calendar, "days", _doubt(days, settings))
    if calendar.frequency == "monthly":
        return _months(days, calendar, settings, columns)
    return _weeks(days, calendar, settings, columns)._replace(doubt=_doubt(days, settings))


def _doubt(days: pl.DataFrame, settings: Settings) -> str:
    """Why the rows look like totals of longer periods than `frequency` says; "" where they do not."""
    if days["date"].n_unique() < ENOUGH_DATES:
        return ""
    rows, day = pl.col("rows"), pl.col("date").dt
    months = (rows.filter(which).sum() for which in (day.day() == 1, pl.col("date") == day.month_end()))
    by_weekday = days.group_by(day.weekday()).agg(rows.sum())["rows"]
    enough = MOST * int(days["rows"].sum())
    of_months = max(days.select(month=total).item() for total in months) >= enough
    found = "monthly" if of_months else "weekly" if int(by_weekday.max()) >= enough else settings.frequency  # type: ignore[arg-type]
    if found == settings.frequency:
        return ""
    where = "on the first or last day of a month" if of_months else "on one weekday"
    return f"nearly all rows are {where}, as totals of {found.removesuffix('ly')}s are: if so, set frequency: {found}"


def _weeks(days: pl.DataFrame, calendar: Calendar, settings: Settings, columns: tuple[str, ...]) -> Recognised:
    given = settings.week
    starts = WEEKDAYS.index(given.starts) + 1 if given.starts else None
    by_weekday = days.group_by(weekday=pl.col("date").dt.weekday()).agg(pl.col("rows").sum()).sort("rows")
    label = by_weekday["weekday"][-1] if len(by_weekday) else 1
    if days.is_empty() or int(by_weekday["rows"][-1]) < MOST * int(by_weekday["rows"].sum()):
        made = replace(calendar, starts=starts or 1, dated_by=given.dated_by or "first")
        return Recognised(made, f"daily rows, summed to {_week(made)}{_settable(settings)}")
    dated_by = given.dated_by or _by_start(starts, label, settings) or _named(columns) or _usual(label)
    made = replace(calendar, starts=label if dated_by == "first" else label % 7 + 1, dated_by=dated_by, totals=True)
    if starts not in (None, made.starts):
        raise ConfigError(
            f"{settings.path}: week: the rows are dated by {_name(label)}s, which is not the {dated_by} day of a week "
            f"from {given.starts} on; leave week: out, or set starts: {WEEKDAYS[made.starts - 1]}"
        )
    return Recognised(made, f"rows of whole weeks, read as {_week(made)}{_settable(settings)}")


def _by_start(starts: int | None, label: int, settings: Settings) -> DatedBy | None:
    if starts is None:
        return None
    if label not in (starts, (starts - 2) % 7 + 1):
        raise ConfigError(
            f"{settings.path}: week.starts: the rows are dated by {_name(label)}s, neither the first nor the last day "
            f"of a week from {WEEKDAYS[starts - 1]} on; set week.starts: {_name(label).lower()} or "
            f"{WEEKDAYS[label % 7]}"
        )
    return "first" if label == starts else "last"


def _named(columns: tuple[str, ...]) -> DatedBy | None:
    """What the names of the date columns say, where they agree."""
    said: set[DatedBy] = {"last" for name in columns if NAMES_LAST.search(name)}
    said |= {"first" for name in columns if NAMES_FIRST.search(name)}
    return said.pop() if len(said) == 1 else None


def _usual(label: int) -> DatedBy:
    return "first" if label == 1 else "last"


def _months(days: pl.DataFrame, calendar: Calendar, settings: Settings, columns: tuple[str, ...]) -> Recognised:
    day = pl.col("date")
    rows = days.select(
        pl.col("rows").sum().alias("all"),
        pl.col("rows").filter(day.dt.day() == 1).sum().alias("first"),
        pl.col("rows").filter(day == day.dt.month_end()).sum().alias("last"),
        months=day.dt.strftime("%Y-%m").n_unique(),
        dates=day.n_unique(),
    ).row(0, named=True)
    found: list[DatedBy] = [by for by in ("first", "last") if rows[by] >= MOST * rows["all"] > 0]  # type: ignore[misc]
    single = rows["dates"] == rows["months"] and rows["months"] > 2  # whichever day of the month it is
    dated_by = settings.month.dated_by or next(iter(found), None) or (_named(columns) if single else None) or "first"
    made = replace(calendar, dated_by=dated_by, totals=bool(found) or single)
    what = "rows of whole months" if made.totals else "daily rows, summed to months"
    return Recognised(made, f"{what}, dated by their {dated_by} day{_settable(settings)}")


def _week(calendar: Calendar) -> str:
    first, last = calendar.starts, (calendar.starts + 5) % 7 + 1
    return f"weeks from {_name(first)} to {_name(last)}, dated by their {calendar.dated_by} day"


def _name(weekday: int) -> str:
    return WEEKDAYS[weekday - 1].capitalize()


def _settable(settings: Settings) -> str:
    section = "week" if settings.frequency == "weekly" else "month"
    given = getattr(settings, section).model_dump(exclude_none=True)
    return f" (as {section}: says)" if given else f"; {section}: in the configuration says otherwise"


def whole_periods(days: pl.Series, calendar: Calendar, arrived: date | None) -> tuple[date, date] | tuple[None, None]:
    """First and last day of the whole periods among the `days` with sales rows; none: None. Totals of a period count
    unless they `arrived` before its end; of days a period counts when the days between it and the sales are of
    weekdays that never have any.
    """
    first, last = days.min(), days.max()
    if not isinstance(first, date) or not isinstance(last, date):
        return None, None
    (begin, first_ends), (last_begins, end) = calendar.span(first), calendar.span(last)
    if calendar.totals:
        late = arrived is not None and end > arrived
    else:
        idle = _idle_weekdays(days.unique(), last)
        begin = begin if _days_between(begin, first) <= idle else first_ends + timedelta(days=1)
        late = not _days_between(last + timedelta(days=1), end + timedelta(days=1)) <= idle
    end = last_begins - timedelta(days=1) if late else end
    return (begin, end) if begin <= end else (None, None)


def _idle_weekdays(days: pl.Series, last: date) -> set[int]:
    """The weekdays that had no sales in the eight weeks up to `last`; none where the history is shorter."""
    since = last - LOOKED_BACK
    return set(range(1, 8)) - {*days.filter(days > since).dt.weekday()} if days.min() <= since else set()  # type: ignore[operator]


def _days_between(first: date, end: date) -> set[int]:
    """The weekdays from `first` to before `end`."""
    return {(first + timedelta(days=n)).isoweekday() for n in range(min((end - first).days, 7))}
