"""What a source hands over: one file or table at a time, its mapped columns as text."""

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

import polars as pl

from demand_forecast.domain.tables import RAW_PROVENANCE
from demand_forecast.settings import ColumnMapping, Constant, Input, Settings, Source

Table = Literal["sales", "products", "stores", "plan", "stock"]
Days = tuple[date, date]  # first and last, both included

REQUIRED: dict[Table, tuple[str, ...]] = {
    "sales": ("date", "store_id", "product_id", "units"),
    "products": ("product_id",),
    "stores": ("store_id",),
    "plan": ("date",),
    "stock": ("date", "store_id", "product_id"),
}
KEYS: dict[Table, tuple[str, ...]] = REQUIRED | {
    "plan": ("date", "store_id", "product_id"),
    "stock": (*REQUIRED["stock"], "in_stock", "on_hand", "on_order"),
}
RESERVED = {*RAW_PROVENANCE, "extra", "fault", "reason"}


class SourceError(ValueError):
    """A source cannot be read; the message names the thing, the place and the repair."""


class NoFileError(SourceError):
    """Nothing lies where files are looked for."""


class UnfinishedError(SourceError):
    """A file is not whole, or not there any more: it is left until it is, and the others are taken."""


class DamagedError(UnfinishedError):
    """What is in the file cannot be all of it: a compressed file or a Parquet file without its end."""


@dataclass(frozen=True)
class Delivery:
    """One file or table.

    `read(days)` gives frames of the mapped columns (text), `line` (i64), `extra` and `fault` (text); each frame holds
    all rows of the days in it. `span()`, where the source has it, gives the first and last readable day without reading
    the rest, and then `read` reads only the days asked for; without it `read` reads everything. `file_hash` is found at
    its first use, `known()` says whether without opening the file; it is "" where only reading tells whether something
    changed.
    """

    source: str
    file: str
    report: str
    hashed: Callable[[], str]
    read: Callable[[Days | None], Iterator[pl.DataFrame]]
    date_format: str | None = None
    span: Callable[[], Days | None] | None = None
    known: Callable[[], bool] = bool

    @cached_property
    def file_hash(self) -> str:
        return self.hashed()


class Parsed(NamedTuple):
    """A table as text: its columns, and by row `line` (i64), `fault` and `whole` (a line that could not be split)."""

    columns: pl.DataFrame
    marks: pl.DataFrame


def marks(lines: pl.Series, fault: pl.Series | None = None, whole: pl.Series | None = None) -> pl.DataFrame:
    empty = pl.lit(None, pl.String)
    return (
        lines.cast(pl.Int64)
        .alias("line")
        .to_frame()
        .with_columns(fault=empty if fault is None else fault, whole=empty if whole is None else whole)
    )


def named_sources(settings: Settings) -> list[tuple[str, Source]]:
    """The sources with the names their rows carry: `name`, else the kind, numbered from the second."""
    named: dict[str, Source] = {}
    for source in settings.all_sources:
        taken = sum(other.kind == source.kind and other.name is None for other in named.values())
        name = source.name or (source.kind if not taken else f"{source.kind}-{taken + 1}")
        if name in named:
            raise SourceError(f"{settings.path}: two sources are named {name}; give each its own name:")
        named[name] = source
    return list(named.items())


def inputs_of(source: Source, table: Table) -> list[Input]:
    given = getattr(source, table)
    return given if isinstance(given, list) else [given] if given else []


def named_inputs(settings: Settings, table: Table) -> list[tuple[str, Source, Input]]:
    """Every configured input of `table` with the name its rows carry; a source's second plan is `name#2`."""
    return [
        (name if number == 1 else f"{name}#{number}", source, given)
        for name, source in named_sources(settings)
        for number, given in enumerate(inputs_of(source, table), start=1)
    ]


def declared(settings: Settings, table: Table) -> list[str]:
    """The declared covariates that `table` may hold under their own names."""
    kinds = settings.covariates
    by_table = {"sales": kinds.past_only, "products": kinds.static, "stores": kinds.static, "plan": kinds.known_future}
    return by_table.get(table, [])


def mapping(given: Input, table: Table, covariates: Sequence[str], found: Sequence[str], place: str) -> ColumnMapping:
    """Which of the `found` columns is what: as configured; keys and declared covariates also by their own names.

    Raises SourceError for a mapped column that is not there, a key that nothing gives and a reserved name.
    """
    own = [name for name in (*KEYS[table], *covariates) if name in found]
    chosen: ColumnMapping = {**{name: name for name in own}, **given.columns}
    for problem in _problems(chosen, table, found):
        better = _delimiter(found[0], given.delimiter) if len(found) == 1 else None
        repair = f"the first line is not split by {given.delimiter!r}; set {table}.delimiter: {better!r}"
        raise SourceError(f"{place}: {repair if better else problem}. Columns here: {', '.join(found)}")
    return chosen


def _problems(chosen: ColumnMapping, table: Table, found: Sequence[str]) -> Iterator[str]:
    for name, column in chosen.items():
        key = f"{table}.columns.{name}"
        if name in RESERVED:
            yield f"{key}: this name is kept for provenance; choose another"
        if isinstance(column, str) and column not in found:
            near = difflib.get_close_matches(column, found, n=1, cutoff=0)
            yield f"no column {column!r}; did you mean {near[0] if near else 'nothing'!r}? Correct {key}"
    for name in REQUIRED[table]:
        if name not in chosen:
            yield f"nothing says {name}; add `{name}: <column>` or `{name}: {{value: <text>}}` under {table}.columns"


def _delimiter(header: str, used: str) -> str | None:
    counts = {mark: header.count(mark) for mark in ",;\t|" if mark != used and mark in header}
    return max(counts, key=counts.__getitem__, default=None)


def mapped(parsed: Parsed, chosen: ColumnMapping) -> pl.DataFrame:
    """The chosen columns as text, `line`, `extra` (compact JSON of the other columns) and `fault`."""
    used = {column for column in chosen.values() if isinstance(column, str)}
    others = [name for name in parsed.columns.columns if name not in used]
    rest = pl.struct(others).struct.json_encode() if others else pl.lit("")
    frame = parsed.columns.select(*(_column(name, column) for name, column in chosen.items()), rest.alias("extra"))
    extra = pl.coalesce("whole", "extra").alias("extra")
    return frame.with_columns(parsed.marks).select(*chosen, "line", extra, "fault")


def _column(name: str, column: str | Constant) -> pl.Expr:
    if isinstance(column, Constant):
        return pl.lit(str(column.value).removesuffix(".0")).alias(name)
    return pl.col(column).alias(name)


def as_text(column: pl.Series) -> pl.Series:
    """A typed column as text, shortest: ISO dates, a time only where there is one, no `.0`, booleans 0 and 1."""
    kind = column.dtype
    if kind == pl.String:
        return column
    if isinstance(kind, pl.Datetime):
        return _moments(column, kind.time_zone)
    if kind.is_float():
        return column.fill_nan(None).cast(pl.String).str.strip_suffix(".0")
    if kind.is_decimal():
        return column.cast(pl.String).str.replace(r"\.(\d*?)0+$", ".$1").str.strip_suffix(".")
    if kind.is_nested():
        return column.to_frame("value").select(pl.struct("value").struct.json_encode().alias(column.name)).to_series()
    return (column.cast(pl.Int8) if kind == pl.Boolean else column).cast(pl.String, strict=False)


def _moments(column: pl.Series, time_zone: str | None) -> pl.Series:
    zone = "%:z" if time_zone else ""
    said = column.dt.strftime("%Y-%m-%d %H:%M:%S%.f" + zone)
    return said if zone else said.str.strip_suffix(" 00:00:00")


def local_day(settings: Settings, moment: datetime) -> date:
    """The calendar day of `moment` (with time zone) where the shops are."""
    return moment.astimezone(ZoneInfo(settings.automation.timezone)).date()


def natural(name: str) -> list[tuple[int, str]]:
    """A sort key that puts `v9` before `v10`."""
    return [(int(part or 0), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]
