"""What was collected before."""

from collections import Counter
from datetime import date

import polars as pl

from demand_forecast.sources.delivery import Delivery

PART = "-part"  # ends the file hash of rows from a file of which some days were left out


class Seen:
    """What was collected before: the latest content of each file's and each report's days, the latest hash of each."""

    def __init__(self, known: pl.DataFrame) -> None:
        self.content: dict[tuple[str, str, str, date], str] = {}
        self.latest: dict[tuple[str, str, str], str] = {}
        self.hashes: set[tuple[str, str]] = set()
        self.versions: Counter[tuple[str, str, date]] = Counter()
        self.copied: set[tuple[str, str, date, str]] = set()  # what the same bytes said, whatever their file's name
        self.sources = frozenset(known["source"].unique())
        self.newest: dict[tuple[str, str], date] = {}
        keys = ("source", "file", "report", "file_hash", "day", "content_hash")
        for row in known.sort("arrived_at").select(keys).iter_rows():
            self._add(*row)

    def _add(self, source: str, file: str, report: str, file_hash: str, day: date, content: str) -> None:
        self.hashes.add((source, file_hash))
        self.copied.add((source, file_hash.removesuffix(PART), day, content))
        self.newest[source, file] = max(day, self.newest.get((source, file), day))
        for kind, name in (("file", file), ("report", report)):
            self.content[source, kind, name, day] = content
            self.latest[source, kind, name] = file_hash

    def has(self, delivery: Delivery) -> bool:
        """Whether anything of this file or table was collected before."""
        return (delivery.source, "file", delivery.file) in self.latest

    def whole(self, delivery: Delivery) -> bool:
        """Whether this very file is what its name, else its report, said last; a new report may be any file's copy."""
        if not delivery.file_hash:
            return False
        for kind, name in (("file", delivery.file), ("report", delivery.report)):
            last = self.latest.get((delivery.source, kind, name))
            if last is not None:
                return last == delivery.file_hash
        return (delivery.source, delivery.file_hash) in self.hashes

    def is_copy(self, delivery: Delivery) -> bool:
        """Whether this is what another file said, under a name and a report that said nothing yet."""
        names = (("file", delivery.file), ("report", delivery.report))
        return self.whole(delivery) and not any((delivery.source, *name) in self.latest for name in names)

    def reading(self, delivery: Delivery) -> None:
        """Note that this file is being read, so that a copy of it that landed beside it is not."""
        self.hashes.add((delivery.source, delivery.file_hash))

    def is_new(self, delivery: Delivery, day: date, content: str) -> bool:
        names = (("file", delivery.file), ("report", delivery.report))
        said = [self.content.get((delivery.source, *name, day)) for name in names]
        if said == [None, None] and delivery.file_hash:
            return (delivery.source, delivery.file_hash, day, content) not in self.copied
        return content not in said

    def take(self, delivery: Delivery, day: date, content: str, file_hash: str) -> int:
        """Note that this day is collected; the number of versions of its report's day that this run took before it."""
        self._add(delivery.source, delivery.file, delivery.report, file_hash, day, content)
        key = (delivery.source, delivery.report, day)
        self.versions[key] += 1
        return self.versions[key] - 1
