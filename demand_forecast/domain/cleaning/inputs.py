"""Products, stores, plan and stock as typed tables, one row per key."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import polars as pl

from demand_forecast.domain.cleaning.dates import DateReading, read_dates
from demand_forecast.domain.cleaning.text import by_source, identifier, number, strip_to_null
from demand_forecast.domain.demand.covariates import TRUTH, require_covariates
from demand_forecast.settings import Cleaning, Covariates

PROVENANCE = ("source", "file", "line", "content_hash", "arrived_at", "extra")
UNKNOWN = ("n/a", "#n/a", "na", "nan", "null", "none", "nil", "-", "--", "?", "#value!", "#ref!", "#div/0!")
NO_TEXT = tuple(word for word in UNKNOWN if word != "na")  # NA may be a country or a department
FEW = 0.01  # of a column's values: so many that are no numbers are slips, more are names
SEVERAL = 10  # values, of which one may be a slip, too
CODE = r"^0\d"  # 007 is a name that is written in digits
PLAN_KEYS = ["date", "store_id", "product_id"]
PLACE = ["source", "file", "line"]
KEYS = {"products": ["product_id"], "stores": ["store_id"], "plan": ["date"], "stock": PLAN_KEYS}  # a row must have


class UnreadableDatesError(ValueError):
    """No date of an input can be read; the message names the input and the key to set."""


@dataclass(frozen=True)
class InputReading:
    """How the text of an input is read; decimal marks and dates by source, the sources in the order of the settings."""

    covariates: Covariates
    cleaning: Cleaning
    decimals: Mapping[str, str] = field(default_factory=dict)
    dates: Mapping[str, DateReading] = field(default_factory=dict)


def clean_products(raw: pl.DataFrame, reading: InputReading) -> pl.DataFrame:
    """`product_id` (unique, in the case of `cleaning.id_case`) and those static covariates that products have.

    A column is Float32 when its values are numbers (or true and false) but for those that say unknown, as n/a does, and
    for one in a hundred or a single one, which are unknown too (see `unreadable`); else text, as where they are codes
    like 007. Of several rows of a product the last known value of each column counts, by source, file and line. Rows
    without id are left out (see `left_out`).
    """
    return _by_id(raw, "product_id", reading)


def clean_stores(raw: pl.DataFrame, reading: InputReading) -> pl.DataFrame:
    """`store_id` and those static covariates that stores have, as `clean_products`."""
    return _by_id(raw, "store_id", reading)


def clean_plan(raw: pl.DataFrame, reading: InputReading) -> pl.DataFrame:
    """`date, store_id` (null: every store), `product_id` (null: every product), `price` (Float32) and the known-future
    covariates (Float32, or text as in `clean_products`; `open` is a number whatever it says); one row per key, rows
    without a readable date left out.

    Raises MissingCovariateError for a known-future covariate that no plan has, UnreadableDatesError.
    """
    names = [name for name in reading.covariates.known_future if name != "price"]
    require_covariates(names, "known_future", {"plan": _mapped_columns(raw)}, unmapped_columns(raw))
    values = {"price": _number(raw, "price", reading)}
    values |= {name: _number_or_text(raw, name, reading) for name in names if name != "open"}
    values |= {name: _number_or_truth(raw, name, reading) for name in names if name == "open"}
    keys = {"date": _date("plan", raw, reading)} | _ids(raw, ["store_id", "product_id"], reading)
    return _one_per_key(raw, keys, values, ["date"], reading)


def clean_stock(raw: pl.DataFrame, reading: InputReading) -> pl.DataFrame:
    """`date, store_id, product_id, in_stock` (Float32, 0..1; null: not said or outside), `on_hand` and `on_order`
    (Float32, units; below zero is 0: an empty shelf, nothing ordered); one row per key, rows without a whole key left
    out. Raises UnreadableDatesError.
    """
    in_stock = _number(raw, "in_stock", reading)
    values = {"in_stock": in_stock.set(~in_stock.is_between(0, 1), None)}
    values |= {name: _number(raw, name, reading).clip(lower_bound=0) for name in ("on_hand", "on_order")}
    keys = {"date": _date("stock", raw, reading)} | _ids(raw, ["store_id", "product_id"], reading)
    return _one_per_key(raw, keys, values, PLAN_KEYS, reading)


def require_static(covariates: Covariates, products: pl.DataFrame, stores: pl.DataFrame) -> None:
    """Raises MissingCovariateError for a static covariate that neither raw_products nor raw_stores has."""
    searched = {"products": _mapped_columns(products), "stores": _mapped_columns(stores)}
    unmapped = unmapped_columns(products) + unmapped_columns(stores)
    require_covariates(covariates.static, "static", searched, unmapped)


def _mapped_columns(raw: pl.DataFrame) -> list[str]:
    return [name for name in raw.columns if name not in PROVENANCE]


def unmapped_columns(raw: pl.DataFrame) -> list[str]:
    """The columns that the first row has in `extra`."""
    extras = raw["extra"].filter(raw["extra"].str.starts_with("{")).head(1)
    with suppress(json.JSONDecodeError):  # it may be a line that could not be split
        return list(json.loads(extras[0])) if len(extras) else []
    return []


def _by_id(raw: pl.DataFrame, key: str, reading: InputReading) -> pl.DataFrame:
    values = {name: _number_or_text(raw, name, reading) for name in reading.covariates.static if name in raw.columns}
    return _one_per_key(raw, _ids(raw, [key], reading), values, [key], reading)


def _ids(raw: pl.DataFrame, names: Sequence[str], reading: InputReading) -> dict[str, pl.Series]:
    ids = [identifier(_text(raw, name), reading.cleaning.id_case).alias(name) for name in names]
    return {series.name: series for series in raw.with_columns(ids).select(names)}


def _date(table: str, raw: pl.DataFrame, reading: InputReading) -> pl.Series:
    if "store_id" not in raw.columns:
        raw = raw.with_columns(store_id=pl.lit(None, pl.String))
    dates = read_dates(raw, reading.dates)
    if len(dates) and not dates.count():
        example = raw["date"].drop_nulls().head(1).to_list()
        raise UnreadableDatesError(
            f"raw_{table}: none of {len(dates)} dates can be read as one day (for example {example}); "
            f"set {table}.date_format, for instance '%d/%m/%Y'"
        )
    return dates


def _number(raw: pl.DataFrame, name: str, reading: InputReading) -> pl.Series:
    value = by_source(lambda decimal: number(_text(raw, name), decimal), reading.decimals, ".")
    return raw.with_columns(pl.when(value.is_finite()).then(value).alias(name))[name]


def _number_or_text(raw: pl.DataFrame, name: str, reading: InputReading) -> pl.Series:
    text = raw.select(strip_to_null(pl.col(name)))[name]
    numbers = _number_or_truth(raw, name, reading)
    words = text.str.to_lowercase()
    said = text.count() - int(words.is_in(UNKNOWN).sum())
    slips, codes = said - numbers.count(), int(text.str.contains(CODE).sum())
    few = max(FEW * said, 1 if said >= SEVERAL else 0)
    if slips <= few and codes <= few and (numbers.count() or not text.count()):
        return numbers
    return text.set(words.is_in(NO_TEXT).fill_null(value=False), None)


def _number_or_truth(raw: pl.DataFrame, name: str, reading: InputReading) -> pl.Series:
    text = strip_to_null(pl.col(name))
    truth = text.str.to_lowercase().replace_strict(TRUTH, default=text)
    return _number(raw.select("source", truth.alias(name)), name, reading)


def unreadable(raw: pl.DataFrame, cleaned: pl.DataFrame, reading: InputReading) -> pl.DataFrame:
    """`column, value, source, file, line` of every cell of `raw` that says something and is no number where its column
    of `cleaned`, the table made of it, holds numbers; of `in_stock` no share, 0..1.
    """
    found = [_no_cells(raw)]
    for name in cleaned.columns:
        if name in raw.columns and cleaned.schema[name].is_numeric():
            text = strip_to_null(pl.col(name))
            number = text.cast(pl.Float64, strict=False)
            fits = number.is_between(0, 1) if name == "in_stock" else number.is_finite()
            odd = raw.filter(text.is_not_null(), fits.ne_missing(True))
            truth = pl.col(name).str.strip_chars().str.to_lowercase().is_in([*TRUTH])
            read = _number(odd, name, reading)
            lost = read.is_null() | (~read.is_between(0, 1) if name == "in_stock" else False)
            found.append(_cells(odd.filter(lost.fill_null(value=True), ~truth), name))
    return pl.concat(found)


def left_out(table: str, raw: pl.DataFrame, reading: InputReading) -> pl.DataFrame:
    """`column, value, source, file, line` of the rows of `raw` (raw_<table>) that are left out, because a date cannot
    be read as one day or an id is missing; of the first such column.
    """
    keys = _ids(raw, [name for name in KEYS[table] if name != "date"], reading)
    if "date" in KEYS[table]:
        keys = {"date": _date(table, raw, reading)} | keys
    found, rest = [_no_cells(raw)], raw.with_columns(series.alias(f"key_{name}") for name, series in keys.items())
    for name in keys:
        found.append(_cells(rest.filter(pl.col(f"key_{name}").is_null()), name))
        rest = rest.filter(pl.col(f"key_{name}").is_not_null())
    return pl.concat(found)


def _no_cells(raw: pl.DataFrame) -> pl.DataFrame:
    texts = {"column": pl.String, "value": pl.String}
    return pl.DataFrame(schema=texts | {name: raw.schema[name] for name in PLACE})


def _cells(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    return rows.select(pl.lit(name).alias("column"), _text(rows, name).str.strip_chars().alias("value"), *PLACE)


def _text(raw: pl.DataFrame, name: str) -> pl.Expr:
    return pl.col(name) if name in raw.columns else pl.lit(None, pl.String)


def _one_per_key(
    raw: pl.DataFrame,
    keys: Mapping[str, pl.Series],
    values: Mapping[str, pl.Series],
    required: Sequence[str],
    reading: InputReading,
) -> pl.DataFrame:
    place = {name: order for order, name in enumerate(reading.decimals)}
    order = pl.col("source").replace_strict(place, default=len(place), return_dtype=pl.Int64)
    rows = raw.select("source", "file", "line", place=order)
    rows = rows.with_columns(**keys, **{f"value_{name}": series for name, series in values.items()})
    rows = rows.drop_nulls(required)
    repeated = pl.struct(*keys).is_duplicated()  # few or none are: a group of its own for each would take 5 s of M5's 6
    last = [pl.col(f"value_{name}").drop_nulls().last().alias(name) for name in values]
    several = rows.filter(repeated).sort("place", "source", "file", "line").group_by(*keys).agg(last)
    once = rows.filter(~repeated).select(*keys, **{name: f"value_{name}" for name in values})
    return pl.concat([once, several]).sort(*keys)
