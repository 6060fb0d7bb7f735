"""One way to read a date from text, for the partition day of a row and for its cleaning."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl

from demand_forecast.domain.cleaning.text import by_source

EARLIEST_DAY = date(1990, 1, 1)

_CLOCK = r"[T ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?\s*"
_ZONE = r"(Z|UTC|[+-]\d{2}(?::?\d{2})?)"
_TIME = rf"(?:{_CLOCK}{_ZONE}?)?"
_UNAMBIGUOUS = (
    (rf"^(\d{{4}}-\d{{1,2}}-\d{{1,2}}){_TIME}$", "%Y-%m-%d"),
    (rf"^(\d{{4}}/\d{{1,2}}/\d{{1,2}}){_TIME}$", "%Y/%m/%d"),
    (rf"^(\d{{1,2}}\.\d{{1,2}}\.\d{{4}}){_TIME}$", "%d.%m.%Y"),
    (r"^(\d{8})$", "%Y%m%d"),
)
_WEEK, _MONTH = r"^(\d{4})-?W(\d{2})$", r"^(\d{4}-\d{2})$"
ZONED = re.compile(rf"{_CLOCK}{_ZONE}$")  # a text that names a moment, wherever one is


@dataclass(frozen=True)
class DateReading:
    """How dates are written, and where the shops are: in `timezone`, `zones` has `store_id` and time zone of shops
    elsewhere. None: nobody says, and a moment counts on the day that its text has. `periods`: a text may name a whole
    week or month.
    """

    date_format: str | None = None
    timezone: str | None = None
    zones: tuple[tuple[str, str], ...] = ()
    periods: bool = False

    @property
    def keys(self) -> list[str]:
        """The columns that a day is read from."""
        return ["date", "store_id"] if self.zones else ["date"]


PLAIN = DateReading()


def parse_dates(text: pl.Expr, reading: DateReading = PLAIN) -> pl.Expr:
    """The day (Date) written in each text; null where there is none.

    A moment with a time zone counts on the day that it was in `reading.timezone`, or in that of the row's `store_id`,
    where these are known; one without as it is written. With `date_format` (strptime) only that format counts. Without,
    the formats that can mean one day only: `2024-01-31`, the same with a time (`T` or space, fraction and zone
    optional), `2024/01/31`, `31.01.2024`, `20240131`; with `periods` also `2024-W05` (its Monday) and `2024-01` (its
    first day). `03/04/2024` may be March or April: null.
    """
    stripped = text.str.strip_chars()
    if reading.date_format is not None:
        return _as_formatted(stripped, reading)
    written = (stripped.str.extract(pattern).str.to_date(format_, strict=False) for pattern, format_ in _UNAMBIGUOUS)
    day = pl.coalesce(written)
    moved = day
    if reading.timezone:
        moved = (
            pl.when(stripped.str.contains(ZONED.pattern)).then(_local(_moment(stripped, day), reading)).otherwise(day)
        )
    return pl.coalesce(moved, _week(stripped), _month(stripped)) if reading.periods else moved


def _as_formatted(text: pl.Expr, reading: DateReading) -> pl.Expr:
    form = reading.date_format or ""
    if reading.timezone and re.search("%[:#]?z", form):
        return _local(text.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False), reading)
    if reading.periods and re.search("%[GgVUWu]", form) is None and "%d" not in form and "%j" not in form:
        return (text + " 1").str.to_date(f"{form} %d", strict=False)
    return text.str.to_date(form, strict=False)


def _moment(text: pl.Expr, day: pl.Expr) -> pl.Expr:
    """The moment (UTC) of a text with a time and a zone, on `day` there."""
    hour, minute, second = (text.str.extract(ZONED.pattern, part).cast(pl.Int64, strict=False) for part in (1, 2, 3))
    zone = text.str.extract(ZONED.pattern, 4).str.replace("Z|UTC", "+00").str.replace(":", "")
    minutes = zone.str.slice(1, 2).cast(pl.Int64, strict=False) * 60 + zone.str.slice(3, 2).cast(
        pl.Int64, strict=False
    ).fill_null(0)
    behind = pl.when(zone.str.starts_with("-")).then(minutes).otherwise(-minutes)
    since = pl.duration(hours=hour, minutes=minute + behind, seconds=second.fill_null(0))
    return day.cast(pl.Datetime("us", "UTC")) + since


def _local(moment: pl.Expr, reading: DateReading) -> pl.Expr:
    """The day of a moment (UTC) where the shop is."""
    found = moment.dt.convert_time_zone(reading.timezone or "UTC").dt.date()
    for store, zone in reading.zones:
        there = pl.col("store_id").str.strip_chars() == store
        found = pl.when(there).then(moment.dt.convert_time_zone(zone).dt.date()).otherwise(found)
    return found


def _week(text: pl.Expr) -> pl.Expr:
    """The Monday of `2024-W05`, a week of ISO 8601."""
    return text.str.replace(_WEEK, "${1}-W${2}-1").str.to_date("%G-W%V-%u", strict=False)


def _month(text: pl.Expr) -> pl.Expr:
    return (text.str.extract(_MONTH) + "-01").str.to_date("%Y-%m-%d", strict=False)


def date_keys(readings: Mapping[str, DateReading]) -> list[str]:
    """The columns that days are read from, beside `source`."""
    return sorted({"date", *(key for one in readings.values() for key in one.keys)})


def read_dates(rows: pl.DataFrame, reading: DateReading | Mapping[str, DateReading] = PLAIN) -> pl.Series:
    """`parse_dates` of the column `date`; each text is parsed once, for there are far fewer dates than rows.

    `reading`: of all rows, or by their `source`.
    """
    if isinstance(reading, DateReading):
        keys, parsed = reading.keys, parse_dates(pl.col("date"), reading)
    else:
        keys = ["source", *date_keys(reading)]
        parsed = by_source(lambda one: parse_dates(pl.col("date"), one), reading, PLAIN)
    days = rows.select(keys).unique().with_columns(day_read=parsed)
    return rows.select(keys).join(days, on=keys, how="left", maintain_order="left", nulls_equal=True)["day_read"]
