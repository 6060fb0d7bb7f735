"""Which source a configured one is: one that was collected before, one that took another's place, or a new one."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from demand_forecast.settings import Settings, unknown
from demand_forecast.sources.collecting.batches import read_all
from demand_forecast.sources.collecting.index import KNOWN
from demand_forecast.sources.collecting.scan import scan_of_sales
from demand_forecast.sources.configured import NamedInput, deliveries, named_inputs
from demand_forecast.sources.errors import NoFileError, SourceError
from demand_forecast.sources.kind import LandingKind
from demand_forecast.sources.landing import Landing
from demand_forecast.sources.register import KnownSource, Register, free_name, place_of, recognised

SAME = 0.5  # of the days that both have: with as many equal days it is the same source


def settle(settings: Settings, register: Register, known: pl.DataFrame, landing: Landing) -> Register:
    """The register with every configured source of sales in it; `known`: `known_sales` of the lake.

    A source is known by the place that it reads, else by its files, else by what it says: where most of the days that
    it shares with a source that is not configured any more are equal, it takes that one's place. Raises SourceError
    where such days differ and nothing in the configuration says what the two are to each other.
    """
    return _Settling(settings, list(register), known, landing).register()


@dataclass
class _Settling:
    settings: Settings
    known_sources: list[KnownSource]
    known: pl.DataFrame
    landing: Landing
    found: dict[str, str] = field(default_factory=dict)

    def register(self) -> Register:
        names = {one.source for one in self.known_sources}
        unseen = sorted({*self.known["source"].unique()} - names)  # collected before there was a register
        self.known_sources += [KnownSource(name, name, "", None, None, ".") for name in unseen]
        self.found = recognised(self.settings, self.known_sources)
        inputs = named_inputs(self.settings, "sales")
        for one in inputs:
            if one.name not in self.found and (same := self._by_files(one)):
                self.found[one.name] = same
        for one in inputs:
            self._enter(one)
        return self.known_sources

    @property
    def _free(self) -> list[KnownSource]:
        return [one for one in self.known_sources if one.source not in self.found.values()]

    def _by_files(self, one: NamedInput) -> str | None:
        """The source that had one of its files; of a table, whose name says little, only one of the same name."""
        files = self._files(one)
        held = self.known.filter(pl.col("file").is_in(files))["source"].unique()
        free = [known for known in self._free if known.source in held]
        same = [known.source for known in free if known.name == one.name]
        others = [known.source for known in free] if isinstance(one.source, LandingKind) else []
        return next(iter(same or others), None)

    def _files(self, one: NamedInput) -> list[str]:
        try:
            return [found.file for found in deliveries(self.settings, "sales", self.landing, inputs=[one])]
        except NoFileError:  # owners empty their folders
            return []

    def _enter(self, one: NamedInput) -> None:
        """Writes what the configuration says of the source into its line, or a line of its own."""
        renamed, source = self._renamed(one), self.found.get(one.name)
        replaces = renamed or (self._replaced(one) if source is None else None)
        if source is None and replaces is None:  # it goes on under its name where it says nothing of days it had
            source = next((gone.source for gone in self._gone if gone.name == one.name), None)
        source = source or free_name(one.name, {line.source for line in self.known_sources})
        self.found[one.name] = source
        before = next((line for line in self.known_sources if line.source == source), None)
        said = (one.name, place_of(one), replaces or (before.replaces if before else None))
        line = KnownSource(source, *said, one.given.date_format, one.given.decimal)
        if before:
            self.known_sources[self.known_sources.index(before)] = line
        else:
            self.known_sources.append(line)

    def _renamed(self, one: NamedInput) -> str | None:
        """The source that `renamed_from` names, the last of that name."""
        old = one.source.renamed_from
        if old is None or self.known.is_empty():
            return None
        own, configured = self.found.get(one.name), self.found.values()
        named = [line for line in self.known_sources if old in (line.name, line.source) and line.source != own]
        if not named:
            names = [name for line in self.known_sources for name in (line.name, line.source) if line.source != own]
            problem = unknown("source", old, names) if names else f"no other source than {old} was ever collected"
            raise SourceError(f"{self.settings.path}: {one.name}.renamed_from: {problem}")
        if named[-1].source in configured:
            raise SourceError(f"{self.settings.path}: {one.name}.renamed_from: {old} is configured too; take one out")
        return named[-1].source

    def _replaced(self, one: NamedInput) -> str | None:
        """The source that is gone and said the same of most days that both have; None where none has one of its days.

        Raises SourceError where they differ.
        """
        gone = self._gone
        held = self.known.filter(pl.col("source").is_in([line.source for line in gone]))
        if held.is_empty():
            return None
        said = self._says(one)
        for source, shared, equal in _shared_days(said, held):
            if equal < SAME * shared:
                raise SourceError(self._question(one, next(line for line in gone if line.source == source), shared))
            return source
        return None

    @property
    def _gone(self) -> list[KnownSource]:
        """The sources that are not configured, whose place none has taken, and of which nothing is said."""
        replaced, removed = {other.replaces for other in self.known_sources}, self.settings.removed_sources
        free = [line for line in self._free if line.source not in replaced]
        return [line for line in free if removed.keys().isdisjoint((line.source, line.name))]

    def _says(self, one: NamedInput) -> pl.DataFrame:
        """`day, content_hash` of all that it has."""
        scan = scan_of_sales(self.settings, pl.DataFrame(schema=KNOWN), landing=self.landing, full=True)
        try:
            read_all(deliveries(self.settings, "sales", scan.landing, inputs=[one]), scan)
        except NoFileError:
            scan.groups.clear()
        return pl.concat([_content(part) for part in (self.known.clear(), *scan.groups)])

    def _question(self, one: NamedInput, gone: KnownSource, days: int) -> str:
        return (
            f"{self.settings.path}: source {one.name} ({place_of(one)}) is new and has {days:,} days of which source "
            f"{gone.name} {f'({gone.place}) ' if gone.place else ''}said other things. That one is not configured any "
            "more, and both would count. If they are the same sales under another name or from another place, write "
            f"`renamed_from: {gone.name}` beside the kind of {one.name}: its days replace the other's. If not, write "
            f"`removed_sources: {{{gone.name}: kept}}`, or `withdrawn`, at the top of the file"
        )


def _content(groups: pl.DataFrame) -> pl.DataFrame:
    return groups.select("day", "content_hash")


def _shared_days(said: pl.DataFrame, held: pl.DataFrame) -> Iterator[tuple[str, int, int]]:
    """For each source in `held`, the number of days of `said` that it has, and of those it says the same of; most
    shared days first, and none without.
    """
    contents = held.select("source", "day", "content_hash").unique()
    both = contents.select("source", "day").unique().join(said.unique(), on="day")
    marked = both.join(contents.with_columns(same=True), on=["source", "day", "content_hash"], how="left")
    days = marked.group_by("source", "day").agg(pl.col("same").fill_null(False).all())
    counts = days.group_by("source").agg(pl.len(), pl.col("same").sum()).sort("len", "source", descending=[True, False])
    yield from counts.iter_rows()
