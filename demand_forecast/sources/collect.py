"""What is new in the sources since the lake last looked."""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Literal, NamedTuple

import polars as pl

from demand_forecast.domain.cleaning.dates import EARLIEST_DAY, parse_dates, read_dates
from demand_forecast.domain.tables import RAW_PROVENANCE, now
from demand_forecast.settings import Settings
from demand_forecast.sources import files, m5, sql
from demand_forecast.sources.delivery import (
    KEYS,
    Days,
    Delivery,
    NoFileError,
    SourceError,
    Table,
    UnfinishedError,
    declared,
    local_day,
    named_inputs,
    named_sources,
)
from demand_forecast.sources.landing import Contents, Landing
from demand_forecast.sources.seen import PART, Seen

__all__ = [
    "KNOWN",
    "SourceError",
    "add_known",
    "collect_inputs",
    "collect_sales",
    "date_formats",
    "decimals",
    "inputs_mark",
    "known_sales",
    "pending_days",
    "span",
]

InputTable = Literal["products", "stores", "plan", "stock"]
KNOWN = {name: kind for name, kind in RAW_PROVENANCE.items() if name != "line"}
INPUT_PROVENANCE = ("source", "file", "line", "content_hash", "arrived_at")
BATCH_ROWS = 500_000
ALL_KINDS = ("files", "sql", "m5")
NAMES = {name: RAW_PROVENANCE[name] for name in ("source", "report", "file")}
FIELD, ROW, NULL = "\x1f", "\x1e", "\x00"


def known_sales(raw: pl.LazyFrame) -> pl.DataFrame:
    """What the lake has, from its raw_sales: one row per source, file, report, day and content, latest `arrived_at`."""
    keys = [name for name in KNOWN if name != "arrived_at"]
    return raw.group_by(keys).agg(pl.col("arrived_at").max()).select(*KNOWN).collect()


def add_known(known: pl.DataFrame, added: pl.DataFrame) -> pl.DataFrame:
    """What the lake has after rows were added to raw_sales, of which `known_sales` is `added`."""
    return known_sales(pl.concat([known.select(*KNOWN), added]).lazy())


def collect_sales(
    settings: Settings,
    known: pl.DataFrame,
    days: Days | None,
    arrived_at: datetime,
    landing: Landing | None = None,
) -> Iterator[pl.DataFrame]:
    """The rows that are new, in the layout of raw_sales: whole days of a file, some 100,000 rows to a frame.

    `known` is `known_sales` of the lake (of an empty one `pl.DataFrame(schema=KNOWN)`). With `days` only rows of those
    days. A day of a file is new when its content is neither what the file nor what its report last said about that day.
    A file that was collected whole is not parsed again. Where several new files are versions of one report, the later
    name has the later `arrived_at`, by a microsecond each. A file that is not whole is left, and named in
    `landing.left`; what `landing` knows of unchanged files saves opening them, and it learns.

    Raises SourceError where a source cannot be read.
    """
    yield from collected(settings, look_at_sales(settings, known, days, arrived_at, landing))


def look_at_sales(
    settings: Settings,
    known: pl.DataFrame,
    days: Days | None = None,
    arrived_at: datetime | None = None,
    landing: Landing | None = None,
    full: bool = False,
) -> "Look":
    """What is asked of the sources; `full`: every file is read, whatever is known of it."""
    moment = arrived_at or now()
    seen, today = Seen(known), local_day(settings, moment)
    return Look(sales_columns(settings), seen, days, moment, today, landing or Landing(), full)


def collected(settings: Settings, look: "Look") -> Iterator[pl.DataFrame]:
    """The new rows that `look` asks for, as `collect_sales` gives them; what was looked at is in `look.groups`."""
    for batch in _batches(deliveries(settings, "sales", look.landing, look.seen.sources), look):
        for rows in _slices(batch.rows):
            found = rows.join(batch.new, on=("delivery", "day"), maintain_order="left")
            if found.height:
                yield found.select(*RAW_PROVENANCE, *look.columns, "extra", "fault")


def pending_days(
    settings: Settings, known: pl.DataFrame, landing: Landing | None = None, kinds: Collection[str] = ALL_KINDS
) -> Days | None:
    """First and last day that have something new, None if nothing has. Reads what its file hash does not prove known;
    of a table that was collected before, the days from `automation.ledger_lookback` before its newest known day on.

    Raises SourceError where a source cannot be read.
    """
    look = look_at_sales(settings, known, landing=landing)
    look.lookback = timedelta(days=settings.automation.ledger_lookback)
    spans: list[Days | None] = []
    unsure: list[Delivery] = []
    for delivery in deliveries(settings, "sales", look.landing, look.seen.sources, kinds):
        quick = delivery.span() if delivery.span and not look.seen.has(delivery) else None
        spans.append(bounded(quick, look.today))
        unsure += [] if spans[-1] else [delivery]
    for batch in _batches(unsure, look):
        spans += [(day, day) for day in batch.new["day"].unique()]
    return _union(spans)


def span(settings: Settings, landing: Landing | None = None) -> Days:
    """First and last readable day of sales in the sources, within 1990-01-01 and today. Opens no file of which
    `landing` knows what it says.

    Raises SourceError where there is none or a source cannot be read.
    """
    today, landing = local_day(settings, now()), landing or Landing()
    found = _union(_span(delivery, today, landing) for delivery in deliveries(settings, "sales", landing))
    if found is None:
        raise SourceError(f"{settings.path}: {_why_no_day(settings)}")
    return found


def _why_no_day(settings: Settings) -> str:
    """What is wrong where no source has a day of sales: there is no row, or no date of any can be read."""
    landing = Landing()
    found = list(deliveries(settings, "sales", landing))
    for delivery in found:
        for frame in _frames(delivery, None, landing):
            said = frame["date"].drop_nulls()
            if said.len():
                return f"{delivery.file}: {unreadable_dates(said.len(), said[0])}"
    if landing.left:
        return f"no sales file is whole yet: {'; '.join(landing.left.values())}"
    named = ", ".join(delivery.file for delivery in found[:3]) + (", …" if len(found) > 3 else "")
    return f"no row of sales with a date in {named}; deliver the sales again, or correct sales: path, table or query"


def unreadable_dates(dates: int, first: str) -> str:
    return (
        f"no sales row has a readable date that is not to come (the first of {dates:,} says {first!r}); if dates are "
        "written in a way that can mean two days, say which by sales.date_format, for instance '%d/%m/%Y'"
    )


def collect_inputs(
    settings: Settings, table: InputTable, arrived_at: datetime, held: pl.DataFrame | None = None
) -> pl.DataFrame:
    """The whole of `table` as the sources have it now: `source, file, line, content_hash, arrived_at`, the mapped
    columns and those declared covariates that some file has (text), `extra`. No rows where nobody configured it. Of a
    file that is not whole, and of one that says what it said before, the rows are those that are `held`.

    Raises SourceError where a source cannot be read.
    """
    columns = {name: RAW_PROVENANCE[name] for name in INPUT_PROVENANCE} | dict.fromkeys(KEYS[table], pl.String())
    frames = [pl.DataFrame(schema=columns | {"extra": pl.String()})]
    landing = Landing()
    for delivery in deliveries(settings, table, landing):
        found = _frames(delivery, None, landing)
        frames += [_snapshot(delivery, frame.drop("fault"), arrived_at) for frame in found]
    fresh = pl.concat(frames, how="diagonal").select(pl.exclude("extra"), "extra")
    return fresh if held is None else _with_held(fresh, held, landing.left)


def inputs_mark(settings: Settings, table: InputTable, landing: Landing) -> str | None:
    """Equal as long as the files of `table` are the same and read alike; None where only reading them tells.

    Raises SourceError where a source cannot be read.
    """
    found = [(one.source, one.file, one.file_hash) for one in deliveries(settings, table, landing)]
    sure = not landing.left and all(file_hash for _, _, file_hash in found)
    return hashlib.sha256(repr(sorted(found)).encode()).hexdigest()[:32] if sure else None


def _with_held(fresh: pl.DataFrame, held: pl.DataFrame, left: Collection[str]) -> pl.DataFrame:
    """Rows of the files that were left as they are `held`; equal content keeps the time at which it arrived."""
    keys = ["source", "file", "content_hash"]
    arrived = held.group_by(keys).agg(known=pl.col("arrived_at").max())
    known = fresh.join(arrived, on=keys, how="left", maintain_order="left")
    kept = known.with_columns(arrived_at=pl.coalesce("known", "arrived_at")).drop("known")
    waiting = held.filter(pl.col("file").is_in(left)).select(name for name in kept.columns if name in held.columns)
    return pl.concat([kept, waiting], how="diagonal")


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


def deliveries(
    settings: Settings, table: Table, landing: Landing, held: Collection[str] = (), kinds: Collection[str] = ALL_KINDS
) -> Iterator[Delivery]:
    """Every file and table of `table` in the sources of these `kinds`; no file is opened.

    Raises NoFileError where a source has no file, unless it is among those `held`: owners empty their folders.
    """
    for name, source in named_sources(settings):
        if source.kind == "m5" and source.kind in kinds:
            yield from m5.deliveries(settings, name, table, source, landing)
    for name, source, given in named_inputs(settings, table):
        if source.kind == "files" and source.kind in kinds:
            try:
                yield from files.deliveries(settings, name, table, given, landing)
            except NoFileError as error:
                if name not in held:
                    raise
                landing.left[name] = str(error)
        elif source.kind == "sql" and source.kind in kinds:
            yield from sql.deliveries(settings, name, table, source, given, landing)


class Batch(NamedTuple):
    """Rows with `delivery` (its number) and `day`; `new` gives the groups of these that are new, with provenance."""

    rows: pl.DataFrame
    new: pl.DataFrame


@dataclass
class Look:
    """What is asked of the sources, and what was seen before.

    A `full` look reads copies too, of which nothing is new. It notes, of what it reads, `groups` (`source, report,
    file, day, content_hash, rows, new`), and the `proven` sources and reports that it need not read: their file is the
    one that was collected whole.
    """

    columns: list[str]
    seen: Seen
    days: Days | None
    arrived_at: datetime
    today: date
    landing: Landing
    full: bool = False
    lookback: timedelta | None = None
    groups: list[pl.DataFrame] = field(default_factory=list)
    proven: set[tuple[str, str]] = field(default_factory=set)
    copies: set[tuple[str, str]] = field(default_factory=set)  # source and file

    def needs(self, delivery: Delivery) -> bool:
        """Whether the delivery has to be read to know what is new in it."""
        if self.full and not (delivery.span and delivery.file_hash):
            if self.seen.is_copy(delivery):
                self.copies.add((delivery.source, delivery.file))
            return True
        if self.seen.whole(delivery):
            return False
        said = None if delivery.span else self.landing.contents(delivery, self.today)
        if said is None or said.fault is not None:
            if said is not None and said.damaged:
                self.landing.left[delivery.file] = str(said.fault)
            return said is None or not said.damaged
        return self.days is None or any(self.days[0] <= day <= self.days[1] for day in said.days)

    def days_of(self, delivery: Delivery) -> Days | None:
        newest = self.seen.newest.get((delivery.source, delivery.file))
        if self.days is not None or self.lookback is None or newest is None:
            return self.days
        return newest - self.lookback, self.today


def read_all(deliveries: Iterable[Delivery], look: Look) -> None:
    """Reads the deliveries, so that `look.landing` knows what they say."""
    for _ in _batches(deliveries, look):
        pass


def _frames(delivery: Delivery, days: Days | None, landing: Landing) -> Iterator[pl.DataFrame]:
    """What the delivery says; nothing where it is not whole, which `landing` notes."""
    try:
        yield from delivery.read(days)
    except UnfinishedError as error:
        landing.leave(delivery.file, error)
        landing.note_fault(delivery, error)


def _needed(deliveries: Iterable[Delivery], look: Look) -> Iterator[Delivery]:
    for delivery in deliveries:
        try:
            if look.needs(delivery):
                look.seen.reading(delivery)
                yield delivery
            else:
                look.proven.add((delivery.source, delivery.report))
        except UnfinishedError as error:
            look.landing.leave(delivery.file, error)


def _batches(deliveries: Iterable[Delivery], look: Look) -> Iterator[Batch]:
    """The deliveries that are not known whole; small ones together: work per file would cost more than their rows."""
    pool: list[tuple[Delivery, pl.DataFrame]] = []
    pooled = 0
    for delivery in _needed(deliveries, look):
        for frame in _frames(delivery, look.days_of(delivery), look.landing):
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
    possible = pl.col("said").is_between(EARLIEST_DAY, look.today).fill_null(False)
    moving = {*rows.filter(~possible)["delivery"].unique()}
    rows = rows.drop("said")
    parts = [_content_hashes(part, [*look.columns, "extra", "fault"]) for part in _slices(rows)]
    groups = pl.concat(parts).sort("delivery", "day")
    _learn(groups, deliveries, moving, look)
    new = _new_groups(groups, deliveries, look)
    if look.full:
        look.groups.append(_described(groups, rows, new, deliveries))
    yield Batch(rows, new)


def _learn(groups: pl.DataFrame, deliveries: list[Delivery], moving: Collection[int], look: Look) -> None:
    """Notes what each file says; of one that can be asked for some of its days, nobody knows the rest."""
    said: dict[int, dict[date, str]] = {number: {} for number, one in enumerate(deliveries) if one.span is None}
    for number, day, content in groups.select("delivery", "day", "content_hash").iter_rows():
        if number in said:
            said[number][day] = content
    for number, days in said.items():
        look.landing.note(deliveries[number], Contents(days, look.today if number in moving else None))


def _described(groups: pl.DataFrame, rows: pl.DataFrame, new: pl.DataFrame, said: list[Delivery]) -> pl.DataFrame:
    counted = groups.join(rows.group_by("delivery", "day").len("rows"), on=("delivery", "day"))
    marked = counted.join(
        new.select("delivery", "day", new=True), on=("delivery", "day"), how="left", maintain_order="left"
    )
    names = pl.DataFrame([(one.source, one.report, one.file) for one in said], NAMES, orient="row")
    return marked.join(names.with_row_index("delivery"), on="delivery").select(
        *NAMES, "day", "content_hash", "rows", pl.col("new").fill_null(False)
    )


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
        if (delivery.source, delivery.file) in look.copies:
            continue
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


def _span(delivery: Delivery, today: date, landing: Landing) -> Days | None:
    if delivery.span is not None:
        return bounded(delivery.span(), today)
    try:
        known = landing.contents(delivery, today)
    except UnfinishedError as error:
        landing.leave(delivery.file, error)
        return None
    if known is not None and known.fault is None and known.fixed_on is None:
        days = [day for day in known.days if EARLIEST_DAY <= day <= today]
        return (min(days), max(days)) if days else None
    said = parse_dates(pl.col("date"), delivery.date_format)
    possible = pl.col("day").is_between(EARLIEST_DAY, today)
    frames = _frames(delivery, None, landing)
    read = [frame.select("date").unique().select(day=said).filter(possible)["day"] for frame in frames]
    return _union((series.min(), series.max()) for series in read if series.len())  # type: ignore[misc]


def bounded(days: Days | None, today: date) -> Days | None:
    """Those of `days` that sales can have been made on."""
    if days is None:
        return None
    first, last = max(days[0], EARLIEST_DAY), min(days[1], today)
    return (first, last) if first <= last else None


def _union(spans: Iterable[Days | None]) -> Days | None:
    known = [days for days in spans if days is not None]
    return (min(first for first, _ in known), max(last for _, last in known)) if known else None
