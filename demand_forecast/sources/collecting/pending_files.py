"""Landing files with something new: a bounded scan of many files."""

import hashlib
import time
from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import NamedTuple

import polars as pl

from demand_forecast.settings import Settings
from demand_forecast.sources.collecting.batches import read_all
from demand_forecast.sources.collecting.index import PART
from demand_forecast.sources.collecting.scan import Scan, scan_of_sales
from demand_forecast.sources.configured import deliveries, named_inputs
from demand_forecast.sources.days import Days, overlap, possible
from demand_forecast.sources.delivery import Delivery, natural
from demand_forecast.sources.errors import SourceError, UnfinishedError
from demand_forecast.sources.kind import LandingKind
from demand_forecast.sources.landing import Contents, Landing

SCAN_SECONDS = 20.0  # after which no further file is opened: a sensor's tick has 60


class PendingFile(NamedTuple):
    """A file with something new: an id that changes with its content, and the first and last day that is new."""

    id: str
    report: str
    days: Days
    collected: str  # when its report was last collected; "": never


class PendingFiles:
    """One scan of the landing files.

    `batch`: at most `automation.batch_files` files with something new about `closed` days, oldest report first, without
    those `requested`; `waiting`: ids of those `requested` that still are new. Opens only files whose contents `landing`
    does not know, as many as fill the batch. A file that cannot be read is pending for the last closed day: the run
    that collects it says why. Raises NoFileError where a source never had a file, SourceError where the configuration
    cannot be followed.
    """

    def __init__(
        self, settings: Settings, known: pl.DataFrame, landing: Landing, closed: Days, requested: Collection[str] = ()
    ) -> None:
        self.batch: list[PendingFile] = []
        self.waiting: set[str] = set()
        self._closed, self._requested = closed, requested
        self._scan = scan_of_sales(settings, known, landing=landing)
        collected = known.group_by("source", "report").agg(pl.col("arrived_at").max())
        self._collected = {(source, report): str(at) for source, report, at in collected.iter_rows()}
        inputs = [one for one in named_inputs(settings, "sales") if isinstance(one.source, LandingKind)]
        found = deliveries(settings, "sales", landing, self._scan.collected.sources, inputs)
        unread = list(self._unread(sorted(found, key=lambda one: natural(one.report)), settings.automation.batch_files))
        _read(settings, known, unread, landing)
        for delivery in unread:
            self._add_if_new(delivery)
        self.batch.sort(key=lambda file: natural(file.report))

    def _unread(self, found: list[Delivery], room: int) -> Iterator[Delivery]:
        """Adds what is new in files that are known; yields those to read, as long as there is room in the batch."""
        began = time.monotonic()
        for delivery in found:
            if not delivery.known() and (room <= len(self.batch) or time.monotonic() - began > SCAN_SECONDS):
                continue
            try:
                contents = self._scan.landing.contents(delivery, self._scan.today)
                if self._scan.collected.has_all_of(delivery):
                    continue
            except SourceError as error:
                self._cannot_open(delivery, error)
                continue
            if contents is not None or delivery.span is not None:
                self._add_if_new(delivery, room)
            elif room > len(self.batch):
                room -= 1
                yield delivery

    def _cannot_open(self, delivery: Delivery, error: SourceError) -> None:
        if isinstance(error, UnfinishedError):
            self._scan.landing.leave(delivery.file, error)
        else:
            self._add(delivery, str(error), (self._closed[1], self._closed[1]))

    def _add_if_new(self, delivery: Delivery, room: int | None = None) -> None:
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
        elif room is None or room > len(self.batch):
            collected = self._collected.get((delivery.source, delivery.report), "")
            self.batch.append(PendingFile(id_, delivery.report, days, collected))

    def _new_days(self, delivery: Delivery) -> Days | None:
        contents = self._scan.landing.contents(delivery, self._scan.today)
        if contents is None:
            return None
        if contents.damaged:
            self._scan.landing.left[delivery.file] = str(contents.fault)
            return None
        if contents.fault is not None:
            return self._closed[1], self._closed[1]
        index = self._scan.collected
        days = [day for day, content in contents.days.items() if index.is_new(delivery, day, content)]
        closed = [day for day in days if self._closed[0] <= day <= self._closed[1]]
        return (min(closed), max(closed)) if closed else None

    def _new_span(self, delivery: Delivery) -> Days | None:
        """Of a file of all days those not held; where another file held them all, it was restated."""
        span = possible(delivery.span() if delivery.span else None, self._closed[1])
        closed = span and overlap(span, self._closed)
        if closed is None:
            return None
        index, name = self._scan.collected, (delivery.source, "file", delivery.file)
        days = (closed[0] + timedelta(days=number) for number in range((closed[1] - closed[0]).days + 1))
        missing = [day for day in days if (*name, day) not in index.content]
        if missing:
            return missing[0], missing[-1]
        return None if index.latest[name].removesuffix(PART) == delivery.file_hash else closed


def _read(settings: Settings, known: pl.DataFrame, unread: list[Delivery], landing: Landing) -> None:
    """Lets `landing` know what is in the files, or why one cannot be read."""

    def anew() -> Scan:  # to which everything is new, so that everything is read
        return scan_of_sales(settings, known.clear(), landing=landing)

    scan = anew()
    try:
        read_all(unread, scan)
    except SourceError:
        for delivery in unread:
            try:
                read_all([delivery], anew())
            except SourceError as error:
                landing.note_fault(delivery, error)
    for delivery in unread:
        if delivery.file not in landing.left and landing.contents(delivery, scan.today) is None:
            landing.note(delivery, Contents({}))  # not even a header
