"""What goes wrong between the tills and the files: faults put into clean sales, each of them recorded.

A fault on a line is an extra line beside the true one, so that without it the true sales remain.
"""

from dataclasses import dataclass
from datetime import date

import polars as pl
from numpy.random import Generator

from demand_forecast.sources.sample import catalogue

LEDGER = "sales"
HEADER = "Date,Store,SKU,Qty,UnitPrice"
PLAIN_DAYS = 35  # the last days' reports are not compressed

LOST_DAY = date(2025, 3, 11)
LATE_DAY, LATE_STORE = date(2026, 8, 14), "S3"
WRONG_DAY, WRONG_STORE = date(2026, 9, 2), "S2"
SPECIAL_DAYS = (LOST_DAY, LATE_DAY, WRONG_DAY)
# Reports with a column more, `Note`, that no one asked for.
CP1252_DAYS = (date(2024, 7, 10), date(2025, 7, 9), date(2026, 7, 8), date(2026, 9, 16))
BOM_DAYS = (date(2024, 3, 5), date(2025, 11, 18), date(2026, 9, 23))

COLUMNS = ("date", "store_id", "product_id", "units", "price")
TEXT = pl.concat_str(COLUMNS, separator=",")
BARCODE = "3017620422003"
# What each kind changes in a copy of a true line.
FIELD_FAULTS: dict[str, dict[str, pl.Expr]] = {
    "duplicate_line": {},
    "return": {"units": pl.lit("-1")},
    "unknown_product": {"product_id": pl.concat_str(pl.lit("X"), "product_id")},
    "negative_quantity": {"units": pl.lit("-4800")},
    "absurd_quantity": {"units": pl.when(pl.col("place") % 2 == 0).then(pl.lit(BARCODE)).otherwise(pl.lit("99999"))},
    "zero_price": {"price": pl.lit("0.00"), "units": pl.lit("1")},
    "text_quantity": {"units": pl.lit("deux")},
    "impossible_date": {"date": pl.concat_str(pl.col("date").str.head(4), pl.lit("-02-30"))},
}
LINE_FAULTS: dict[str, pl.Expr] = {
    "too_few_fields": pl.concat_str(COLUMNS[:3], separator=","),
    "too_many_fields": pl.concat_str(TEXT, pl.lit(",1,ticket 7")),
    "unterminated_quote": TEXT.str.replace(",", ',"'),
}
COUNTS = {
    "branches": {
        "duplicate_line": 60,
        "return": 120,
        "unknown_product": 24,
        "negative_quantity": 8,
        "absurd_quantity": 14,
        "zero_price": 16,
        "text_quantity": 8,
        "impossible_date": 6,
        "too_few_fields": 10,
        "too_many_fields": 10,
        "unterminated_quote": 6,
    },
    "ledger": {
        "duplicate_line": 25,
        "return": 50,
        "unknown_product": 10,
        "negative_quantity": 4,
        "absurd_quantity": 6,
        "zero_price": 6,
        "text_quantity": 4,
        "impossible_date": 3,
    },
}


@dataclass(frozen=True)
class Mess:
    """`reports`: file, line, text; `ledger`: line and the columns of a sale as text; `faults`: what is wrong where."""

    reports: pl.DataFrame
    ledger: pl.DataFrame
    faults: pl.DataFrame


def spoil(lines: pl.DataFrame, rng: Generator) -> Mess:
    """`lines` (date, store_id, product_id, units, price) as the two channels report them."""
    channel = pl.col("store_id").replace_strict(dict(catalogue.stores().select("Store", "Channel").iter_rows()))
    asked = lines.with_columns(pl.col("date").alias("day"), pl.col("date").dt.to_string(), channel.alias("source"))
    asked = asked.with_columns(pl.col("units").cast(pl.String), _price_text())
    reports = _as_files(_with_faults(asked, "branches", rng)).with_columns(_line(first=2))
    ledger = _with_faults(asked, "ledger", rng).with_columns(pl.lit(LEDGER).alias("file")).with_columns(_line(first=1))
    faults = pl.concat([_located(reports), _located(ledger), _file_faults()])
    faults = faults.sort("source", "kind", "date", "file", "line")
    return Mess(reports.select("file", "line", "text"), ledger.select("line", *COLUMNS), faults)


def _price_text() -> pl.Expr:
    cents = (pl.col("price") * 100).round().cast(pl.Int64)
    return pl.concat_str(cents // 100, pl.lit("."), (cents % 100).cast(pl.String).str.zfill(2)).alias("price")


def _with_faults(asked: pl.DataFrame, source: str, rng: Generator) -> pl.DataFrame:
    """The channel's lines with faulty copies beside some of them, and the `text` of each."""
    clean = asked.filter(source=source).with_row_index("place")
    clean = clean.with_columns(pl.lit(None, pl.String).alias("fault"), TEXT.alias("text"))
    ordinary = clean.filter(~pl.col("day").is_in([*SPECIAL_DAYS, *CP1252_DAYS, *BOM_DAYS]))
    drawn = rng.choice(ordinary.height, sum(COUNTS[source].values()), replace=False)
    kinds = [kind for kind, count in COUNTS[source].items() for _ in range(count)]
    picked = ordinary[drawn].with_columns(pl.Series("fault", kinds))
    faulty = [_faulty(kind, copies) for (kind,), copies in picked.group_by("fault", maintain_order=True)]
    return pl.concat([clean, *faulty]).sort("place", "fault", nulls_last=False)


def _faulty(kind: object, copies: pl.DataFrame) -> pl.DataFrame:
    name = str(kind)
    if name in LINE_FAULTS:
        return copies.with_columns(LINE_FAULTS[name].alias("text"))
    changed = copies.with_columns(**FIELD_FAULTS[name])
    return changed.with_columns(TEXT.alias("text"))


def _as_files(lines: pl.DataFrame) -> pl.DataFrame:
    """`lines` with the `file` they are in: one a day, none for the lost day, two for the late and the wrong one."""
    kept = lines.filter(pl.col("day") != LOST_DAY).with_columns(_file_name())
    late = (pl.col("day") == LATE_DAY) & (pl.col("store_id") == LATE_STORE)
    kept = kept.with_columns(pl.when(late).then(pl.lit(f"{LATE_DAY}_late.csv")).otherwise("file").alias("file"))
    corrected = kept.filter(pl.col("day") == WRONG_DAY).with_columns(pl.lit(f"{WRONG_DAY}_corrected.csv").alias("file"))
    wrong = (pl.col("day") == WRONG_DAY) & (pl.col("store_id") == WRONG_STORE)
    kept = kept.with_columns(pl.when(wrong).then(pl.concat_str("units", pl.lit("0"))).otherwise("units").alias("units"))
    kept = kept.with_columns(pl.when(wrong).then(TEXT).otherwise("text").alias("text"))
    return _with_notes(pl.concat([kept, corrected]))


def _file_name() -> pl.Expr:
    age = (pl.lit(catalogue.LAST_DAY) - pl.col("day")).dt.total_days()
    ending = pl.when(age < PLAIN_DAYS).then(pl.lit(".csv")).otherwise(pl.lit(".csv.gz"))
    return pl.concat_str(pl.col("day").dt.to_string(), ending).alias("file")


def _with_notes(lines: pl.DataFrame) -> pl.DataFrame:
    """The `Note` of the reports that have one: "remise été" on every fifth line."""
    noted = pl.when(pl.col("place") % 5 == 0).then(pl.lit("remise été")).otherwise(pl.lit(""))
    text = pl.concat_str("text", noted, separator=",")
    has_note = pl.col("day").is_in([*CP1252_DAYS, *BOM_DAYS])
    return lines.with_columns(pl.when(has_note).then(text).otherwise("text").alias("text"))


def _line(first: int) -> pl.Expr:
    """The 1-based line in the file, whose header counts as a line; in the ledger, the row number."""
    return (pl.int_range(pl.len()).over("file") + first).alias("line")


def _located(lines: pl.DataFrame) -> pl.DataFrame:
    """The line faults: kind, source, file, line, store_id, product_id (as written), date (of the report)."""
    where = ["source", "file", "line", "store_id", "product_id"]
    found = lines.filter(pl.col("fault").is_not_null())
    return found.select(pl.col("fault").alias("kind"), *where, pl.col("day").alias("date"))


def _file_faults() -> pl.DataFrame:
    """Faults of whole files, in the columns of `_located`; line and product are null."""
    found = [
        ("missing_file", f"{LOST_DAY}.csv.gz", None, LOST_DAY),
        ("late_file", f"{LATE_DAY}_late.csv", LATE_STORE, LATE_DAY),
        ("superseded_file", f"{WRONG_DAY}.csv", WRONG_STORE, WRONG_DAY),
        ("corrected_file", f"{WRONG_DAY}_corrected.csv", WRONG_STORE, WRONG_DAY),
        *[("cp1252_file", None, None, day) for day in CP1252_DAYS],
        *[("bom_file", None, None, day) for day in BOM_DAYS],
    ]
    frame = pl.DataFrame(found, schema=["kind", "file", "store_id", "day"], orient="row")
    return frame.select(
        "kind",
        pl.lit("branches").alias("source"),
        pl.coalesce("file", _file_name()).alias("file"),
        pl.lit(None, pl.Int64).alias("line"),
        "store_id",
        pl.lit(None, pl.String).alias("product_id"),
        pl.col("day").alias("date"),
    )


def encoded(file: str, lines: list[str]) -> bytes:
    """The report's bytes: UTF-8, cp1252, or UTF-8 with a byte-order mark and CRLF as spreadsheets write it."""
    day = date.fromisoformat(file[:10])
    if day in CP1252_DAYS:
        return _joined([HEADER + ",Note", *lines], "\n").encode("cp1252")
    if day in BOM_DAYS:
        return _joined([HEADER + ",Note", *lines], "\r\n").encode("utf-8-sig")
    return _joined([HEADER, *lines], "\n").encode()


def _joined(lines: list[str], ending: str) -> str:
    return ending.join(lines) + ending
