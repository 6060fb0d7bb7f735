"""What was collected before, looked up by file, report, day and content."""

from collections import Counter
from datetime import date

import polars as pl

from demand_forecast.domain.tables import RAW_PROVENANCE
from demand_forecast.sources.delivery import Delivery

KNOWN = {name: kind for name, kind in RAW_PROVENANCE.items() if name != "line"}
PART = "-part"  # ends the file hash of rows from a file of which some days were left out


def known_sales(raw: pl.LazyFrame) -> pl.DataFrame:
    """What raw_sales holds: one row per source, file, report, day and content, with its latest `arrived_at`."""
    keys = [name for name in KNOWN if name != "arrived_at"]
    return raw.group_by(keys).agg(pl.col("arrived_at").max()).select(*KNOWN).collect()


def add_known(known: pl.DataFrame, added: pl.DataFrame) -> pl.DataFrame:
    """What raw_sales holds after rows were added to it, of which `known_sales` is `added`."""
    return known_sales(pl.concat([known.select(*KNOWN), added]).lazy())


class CollectedIndex:
    """What was collected before: the latest content of each file's and each report's days, the latest hash of each.

    `known` is `known_sales` of the lake.
    """

    def __init__(self, known: pl.DataFrame) -> None:
        self.content: dict[tuple[str, str, str, date], str] = {}
        self.latest: dict[tuple[str, str, str], str] = {}
        self.sources = frozenset(known["source"].unique())
        self.newest: dict[tuple[str, str], date] = {}
        self._hashes: set[tuple[str, str]] = set()
        self._versions: Counter[tuple[str, str, date]] = Counter()
        self._by_hash: set[tuple[str, str, date, str]] = set()  # the days of the same bytes, whatever the file's name
        keys = ("source", "file", "report", "file_hash", "day", "content_hash")
        for row in known.sort("arrived_at").select(keys).iter_rows():
            self._add(*row)

    def _add(self, source: str, file: str, report: str, file_hash: str, day: date, content: str) -> None:
        self._hashes.add((source, file_hash))
        self._by_hash.add((source, file_hash.removesuffix(PART), day, content))
        self.newest[source, file] = max(day, self.newest.get((source, file), day))
        for kind, name in (("file", file), ("report", report)):
            self.content[source, kind, name, day] = content
            self.latest[source, kind, name] = file_hash

    def has_any_of(self, delivery: Delivery) -> bool:
        """Whether anything of this file or table was collected before."""
        return (delivery.source, "file", delivery.file) in self.latest

    def has_all_of(self, delivery: Delivery) -> bool:
        """Whether the latest version of its file, else of its report, was this very file, collected whole.

        Under a new name and a new report it may be the copy of any file. Raises SourceError where it cannot be opened.
        """
        if not delivery.file_hash:
            return False
        for kind, name in (("file", delivery.file), ("report", delivery.report)):
            last = self.latest.get((delivery.source, kind, name))
            if last is not None:
                return last == delivery.file_hash
        return (delivery.source, delivery.file_hash) in self._hashes

    def is_copy(self, delivery: Delivery) -> bool:
        """Whether this is a copy of another file that was collected whole, under a new name and a new report."""
        names = (("file", delivery.file), ("report", delivery.report))
        return self.has_all_of(delivery) and not any((delivery.source, *name) in self.latest for name in names)

    def note_reading(self, delivery: Delivery) -> None:
        """Note that this file is being read, so that a copy of it that landed beside it is not."""
        self._hashes.add((delivery.source, delivery.file_hash))

    def is_new(self, delivery: Delivery, day: date, content: str) -> bool:
        """Whether neither its file nor its report had this content last for `day`, nor a copy of the file ever."""
        names = (("file", delivery.file), ("report", delivery.report))
        latest = [self.content.get((delivery.source, *name, day)) for name in names]
        if latest == [None, None] and delivery.file_hash:
            return (delivery.source, delivery.file_hash, day, content) not in self._by_hash
        return content not in latest

    def add(self, delivery: Delivery, day: date, content: str, file_hash: str) -> int:
        """Adds a day that is being collected; gives how many versions of its report's day this run added before it."""
        self._add(delivery.source, delivery.file, delivery.report, file_hash, day, content)
        key = (delivery.source, delivery.report, day)
        self._versions[key] += 1
        return self._versions[key] - 1
