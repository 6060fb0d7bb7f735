"""What has arrived and is not in the lake yet: a bounded look at many files, a bounded question to a database."""

import hashlib
import time
from collections.abc import Collection, Iterator
from datetime import date, timedelta
from typing import NamedTuple

import polars as pl

from demand_forecast.settings import Input, Settings, Source
from demand_forecast.sources.collect import Look, bounded, deliveries, look_at_sales, read_all
from demand_forecast.sources.delivery import Days, Delivery, SourceError, UnfinishedError, named_inputs, natural
from demand_forecast.sources.landing import Contents, Landing
from demand_forecast.sources.seen import PART

LOOK_SECONDS = 20.0  # after which no further file is opened: a sensor's tick has 60


class News(NamedTuple):
    """A file with something new: an id that changes with its content, and the first and last day that has news."""

    id: str
    report: str
    days: Days
    collected: str  # when its report was last collected; "": never


class FileNews:
    """One look at the landing files.

    `fresh`: at most `automation.batch_files` files with news about `closed` days, oldest report first, without those
    `requested`; of these `waiting` still have it. Opens only files of which `landing` does not know what they say, as
    many as fill the batch. A file that cannot be read is news about the last closed day: the run that collects it says
    why. Raises NoFileError where a source never had a file.
    """

    def __init__(
        self, settings: Settings, known: pl.DataFrame, landing: Landing, closed: Days, requested: Collection[str] = ()
    ) -> None:
        self.fresh: list[News] = []
        self.waiting: set[str] = set()
        self._closed, self._requested = closed, requested
        self._look = look_at_sales(settings, known, landing=landing)
        collected = known.group_by("source", "report").agg(pl.col("arrived_at").max())
        self._collected = {(source, report): str(at) for source, report, at in collected.iter_rows()}
        found = deliveries(settings, "sales", landing, self._look.seen.sources, kinds=("files", "m5"))
        unread = list(self._unread(sorted(found, key=lambda one: natural(one.report)), settings.automation.batch_files))
        _read(settings, known, unread, landing)
        for delivery in unread:
            self._take(delivery)
        self.fresh.sort(key=lambda news: natural(news.report))

    def _unread(self, found: list[Delivery], room: int) -> Iterator[Delivery]:
        """Takes the news of files that are known; yields those to read, as long as there is room in the batch."""
        began = time.monotonic()
        for delivery in found:
            if not delivery.known() and (room <= len(self.fresh) or time.monotonic() - began > LOOK_SECONDS):
                continue
            try:
                said = self._look.landing.contents(delivery, self._look.today)
                if self._look.seen.whole(delivery):
                    continue
            except SourceError as error:
                self._cannot_open(delivery, error)
                continue
            if said is not None or delivery.span is not None:
                self._take(delivery, room)
            elif room > len(self.fresh):
                room -= 1
                yield delivery

    def _cannot_open(self, delivery: Delivery, error: SourceError) -> None:
        if isinstance(error, UnfinishedError):
            self._look.landing.leave(delivery.file, error)
        else:
            self._add(delivery, str(error), (self._closed[1], self._closed[1]))

    def _take(self, delivery: Delivery, room: int | None = None) -> None:
        try:
            days = self._new_span(delivery) if delivery.span else self._new_days(delivery)
        except SourceError:
            days = (self._closed[1], self._closed[1])
        if days is not None:
            self._add(delivery, delivery.file_hash, days, room)

    def _add(self, delivery: Delivery, content: str, days: Days, room: int | None = None) -> None:
        id_ = hashlib.sha256(repr((delivery.source, delivery.file, content)).encode()).hexdigest()[:12]
        if id_ in self._requested:
            self.waiting.add(id_)
        elif room is None or room > len(self.fresh):
            collected = self._collected.get((delivery.source, delivery.report), "")
            self.fresh.append(News(id_, delivery.report, days, collected))

    def _new_days(self, delivery: Delivery) -> Days | None:
        said = self._look.landing.contents(delivery, self._look.today)
        if said is None:
            return None
        if said.damaged:
            self._look.landing.left[delivery.file] = str(said.fault)
            return None
        if said.fault is not None:
            return self._closed[1], self._closed[1]
        days = [day for day, content in said.days.items() if self._look.seen.is_new(delivery, day, content)]
        kept = [day for day in days if self._closed[0] <= day <= self._closed[1]]
        return (min(kept), max(kept)) if kept else None

    def _new_span(self, delivery: Delivery) -> Days | None:
        """Of a file of all days those not held; where another file held them all, it was restated."""
        span = bounded(delivery.span() if delivery.span else None, self._closed[1])
        closed = span and within(span, self._closed)
        if closed is None:
            return None
        seen, name = self._look.seen, (delivery.source, "file", delivery.file)
        days = (closed[0] + timedelta(days=number) for number in range((closed[1] - closed[0]).days + 1))
        missing = [day for day in days if (*name, day) not in seen.content]
        if missing:
            return missing[0], missing[-1]
        return None if seen.latest[name].removesuffix(PART) == delivery.file_hash else closed


def within(days: Days, closed: Days) -> Days | None:
    """First and last of `days` that are closed."""
    first, last = max(days[0], closed[0]), min(days[1], closed[1])
    return (first, last) if first <= last else None


def _read(settings: Settings, known: pl.DataFrame, unread: list[Delivery], landing: Landing) -> None:
    """Lets `landing` know what the files say, or why one cannot be read."""

    def look() -> Look:  # of one that has seen nothing, so that everything is read
        return look_at_sales(settings, known.clear(), landing=landing)

    whole = look()
    try:
        read_all(unread, whole)
    except SourceError:
        for delivery in unread:
            try:
                read_all([delivery], look())
            except SourceError as error:
                landing.note_fault(delivery, error)
    for delivery in unread:
        if delivery.file not in landing.left and landing.contents(delivery, whole.today) is None:
            landing.note(delivery, Contents({}))  # not even a header


def ledger_inputs(settings: Settings) -> list[tuple[str, Source, Input]]:
    """The sales tables and queries in databases, with the name of their source."""
    return [found for found in named_inputs(settings, "sales") if found[1].kind == "sql"]


def days_not_held(settings: Settings, known: pl.DataFrame, name: str, days: Collection[date]) -> set[date]:
    """Of the `days` that the table of source `name` has, those that the lake lacks, and of the newest ones (see
    `automation.ledger_lookback`) those of which it holds another content. Reads the newest days."""
    held = known.filter(source=name)
    newest = held["day"].max()
    if not isinstance(newest, date):
        return set(days)
    window = newest - timedelta(days=settings.automation.ledger_lookback), max(days, default=newest)
    look = look_at_sales(settings, held, window, full=True)
    read_all((one for one in deliveries(settings, "sales", look.landing, kinds=("sql",)) if one.source == name), look)
    other = {day for groups in look.groups for day in groups.filter("new")["day"]}
    return {day for day in days if day in other} | {*days}.difference(held["day"])
