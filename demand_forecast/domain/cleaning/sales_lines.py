"""Raw sales lines as typed columns and marks, narrow enough for ten million of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from demand_forecast.domain.cleaning.dates import DateReading, date_keys, read_dates
from demand_forecast.domain.cleaning.text import by_source, identifier, number, strip_to_null
from demand_forecast.domain.demand.covariates import require_covariates
from demand_forecast.domain.tables import RAW_PROVENANCE
from demand_forecast.settings import Cleaning, Match

VERSION_OF = ["source", "report", "day"]
VERSION = ["arrived_at", "file"]
CLOCK = r"(\d{1,2}):(\d{2})(?::(\d{2}))?\D*?([AaPp][Mm])?\s*$"


@dataclass(frozen=True)
class SalesReading:
    """How sales text is read; dates and decimal marks by the name of the source."""

    cleaning: Cleaning
    past_only: Sequence[str]
    dates: Mapping[str, DateReading]
    decimals: Mapping[str, str]
    families: Sequence[Sequence[str]] = ()
    withdrawn: Collection[str] = ()

    def number(self, column: str) -> pl.Expr:
        return by_source(lambda decimal: number(pl.col(column), decimal), self.decimals, ".")


def numbered(raw: pl.DataFrame | pl.LazyFrame) -> pl.LazyFrame:
    """`raw` with `row` (UInt32), by which a typed line finds its raw line again."""
    return raw.lazy().with_row_index("row")


def mapped_columns(columns: Sequence[str]) -> list[str]:
    return [name for name in columns if name not in {*RAW_PROVENANCE, "row", "extra", "fault"}]


def read_sales_lines(raw: pl.LazyFrame, reading: SalesReading) -> pl.DataFrame:
    """One row per row of `raw` (`numbered` raw_sales), in its order.

    `row, source, file, line, day, date, store_id, product_id, units, price, covariate_<past_only>` typed, null where
    unreadable, and the marks that the rules ask for: `malformed, superseded, withdrawn, unreadable_price,
    non_product, cancellation` (Boolean), `content` (hash of all that the line says within its report), `extract`, and
    for cancellations `clock` (seconds of the day) and `same_<column>`.

    Raises MissingCovariateError, and ValueError where `cleaning` names a column that raw_sales does not have.
    """
    columns = mapped_columns(raw.collect_schema().names())
    require_covariates(reading.past_only, "past_only", {"sales": _given(raw, columns, reading.past_only)})
    marked = _with_replaced(_with_superseded(_with_dates(raw, reading)), reading.families)
    typed = marked.select(
        "row",
        "source",
        "file",
        "line",
        "day",
        "date_read",
        "superseded",
        pl.col("source").is_in([*reading.withdrawn]).alias("withdrawn"),
        *_keys_and_numbers(reading, columns),
        *_marks(reading.cleaning, columns),
    )
    return typed.rename({"date_read": "date"}).collect(engine="streaming")


def _given(raw: pl.LazyFrame, columns: Sequence[str], past_only: Sequence[str]) -> list[str]:
    """`columns` without the covariates that no line has: raw_sales has a column for every declared one."""
    declared = [name for name in past_only if name in columns]
    whole = raw.filter(pl.col("fault").is_null())
    counts = whole.select(pl.len().alias("row"), *(pl.col(name).count() for name in declared))
    lines, *known = counts.collect(engine="streaming").row(0)
    absent = {name for name, count in zip(declared, known, strict=True) if lines and not count}
    return [name for name in columns if name not in absent]


def _keys_and_numbers(reading: SalesReading, columns: Sequence[str]) -> list[pl.Expr]:
    id_case = reading.cleaning.id_case
    price = reading.number("price") if "price" in columns else pl.lit(None, pl.Float32)
    unreadable = strip_to_null(pl.col("price")).is_not_null() & ~price.is_finite().fill_null(False)
    covariates = {f"covariate_{name}": reading.number(name) for name in reading.past_only}
    return [
        identifier(pl.col("store_id"), id_case).alias("store_id"),
        identifier(pl.col("product_id"), id_case).alias("product_id"),
        reading.number("units").alias("units"),
        price.alias("price"),
        (unreadable if "price" in columns else pl.lit(False)).alias("unreadable_price"),
        *(pl.when(value.is_finite()).then(value).alias(name) for name, value in covariates.items()),
    ]


def _marks(cleaning: Cleaning, columns: Sequence[str]) -> list[pl.Expr]:
    identity = duplicate_identity(cleaning, columns)
    marks = [
        pl.col("fault").is_not_null().alias("malformed"),
        pl.struct(identity).hash().alias("content"),
        _matches(cleaning.non_product, "non_product", cleaning, columns).alias("non_product"),
        _matches(cleaning.cancellation, "cancellation", cleaning, columns).alias("cancellation"),
    ]
    if cleaning.extract:
        marks.append(strip_to_null(_column(cleaning.extract, "extract", columns)).alias("extract"))
    if cleaning.cancellation:
        same = [name for name in cleaning.cancellation.same if name not in ("store_id", "product_id")]
        marks += [strip_to_null(_column(name, "cancellation.same", columns)).alias(f"same_{name}") for name in same]
        marks.append(_clock(pl.col("date")).alias("clock"))
    return marks


def duplicate_identity(cleaning: Cleaning, columns: Sequence[str]) -> list[str]:
    """The columns in which two lines of a report are equal when one of them is a copy.

    Where equal lines are kept (a till may sell the same twice), only the same line of the same file is one.
    """
    place = ["file", "line"] if cleaning.duplicates == "keep" else []
    return ["source", "report", *place, *columns, "extra"]


def _matches(match: Match | None, key: str, cleaning: Cleaning, columns: Sequence[str]) -> pl.Expr:
    if match is None:
        return pl.lit(False)
    text = _column(match.column, f"{key}.column", columns)
    value = identifier(text, cleaning.id_case) if match.column in ("store_id", "product_id") else strip_to_null(text)
    return value.str.contains(match.pattern).fill_null(False)


def _column(name: str, key: str, columns: Sequence[str]) -> pl.Expr:
    if name not in columns:
        raise ValueError(
            f"cleaning.{key}: raw_sales has no column {name!r}; map it under sales.columns. "
            f"Columns here: {', '.join(columns)}"
        )
    return pl.col(name)


def _clock(text: pl.Expr) -> pl.Expr:
    """Seconds since midnight, 0 for a date without a time."""
    hour, minute, second = (text.str.extract(CLOCK, part).cast(pl.Int32, strict=False) for part in (1, 2, 3))
    half = text.str.extract(CLOCK, 4).str.to_lowercase()
    hour = pl.when(half.is_null()).then(hour).otherwise(hour % 12 + 12 * (half == "pm"))
    return (hour * 3600 + minute * 60 + second.fill_null(0)).fill_null(0)


def _with_dates(raw: pl.LazyFrame, reading: SalesReading) -> pl.LazyFrame:
    """`raw` with `date_read`: each text is parsed once, for there are far fewer dates than lines."""
    keys = ["source", *date_keys(reading.dates)]
    texts = raw.select(keys).unique().collect(engine="streaming")
    dates = texts.with_columns(date_read=read_dates(texts, reading.dates)).lazy()
    return raw.join(dates, on=keys, how="left", maintain_order="left", nulls_equal=True)


def _with_superseded(raw: pl.LazyFrame) -> pl.LazyFrame:
    """`raw` with `superseded`: a newer version (by arrival, then file name) of the line's report and day is there."""
    versions = raw.select(*VERSION_OF, *VERSION).unique().collect(engine="streaming")
    newest = versions.sort(VERSION).unique(VERSION_OF, keep="last", maintain_order=True)
    older = versions.join(newest, on=[*VERSION_OF, *VERSION], how="anti", nulls_equal=True)
    if older.is_empty():
        return raw.with_columns(superseded=pl.lit(False))
    marked = older.with_columns(superseded=pl.lit(True)).lazy()
    joined = raw.join(marked, on=[*VERSION_OF, *VERSION], how="left", nulls_equal=True, maintain_order="left")
    return joined.with_columns(pl.col("superseded").fill_null(False))


def _with_replaced(raw: pl.LazyFrame, families: Sequence[Sequence[str]]) -> pl.LazyFrame:
    """`raw` with `superseded` also where an earlier source of the line's family has the line's day."""
    places = [(name, number, place) for number, family in enumerate(families) for place, name in enumerate(family)]
    if not places:
        return raw
    ranks = pl.LazyFrame(places, schema={"source": pl.String, "family": pl.UInt32, "rank": pl.UInt32}, orient="row")
    days = raw.select("source", "day").unique().join(ranks, on="source")
    later = days.filter(pl.col("rank") > pl.col("rank").min().over("family", "day")).select("source", "day")
    marked = raw.join(
        later.with_columns(replaced=pl.lit(True)), on=["source", "day"], how="left", maintain_order="left"
    )
    return marked.with_columns(superseded=pl.col("superseded") | pl.col("replaced").fill_null(False)).drop("replaced")
