"""A table as text: which of a source's columns is what, and typed values spelt."""

import difflib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import polars as pl

from demand_forecast.domain.tables import RAW_PROVENANCE
from demand_forecast.settings import ColumnMapping, Constant, Input, Settings
from demand_forecast.sources.delivery import Table
from demand_forecast.sources.errors import SourceError

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
    texts = column.dt.strftime("%Y-%m-%d %H:%M:%S%.f" + zone)
    return texts if zone else texts.str.strip_suffix(" 00:00:00")
