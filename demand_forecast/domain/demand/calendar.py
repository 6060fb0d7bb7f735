"""What a period is: its days, its date, its seasons, and how far back features look."""

import re
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from typing import Literal

import polars as pl

Frequency = str
"""`daily`, `weekly` or `monthly`, and what differs from the usual: see `Calendar.code`."""
DatedBy = Literal["first", "last"]
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
WEEK = 7
UNIX = date(1970, 1, 1)
THURSDAY = 4  # weekday of UNIX
MEAN_MONTH = 365.2425 / 12  # days
MOST = 0.95  # of the dates; the others are slips
CODE = re.compile(
    rf"(?P<frequency>daily|weekly|monthly)(?P<totals> totals)?(?: from (?P<starts>{'|'.join(WEEKDAYS)}))?"
    r"(?: dated by (?P<dated_by>first|last))?"
)


@dataclass(frozen=True)
class Calendar:
    """One frequency. Everything but `step` counts periods.

    A period has the date of its first or last day (`dated_by`), as the retailer's own data have it, and a number,
    which is that of the period before it plus one.
    """

    frequency: Literal["daily", "weekly", "monthly"]
    step: int  # days in a period, the fewest
    season: int  # after which seasonal naive repeats
    cycle: int  # after which the day of the week returns
    year: int
    level_windows: tuple[int, ...]  # trailing means whose average is the base level
    trailing_windows: tuple[int, ...]
    half_lives: tuple[int, ...]
    cycle_windows: tuple[int, ...]  # occurrences of the same weekday; none where a period is a whole week
    year_windows: tuple[int, ...]  # centred on the same day last year
    spread_window: int  # over which variance to mean is measured
    open_windows: tuple[int, int]  # same weekdays over which a shop's opening is judged: lately, and usually
    event_reach: int  # periods around an event within which its distance is a feature
    lookback: int  # history that the features of one origin need
    starts: int = 1  # weekday on which a week begins, Monday is 1
    dated_by: DatedBy = "first"
    totals: bool = False  # whether the retailer's rows are of whole periods, each with the period's date

    @property
    def code(self) -> Frequency:
        """The calendar in words that `calendar_of` reads: `daily`, `weekly`, `weekly totals from saturday dated by
        last`, `monthly dated by last`. Kept with tables, models and packages.
        """
        weekday = f" from {WEEKDAYS[self.starts - 1]}" if self.starts != 1 else ""
        dated = " dated by last" if self.dated_by == "last" else ""
        return f"{self.frequency}{' totals' if self.totals else ''}{weekday}{dated}"

    @property
    def noun(self) -> str:
        return {"daily": "day", "weekly": "week", "monthly": "month"}[self.frequency]

    def number(self, day: pl.Expr) -> pl.Expr:
        """The number of the period that holds the day."""
        if self.frequency == "monthly":
            return day.dt.year().cast(pl.Int32) * 12 + day.dt.month() - 1
        since = day.cast(pl.Date).to_physical()
        return since if self.frequency == "daily" else (since + THURSDAY - self.starts).floordiv(WEEK)

    def begin(self, number: pl.Expr) -> pl.Expr:
        """The first day of the period of this number."""
        if self.frequency == "monthly":
            day = number.cast(pl.Int32).cast(pl.Date)  # any: pl.date would give the column another name
            return day.dt.replace(year=number // 12, month=number % 12 + 1, day=1)
        since = number if self.frequency == "daily" else number * WEEK - THURSDAY + self.starts
        return since.cast(pl.Int32).cast(pl.Date)

    def first_day(self, day: pl.Expr) -> pl.Expr:
        """The first day of the period that holds `day`."""
        return self.begin(self.number(day))

    def last_day(self, day: pl.Expr) -> pl.Expr:
        """The last day of the period that holds `day`."""
        return self.begin(self.number(day) + 1).dt.offset_by("-1d")

    def dated(self, day: pl.Expr) -> pl.Expr:
        """The date of the period that holds `day`."""
        return day if self.frequency == "daily" else self.date_of(self.number(day))

    def later(self, day: pl.Expr, periods: pl.Expr | int) -> pl.Expr:
        """The date of the period that is `periods` after that of `day`."""
        return self.date_of(self.number(day) + periods)

    def between(self, first: pl.Expr, last: pl.Expr) -> pl.Expr:
        """How many periods `last` is after `first`."""
        return self.number(last) - self.number(first)

    def days(self, day: pl.Expr) -> pl.Expr:
        """Days in the period that holds `day`."""
        return (self.last_day(day) - self.first_day(day)).dt.total_days() + 1

    def length(self, day: pl.Expr) -> pl.Expr:
        """How long the period that holds `day` is against a usual one: of months 28 to 31 days against the mean."""
        return self.days(day) / MEAN_MONTH if self.frequency == "monthly" else pl.lit(1.0)

    def date_of(self, number: pl.Expr) -> pl.Expr:
        """The date of the period of this number."""
        return self.begin(number) if self.dated_by == "first" else self.begin(number + 1).dt.offset_by("-1d")

    def ahead(self, day: date, periods: int) -> date:
        """The date of the period that is `periods` after that of `day`."""
        return _one(self.later(pl.lit(day), periods))

    def span(self, day: date) -> tuple[date, date]:
        """First and last day of the period that holds `day`."""
        return _one(self.first_day(pl.lit(day))), _one(self.last_day(pl.lit(day)))

    def count(self, first: date, last: date) -> int:
        """How many periods `last` is after `first`."""
        return int(pl.select(self.between(pl.lit(first), pl.lit(last))).item())

    def periods(self, days: int) -> int:
        return -(-days // self.step)

    def within(self, days: int) -> int:
        """How many whole periods are in so many days, at least one."""
        return max(1, days // self.step)


def _one(value: pl.Expr) -> date:
    return pl.select(value).item()  # type: ignore[no-any-return]


DAILY = Calendar(
    frequency="daily",
    step=1,
    season=7,
    cycle=7,
    year=364,  # not 365: the same weekday
    level_windows=(28, 91, 182),
    trailing_windows=(7, 14, 28, 56, 91, 182, 364),
    half_lives=(3, 14),
    cycle_windows=(4, 8, 26, 52),
    year_windows=(7, 29),
    spread_window=91,
    open_windows=(8, 52),
    event_reach=7,
    lookback=400,
)
WEEKLY = Calendar(
    frequency="weekly",
    step=7,
    season=52,
    cycle=1,
    year=52,
    level_windows=(4, 13, 26),
    trailing_windows=(2, 4, 8, 13, 26, 52),
    half_lives=(1, 4),
    cycle_windows=(),
    year_windows=(1, 5),
    spread_window=13,
    open_windows=(8, 52),
    event_reach=2,
    lookback=60,
)
MONTHLY = Calendar(
    frequency="monthly",
    step=28,
    season=12,
    cycle=1,
    year=12,
    level_windows=(2, 4, 9),
    trailing_windows=(2, 3, 6, 9, 12),
    half_lives=(1, 3),
    cycle_windows=(),
    year_windows=(1, 3),
    spread_window=6,
    open_windows=(3, 12),
    event_reach=1,
    lookback=16,
)


@lru_cache
def calendar_of(frequency: Frequency) -> Calendar:
    """The calendar whose `code` is `frequency`. Raises ValueError where none is."""
    found = CODE.fullmatch(frequency)
    if found is None:
        raise ValueError(f"no frequency {frequency!r}: daily, weekly or monthly")
    usual = {"daily": DAILY, "weekly": WEEKLY, "monthly": MONTHLY}[found["frequency"]]
    starts = WEEKDAYS.index(found["starts"]) + 1 if found["starts"] else 1
    dated_by: DatedBy = "last" if found["dated_by"] == "last" else "first"
    return replace(usual, starts=starts, dated_by=dated_by, totals=bool(found["totals"]))


def by_day(rows: pl.DataFrame, calendar: Calendar) -> pl.DataFrame:
    """`rows` (`date`, `store_id`, `product_id` where they have them, and values): where the retailer's rows are of
    whole periods, a column whose every known value has a period's date holds on each day of its period.
    """
    if not calendar.totals:
        return rows
    keys = [name for name in rows.columns if name in ("date", "store_id", "product_id")]
    values = [name for name in rows.columns if name not in keys]
    dated = pl.col("date") == calendar.dated(pl.col("date"))
    shares = rows.select(dated.filter(pl.col(name).is_not_null()).mean().alias(name) for name in values)
    whole = [name for name, share in shares.to_dicts()[0].items() if (share or 0) >= MOST] if values else []
    if not whole:
        return rows
    others = [name for name in values if name not in whole]
    span = pl.date_ranges(calendar.first_day(pl.col("date")), calendar.last_day(pl.col("date")))
    spread = _saying(rows, keys, whole).with_columns(date=span).explode("date")
    return pl.concat([spread, _saying(rows, keys, others)], how="diagonal").select(rows.columns)


def _saying(rows: pl.DataFrame, keys: list[str], values: list[str]) -> pl.DataFrame:
    """`keys` and `values` of the rows that say something of these."""
    return rows.select(*keys, *values).filter(pl.any_horizontal(pl.lit(False), pl.col(values).is_not_null()))
