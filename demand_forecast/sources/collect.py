"""What is new in the sources since the lake last looked."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal, NamedTuple

import polars as pl

from demand_forecast.domain.dates import EARLIEST_DAY, parse_dates, read_dates
from demand_forecast.domain.tables import RAW_PROVENANCE, now
from demand_forecast.settings import Settings
from demand_forecast.sources import files, m5, sql
from demand_forecast.sources.delivery import (
    KEYS,
    Days,
    Delivery,
    SourceError,
    Table,
    declared,
    local_day,
    named_inputs,
    named_sources,
)

__all__ = [
    "KNOWN",
    "SourceError",
    "collect_inputs",
    "collect_sales",
    "date_formats",
    "decimals",
    "known_sales",
    "pending_days",
    "span",
]

InputTable = Literal["products", "stores", "plan", "stock"]
KNOWN = {name: kind for name, kind in RAW_PROVENANCE.items() if name != "line"}
PART = "-part"  # ends the file hash of rows from a file of which some days were left out
INPUT_PROVENANCE = ("source", "file", "line", "content_hash", "arrived_at")
BATCH_ROWS = 500_000
FIELD, ROW, NULL = "\x1f", "\x1e", "\x00"


def known_sales(raw: pl.LazyFrame) -> pl.DataFrame:
    """What the lake has, from its raw_sales: one row per source, file, report, day and content, latest `arrived_at`."""
    keys = [name for name in KNOWN if name != "arrived_at"]
    return raw.group_by(keys).agg(pl.col("arrived_at").max()).select(*KNOWN).collect()


def collect_sales(
    settings: Settings, known: pl.DataFrame, days: Days | None, arrived_at: datetime
) -> Iterator[pl.DataFrame]:
    """The rows that are new, in the layout of raw_sales: whole days of a file, some 100,000 rows to a frame.

    `known` is `known_sales` of the lake (of an empty one `pl.DataFrame(schema=KNOWN)`). With `days` only rows of those
    days. A day of a file is new when its content is neither what the file nor what its report last said about that day.
    A file that was collected whole is not parsed again. Where several new files are versions of one report, the later
    name has the later `arrived_at`, by a microsecond each.

    Raises SourceError where a source cannot be read.
    """
    look = Look(sales_columns(settings), Seen(known), days, arrived_at, local_day(settings, arrived_at))
    for batch in _batches(_all_deliveries(settings, "sales"), look):
        for rows in _slices(batch.rows):
            found = rows.join(batch.new, on=("delivery", "day"), maintain_order="left")
            if found.height:
                yield found.select(*RAW_PROVENANCE, *look.columns, "extra", "fault")


def pending_days(settings: Settings, known: pl.DataFrame) -> Days | None:
    """First and last day that have something new, None if nothing has. Reads what its file hash does not prove known.

    Raises SourceError where a source cannot be read.
    """
    look = Look(sales_columns(settings), Seen(known), None, now(), local_day(settings, now()))
    spans: list[Days | None] = []
    unsure: list[Delivery] = []
    for delivery in _all_deliveries(settings, "sales"):
        quick = delivery.span() if delivery.span and not look.seen.has(delivery) else None
        spans.append(_bounded(quick, look.today))
        unsure += [] if spans[-1] else [delivery]
    for batch in _batches(unsure, look):
        spans += [(day, day) for day in batch.new["day"].unique()]
    return _union(spans)


def span(settings: Settings) -> Days:
    """First and last readable day of sales in the sources, within 1990-01-01 and today.

    Raises SourceError where there is none or a source cannot be read.
    """
    today = local_day(settings, now())
    found = _union(_span(delivery, today) for delivery in _all_deliveries(settings, "sales"))
    if found is None:
        raise SourceError(f"{settings.path}: {_why_no_day(settings)}")
    return found


def _why_no_day(settings: Settings) -> str:
    """What is wrong where no source has a day of sales: there is no row, or no date of any can be read."""
    deliveries = list(_all_deliveries(settings, "sales"))
    for delivery in deliveries:
        for frame in delivery.read(None):
            said = frame["date"].drop_nulls()
            if said.len():
                return f"{delivery.file}: {unreadable_dates(said.len(), said[0])}"
    named = ", ".join(delivery.file for delivery in deliveries[:3]) + (", …" if len(deliveries) > 3 else "")
    return f"no row of sales with a date in {named}; deliver the sales again, or correct sales: path, table or query"


def unreadable_dates(dates: int, first: str) -> str:
    return (
        f"no sales row has a readable date that is not to come (the first of {dates:,} says {first!r}); if dates are "
        "written in a way that can mean two days, say which by sales.date_format, for instance '%d/%m/%Y'"
    )


def collect_inputs(settings: Settings, table: InputTable, arrived_at: datetime) -> pl.DataFrame:
    """The whole of `table` as the sources have it now: `source, file, line, content_hash, arrived_at`, the mapped
    columns and those declared covariates that some file has (text), `extra`. No rows where nobody configured it.

    Raises SourceError where a source cannot be read.
    """
    columns = {name: RAW_PROVENANCE[name] for name in INPUT_PROVENANCE} | dict.fromkeys(KEYS[table], pl.String())
    frames = [pl.DataFrame(schema=columns | {"extra": pl.String()})]
    for delivery in _all_deliveries(settings, table):
        frames += [_snapshot(delivery, frame.drop("fault"), arrived_at) for frame in delivery.read(None)]
    return pl.concat(frames, how="diagonal").select(pl.exclude("extra"), "extra")


def _snapshot(delivery: Delivery, frame: pl.DataFrame, arrived_at: datetime) -> pl.DataFrame:
    one = frame.with_columns(delivery=pl.lit(0), day=pl.lit(None, pl.Date))
    content = _content_hashes(one, [name for name in frame.columns if name != "line"])["content_hash"]
    return frame.with_columns(
        source=pl.lit(delivery.source),
        file=pl.lit(delivery.file),
        content_hash=pl.lit(content[0] if content.len() else ""),
        arrived_at=pl.lit(arrived_at, RAW_PROVENANCE["arrived_at"]),
    )


def date_formats(settings: Settings, table: Table = "sales") -> dict[str, str | None]:
    """For each name in the `source` column of raw_<table> the configured date_format."""
    return _by_source(settings, table, "date_format", None)


def decimals(settings: Settings, table: Table = "sales") -> dict[str, str]:
    """For each name in the `source` column of raw_<table> the decimal mark, `.` or `,`."""
    return {name: str(mark) for name, mark in _by_source(settings, table, "decimal", ".").items()}


def _by_source(settings: Settings, table: Table, key: str, default: str | None) -> dict[str, str | None]:
    plain = {name: default for name, source in named_sources(settings) if source.kind == "m5"}
    return plain | {name: getattr(given, key) for name, _, given in named_inputs(settings, table)}


def sales_columns(settings: Settings) -> list[str]:
    """The mapped columns of raw_sales: keys first, then what any source maps, then declared past-only covariates."""
    mapped = [name for _, _, given in named_inputs(settings, "sales") for name in given.columns]
    return list(dict.fromkeys((*KEYS["sales"], *mapped, *declared(settings, "sales"))))


def _all_deliveries(settings: Settings, table: Table) -> Iterator[Delivery]:
    for name, source in named_sources(settings):
        if source.kind == "m5":
            yield from m5.deliveries(settings, name, table, source)
    for name, source, given in named_inputs(settings, table):
        if source.kind == "files":
            yield from files.deliveries(settings, name, table, given)
        elif source.kind == "sql":
            yield from sql.deliveries(settings, name, table, source, given)


class Seen:
    """What was collected before: the latest content of each file's and each report's days, the latest hash of each."""

    def __init__(self, known: pl.DataFrame) -> None:
        self.content: dict[tuple[str, str, str, date], str] = {}
        self.latest: dict[tuple[str, str, str], str] = {}
        self.hashes: set[tuple[str, str]] = set()
        self.versions: Counter[tuple[str, str, date]] = Counter()
        keys = ("source", "file", "report", "file_hash", "day", "content_hash")
        for row in known.sort("arrived_at").select(keys).iter_rows():
            self._add(*row)

    def _add(self, source: str, file: str, report: str, file_hash: str, day: date, content: str) -> None:
        self.hashes.add((source, file_hash))
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

    def reading(self, delivery: Delivery) -> None:
        """Note that this file is being read, so that a copy of it that landed beside it is not."""
        self.hashes.add((delivery.source, delivery.file_hash))

    def is_new(self, delivery: Delivery, day: date, content: str) -> bool:
        said = (("file", delivery.file), ("report", delivery.report))
        return all(self.content.get((delivery.source, *key, day)) != content for key in said)

    def take(self, delivery: Delivery, day: date, content: str, file_hash: str) -> int:
        """Note that this day is collected; the number of versions of its report's day that this run took before it."""
        self._add(delivery.source, delivery.file, delivery.report, file_hash, day, content)
        key = (delivery.source, delivery.report, day)
        self.versions[key] += 1
        return self.versions[key] - 1


class Batch(NamedTuple):
    """Rows with `delivery` (its number) and `day`; `new` gives the groups of these that are new, with provenance."""

    rows: pl.DataFrame
    new: pl.DataFrame


@dataclass(frozen=True)
class Look:
    """What is asked of the sources, and what was seen before."""

    columns: list[str]
    seen: Seen
    days: Days | None
    arrived_at: datetime
    today: date


def _batches(deliveries: Iterable[Delivery], look: Look) -> Iterator[Batch]:
    """The deliveries that are not known whole; small ones together: work per file would cost more than their rows."""
    pool: list[tuple[Delivery, pl.DataFrame]] = []
    pooled = 0
    for delivery in deliveries:
        if look.seen.whole(delivery):
            continue
        look.seen.reading(delivery)
        for frame in delivery.read(look.days):
            mixed = bool(pool) and pool[0][0].source != delivery.source
            if mixed or pooled + frame.height > BATCH_ROWS:
                yield from _batch(pool, look)
                pool, pooled = [], 0
            pool.append((delivery, frame))
            pooled += frame.height
    yield from _batch(pool, look)


def _batch(pool: list[tuple[Delivery, pl.DataFrame]], look: Look) -> Iterator[Batch]:
    if not pool:
        return
    deliveries = [delivery for delivery, _ in pool]
    numbered = [frame.with_columns(delivery=pl.lit(number, pl.UInt32)) for number, (_, frame) in enumerate(pool)]
    empty = pl.DataFrame(schema=dict.fromkeys(look.columns, pl.String()))
    rows = pl.concat([empty, *numbered], how="diagonal", rechunk=False)
    rows = _with_day(rows, deliveries[0].date_format, look.today)
    _require_readable(rows, deliveries)
    rows = rows.drop("said")
    parts = [_content_hashes(part, [*look.columns, "extra", "fault"]) for part in _slices(rows)]
    yield Batch(rows, _new_groups(pl.concat(parts).sort("delivery", "day"), deliveries, look))


def _with_day(rows: pl.DataFrame, date_format: str | None, today: date) -> pl.DataFrame:
    """`said`: the row's date where it is readable; `day`: the same where it is possible, else the latest such of its
    delivery. A delivery without one goes to yesterday, which can be collected; one all to come waits as today's.
    """
    rows = rows.with_columns(said=read_dates(rows["date"], date_format))
    rows = rows.with_columns(day=pl.when(pl.col("said").is_between(EARLIEST_DAY, today)).then("said"))
    if not rows["day"].null_count():
        return rows
    to_come = (pl.col("said") > today).any().over("delivery")
    without = pl.when(to_come).then(pl.lit(today)).otherwise(pl.lit(today - timedelta(days=1)))
    return rows.with_columns(pl.coalesce("day", pl.col("day").max().over("delivery"), without))


def _require_readable(rows: pl.DataFrame, deliveries: list[Delivery]) -> None:
    """Raises SourceError for a delivery with dates of which none can be read: its format has changed."""
    if not rows["said"].null_count():
        return
    written = rows.filter(pl.col("date").str.strip_chars() != "")
    by_delivery = written.group_by("delivery").agg(pl.col("said").count(), pl.len(), first=pl.col("date").first())
    for number, dates, first in by_delivery.filter(said=0).sort("delivery").select("delivery", "len", "first").rows():
        raise SourceError(f"{deliveries[number].file}: {unreadable_dates(dates, first)}")


def _slices(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """`rows` in slices of whole days, so that what is computed beside them stays small."""
    if rows.height <= 2 * BATCH_ROWS:
        yield rows
        return
    days = rows.group_by("day").len().sort("day").with_columns(slice=pl.col("len").cum_sum() // BATCH_ROWS)
    ends = days.group_by("slice", maintain_order=True).agg(first=pl.min("day"), last=pl.max("day"))
    for first, last in ends.select("first", "last").iter_rows():
        yield rows.filter(pl.col("day").is_between(first, last))


def _content_hashes(rows: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    """`delivery, day, content_hash`: BLAKE2b over the names of `columns` and the group's rows, whatever their order."""
    names = sorted(columns)
    row = pl.concat_str([pl.col(name).fill_null(NULL) for name in names], separator=FIELD)
    said = rows.select("delivery", "day", row=row).group_by("delivery", "day").agg(pl.col("row").sort().str.join(ROW))
    heading = FIELD.join(names) + ROW
    hashes = [hashlib.blake2b((heading + text).encode(), digest_size=16).hexdigest() for text in said["row"]]
    return said.select("delivery", "day").with_columns(content_hash=pl.Series(hashes, dtype=pl.String))


def _new_groups(groups: pl.DataFrame, deliveries: list[Delivery], look: Look) -> pl.DataFrame:
    """Of the groups `delivery, day, content_hash` those to take, with all provenance but `line`."""
    taken, seen, days = [], look.seen, look.days
    for number, group in groups.group_by("delivery", maintain_order=True):
        delivery = deliveries[int(str(number[0]))]
        said_by_day = group.select("day", "content_hash").iter_rows()
        fresh = [(day, said) for day, said in said_by_day if seen.is_new(delivery, day, said)]
        wanted = [(day, said) for day, said in fresh if days is None or days[0] <= day <= days[1]]
        hash_ = delivery.file_hash
        if hash_ and (len(wanted) < len(fresh) or not _covers(days, delivery)):
            hash_ += PART
        for day, said in wanted:
            later = timedelta(microseconds=seen.take(delivery, day, said, hash_))
            key = (number[0], day, said, look.arrived_at + later)
            taken.append((*key, delivery.source, delivery.file, delivery.report, hash_))
    names = ("day", "content_hash", "arrived_at", "source", "file", "report", "file_hash")
    schema = {"delivery": pl.UInt32()} | {name: RAW_PROVENANCE[name] for name in names}
    return pl.DataFrame(taken, schema=schema, orient="row")


def _covers(days: Days | None, delivery: Delivery) -> bool:
    """Whether what was read is all that the delivery has."""
    if days is None or delivery.span is None:
        return True
    whole = delivery.span()
    return whole is not None and days[0] <= whole[0] and whole[1] <= days[1]


def _span(delivery: Delivery, today: date) -> Days | None:
    if delivery.span is not None:
        return _bounded(delivery.span(), today)
    said = parse_dates(pl.col("date"), delivery.date_format)
    possible = pl.col("day").is_between(EARLIEST_DAY, today)
    days = [frame.select("date").unique().select(day=said).filter(possible)["day"] for frame in delivery.read(None)]
    return _union((series.min(), series.max()) for series in days if series.len())  # type: ignore[misc]


def _bounded(days: Days | None, today: date) -> Days | None:
    if days is None:
        return None
    first, last = max(days[0], EARLIEST_DAY), min(days[1], today)
    return (first, last) if first <= last else None


def _union(spans: Iterable[Days | None]) -> Days | None:
    known = [days for days in spans if days is not None]
    return (min(first for first, _ in known), max(last for _, last in known)) if known else None
