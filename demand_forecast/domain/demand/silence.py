"""Stores of which nothing was heard: days without a line that are unknown, because chance does not explain them.

A store is late when its newest days have no line though it seldom misses one, and silent when it has none for so long
that chance is out at any time. Days on which no store has a line are a holiday, unless they are too many.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl

from demand_forecast.domain.demand.calendar import DAILY, MONTHLY, Calendar

MEMORY = 52  # the same weekdays before a silence, or months, by which it is judged
OUT_OF_CHANCE = 1e-6  # a store that never missed a day is silent after five, one with a line every other day after 21
LATE = 0.02  # of the newest days, which the next night may bring: a store that missed none in eight weeks, after one
SELDOM_MISSES = 0.05  # share of its usual days: stores that miss more are not late, but silent after long enough
LEAST_DAYS = 20  # usual days, or weeks, that a store was seen for before it can be late
HOLIDAYS = 7  # days without a line of any store: fewer are a holiday
GONE = timedelta(weeks=8)  # silent for longer until today: it has closed for good
GONE_MONTHS = 3  # the same where lines are of months
YEARLY = 0.5  # of a silence's days: so many without a line a year before too are a yearly break
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NOTHING = pl.DataFrame(schema={"store_id": pl.String, "date": pl.Date})

Mask = np.ndarray[Any, np.dtype[np.bool_]]
Counts = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Silence:
    """`store_id` (None: every store) has no line from `first` to `last`, the newest day where `until_now`. `gone`: it
    lasts so long that the store counts as closed for good. `usual`: when lines were, in words.
    """

    store_id: str | None
    first: date
    last: date
    usual: str
    until_now: bool
    gone: bool

    def __str__(self) -> str:
        """What a person is told of it."""
        store = f"store {self.store_id}" if self.store_id is not None else "every store"
        ended = "; it counts as closed for good now" if self.gone else ""
        since = f"since {self.first - timedelta(days=1)}" if self.until_now else f"from {self.first} to {self.last}"
        return f"{store}: no line {since}, usual on {self.usual}{ended}"


class Silences(NamedTuple):
    """What was `found`, and the `days` (`store_id, date`) of which nothing is known."""

    found: tuple[Silence, ...]
    days: pl.DataFrame

    def to_json(self) -> str:
        return json.dumps([asdict(silence) for silence in self.found], default=str)


def read_silences(text: str) -> tuple[Silence, ...]:
    """What was found, from the text of `Silences.to_json`."""
    rows = json.loads(text)
    days = ({name: date.fromisoformat(row[name]) for name in ("first", "last")} for row in rows)
    return tuple(Silence(**{**row, **known}) for row, known in zip(rows, days, strict=True))


def first_difference(before: tuple[Silence, ...], after: tuple[Silence, ...]) -> date | None:
    """The first day that is unknown by one of two lists and known by the other; None where there is none.

    A silence that goes on says the same until the day on which the shorter one ends.
    """
    old, new = ({(one.store_id, one.first): one for one in some if not one.gone} for some in (before, after))
    changed = [first for _, first in old.keys() ^ new.keys()]
    for one, other in ((old[key], new[key]) for key in old.keys() & new.keys()):
        if one.usual != other.usual:
            changed.append(one.first)
        elif one.last != other.last:
            changed.append(min(one.last, other.last) + timedelta(days=1))
    return min(changed, default=None)


def silences(lines: pl.DataFrame, closed: pl.DataFrame | None = None, calendar: Calendar = DAILY) -> Silences:
    """The silences in `lines` (`store_id, date` of sales lines, repeated or not), the last of which is the newest day.

    A day is usual for a store when it had a line on any of the last 52 such weekdays. A run of usual days without one
    is judged by the days before it: n such weekdays after the first with a line, k of them with one. With every share
    equally likely beforehand, the chance of one more without a line is (n - k + 1) / (n + 2), and of the next one
    (n - k + 2) / (n + 3) (Laplace's rule of succession). Where the product over the run is below OUT_OF_CHANCE the
    store was silent. A run that lasts until the newest day is late from LATE down, reckoned with all usual days of a
    year together, for a store that misses at most SELDOM_MISSES of them.

    Days on which no store has a line, or that are in `closed` (`store_id`, null: every store; `date`), are no evidence
    and stay what they are. HOLIDAYS of them in a row are judged as if all stores were one. What was without a line a
    year before too is a yearly break. Where by the `calendar` lines are of whole months, months are judged as weekdays
    are.
    """
    if lines.is_empty():
        return Silences((), NOTHING)
    grid = _Grid.of(lines.unique(), closed, MONTHLY if calendar.totals and calendar.frequency == "monthly" else DAILY)
    found, unknown = list[Silence](), np.zeros_like(grid.heard)
    for stores, row, least in grid.rows():
        for start, end in row.silent(least):
            found.append(grid.silence(stores, start, end, (row.usual & row.counted)[start:end]))
            if not found[-1].gone:
                unknown[stores, start:end] |= (grid.usual & row.counted)[stores, start:end]
    return Silences(tuple(found), grid.table(unknown))


@dataclass(frozen=True)
class _Row:
    """One store's periods, shape (periods,): whether it was `heard` of, and whether it could have been (`counted`).

    `sold`, `seen`: running totals over the same weekdays, after the first line on one, of lines and of days counted.
    """

    heard: Mask
    counted: Mask
    cycle: int
    sold: Counts
    seen: Counts

    @classmethod
    def of(cls, heard: Mask, counted: Mask, cycle: int) -> Self:
        begun = _strided(heard, cycle) - heard > 0
        return cls(heard, counted, cycle, _strided(heard & begun, cycle), _strided(counted & begun, cycle))

    def silent(self, least: int) -> Iterator[tuple[int, int]]:
        """First period, and the one after the last, of every run that chance does not explain, of `least` or more."""
        missed = self.usual & self.counted
        run = self.heard.cumsum()
        chance = np.bincount(run, np.where(missed, self._log_chance(), 0.0))
        out = chance < np.log(OUT_OF_CHANCE)
        out[-1] |= self._late(missed)
        for number in np.flatnonzero(out):
            start, end = int(np.searchsorted(run, number)) + 1, int(np.searchsorted(run, number, side="right"))
            if end - start >= least and not self._yearly(np.flatnonzero(missed[start:end]) + start):
                yield start, end

    @cached_property
    def usual(self) -> Mask:
        """Periods without a line on whose weekday there was one of late, when the run began."""
        return ~self.heard & (self._start > 0) & (self._known(_strided(self.heard, self.cycle), self._before) > 0)

    @cached_property
    def _start(self) -> Counts:
        """The first period of the run without a line that each belongs to; 0 before the first line."""
        place = np.arange(len(self.heard))
        return np.maximum.accumulate(np.where(self.heard, place, -1)) + 1

    @cached_property
    def _place(self) -> Counts:
        """Which such weekday of its run each period is, from 0."""
        return (np.arange(len(self.heard)) - self._start) // self.cycle

    @cached_property
    def _before(self) -> Counts:
        """The last such weekday before the run of each period."""
        return np.arange(len(self.heard)) - self.cycle * (self._place + 1)

    def _known(self, totals: Counts, place: Counts) -> Counts:
        """What running totals grew by over the MEMORY weekdays to `place`; 0 before the first."""
        reach = self.cycle * MEMORY
        upto = np.where(place >= 0, totals[np.maximum(place, 0)], 0)
        return upto - np.where(place >= reach, totals[np.maximum(place - reach, 0)], 0)

    def _log_chance(self) -> Floats:
        sold, seen = (self._known(totals, self._before) for totals in (self.sold, self.seen))
        earlier = np.maximum(self._place, 0)  # -1 where there was a line
        return np.log((np.maximum(seen - sold, 0) + 1 + earlier) / (seen + 2 + earlier))

    def _late(self, missed: Mask) -> bool:
        """Whether the usual days since the newest line are too many to have been missed by chance."""
        start = int(self._start[-1])
        more = np.arange(missed[start:].sum())
        lately = np.arange(start - self.cycle, start)
        sold, seen = (self._known(totals, lately) for totals in (self.sold, self.seen))
        lines, days = int(sold.sum()), int(seen[sold > 0].sum())
        chance = np.prod((days - lines + 1 + more) / (days + 2 + more))
        return days >= LEAST_DAYS and days - lines <= SELDOM_MISSES * days and bool(chance < LATE)

    def _yearly(self, days: Counts) -> bool:
        """Whether as many of `days` were without a line a year before."""
        before = days - self.cycle * MEMORY if self.cycle > 1 else days - 12
        known = before > np.argmax(self.heard)
        return float((known & ~self.heard[np.maximum(before, 0)]).mean()) >= YEARLY


@dataclass(frozen=True)
class _Grid:
    """`heard`, whether a store has a line in a period, and `closed`, shape (stores, periods), from `first` on."""

    stores: list[str]
    first: date
    heard: Mask
    closed: Mask
    calendar: Calendar

    @classmethod
    def of(cls, lines: pl.DataFrame, closed: pl.DataFrame | None, calendar: Calendar) -> Self:
        """`lines`: each store and day once; `calendar`: of days, or of months, the periods that are judged."""
        stores = lines["store_id"].unique().sort()
        first, last = lines["date"].min(), lines["date"].max()
        if not isinstance(first, date) or not isinstance(last, date):
            raise TypeError(f"dates of sales lines are {lines.schema['date']}, not days")
        first = calendar.ahead(first, 0)
        shape = len(stores), calendar.count(first, last) + 1
        place = _places(lines, stores, first, calendar)
        heard, shut = np.zeros(shape, bool), np.zeros(shape, bool)
        heard[place] = True
        if closed is not None and calendar is DAILY:
            within = closed.filter(pl.col("date").is_between(first, last))
            of_all = within.filter(pl.col("store_id").is_null())
            shut[_places(within.filter(pl.col("store_id").is_in(stores.implode())), stores, first, calendar)] = True
            shut[:, _places(of_all, stores, first, calendar)[1]] = True
        return cls(stores.to_list(), first, heard, shut, calendar)

    @property
    def monthly(self) -> bool:
        return self.calendar is MONTHLY

    def rows(self) -> Iterator[tuple[slice, _Row, int]]:
        """The stores together, and where several are each of them: which they are, their row, and of how many periods
        without a line the least is that is no holiday.
        """
        any_heard, all_closed = np.asarray(self.heard.any(axis=0)), np.asarray(self.closed.all(axis=0))
        yield slice(None), _Row.of(any_heard, ~all_closed, self.calendar.cycle), 1 if self.monthly else HOLIDAYS
        for number in range(len(self.stores)) if len(self.stores) > 1 else ():
            counted = any_heard & ~self.closed[number]
            yield slice(number, number + 1), _Row.of(self.heard[number], counted, self.calendar.cycle), 1

    @cached_property
    def usual(self) -> Mask:
        """Periods of each store that are usual, without a line and not said to be closed, shape (stores, periods)."""
        usual = [_Row.of(heard, heard, self.calendar.cycle).usual for heard in self.heard]
        return np.stack(usual) & ~self.closed

    def silence(self, store: slice, start: int, end: int, usual: Mask) -> Silence:
        days = [self.day(period) for period in (np.flatnonzero(usual) + start).tolist()]
        named = sorted({day.weekday() for day in days})
        weekdays = "every day" if len(named) == len(WEEKDAYS) else ", ".join(WEEKDAYS[number] for number in named)
        until_now = end == self.heard.shape[1]
        lasting = end - start > (GONE_MONTHS if self.monthly else GONE.days)
        return Silence(
            store_id=None if store == slice(None) and len(self.stores) > 1 else self.stores[store][0],
            first=self.day(start),
            last=self.day(end) - timedelta(days=1),
            usual="every month" if self.monthly else weekdays,
            until_now=until_now,
            gone=until_now and lasting,
        )

    def day(self, period: int) -> date:
        """The first day of the period."""
        return self.calendar.ahead(self.first, period)

    def table(self, chosen: Mask) -> pl.DataFrame:
        """`store_id, date` of the days of the `chosen` periods."""
        store, period = np.nonzero(chosen)
        spans = {"store_id": [self.stores[number] for number in store], "period": period}
        rows = pl.DataFrame(spans, schema={"store_id": pl.String, "period": pl.Int32})
        begin = self.calendar.later(pl.lit(self.first), pl.col("period"))
        days = rows.select("store_id", date=pl.date_ranges(begin, self.calendar.last_day(begin)))
        return days.explode("date", empty_as_null=False)


def _places(rows: pl.DataFrame, stores: pl.Series, first: date, calendar: Calendar) -> tuple[Counts, Counts]:
    """Store and period of each row of `store_id, date`."""
    period = calendar.between(pl.lit(first), pl.col("date"))
    number = pl.col("store_id").replace_strict(stores, range(len(stores)), default=None, return_dtype=pl.Int64)
    placed = rows.select(store=number, period=period.cast(pl.Int64))
    return placed["store"].to_numpy(), placed["period"].to_numpy()


def _strided(values: Mask, cycle: int) -> Counts:
    """Running totals over every `cycle`-th value."""
    table = np.zeros((-(-len(values) // cycle), cycle), np.int64)
    table.reshape(-1)[: len(values)] = values
    return table.cumsum(axis=0).reshape(-1)[: len(values)]
