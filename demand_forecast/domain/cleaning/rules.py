"""Sales lines that count, and every line that does not, with its reason."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from demand_forecast.domain.cleaning.cancellations import cancelled_sales
from demand_forecast.domain.cleaning.dates import EARLIEST_DAY, DateReading
from demand_forecast.domain.cleaning.sales_lines import (
    SalesReading,
    duplicate_identity,
    mapped_columns,
    numbered,
    read_sales_lines,
)
from demand_forecast.settings import Cleaning

MODEST_UNITS = 100  # no line up to this is absurd
ENOUGH_LINES = 100  # fewer lines say little about a 99th percentile
FEW_LINES = 5  # of a series or a product: fewer say nothing of its own level
ABSURD = "absurd_units"
LASTING = 4  # the so many-th largest line of a series is its level, too


@dataclass(frozen=True)
class Known:
    """What a sales line is judged by besides itself."""

    raw: pl.LazyFrame  # numbered
    cleaning: Cleaning
    products: pl.Series | None
    stores: pl.Series | None
    classes: pl.DataFrame
    first_day: date
    before: pl.LazyFrame | None  # clean_sales of the days before


NO_CLASSES = pl.DataFrame(schema={"product_id": pl.String, "class": pl.String})
Condition = pl.Expr | Callable[[pl.DataFrame, Known], pl.Expr]


@dataclass(frozen=True)
class Rule:
    """Why a line does not count: the name, what it means, and which lines it holds for.

    `condition` is an expression over the typed lines, or a function that makes one from the lines (with the `reason`
    found so far) and from what is known beside them.
    """

    reason: str
    meaning: str
    condition: Condition

    def holds(self, lines: pl.DataFrame, known: Known) -> pl.Expr:
        return self.condition if isinstance(self.condition, pl.Expr) else self.condition(lines, known)


class ConservationError(RuntimeError):
    """Rows came in that are neither clean nor rejected, or are both."""


def clean_sales(
    raw: pl.DataFrame | pl.LazyFrame,
    *,
    cleaning: Cleaning,
    products: Collection[str] | pl.Series | None,
    stores: Collection[str] | pl.Series | None,
    past_only: Sequence[str],
    dates: Mapping[str, DateReading],
    decimals: Mapping[str, str],
    history_start: date | None,
    before: pl.LazyFrame | None = None,
    classes: pl.DataFrame | None = None,
    families: Sequence[Sequence[str]] = (),
    withdrawn: Collection[str] = (),
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """clean_sales and rejected_sales: every row of `raw` (raw_sales) is in exactly one of them, in the order of `raw`.

    clean: `date, store_id, product_id, units, price` (Float32, null where not said), `<past_only>` (Float32), `source,
    file, line`. rejected: the columns of `raw` and `reason`, the first of `RULES` that holds. `products`, `stores`: the
    known ids (in the case of `cleaning.id_case`), None where there is no such table. `dates`, `decimals`: by
    source. Without `history_start` sales count from 1990. `families`: sources that are one, of which the first that has
    a day counts on it; `withdrawn`: those that do not count.

    Every rule but two asks a line's own day alone, so that `raw` may be the newest days, with `before` the clean_sales
    of the days before them: by these absurd units are judged. With a cancellation in `cleaning`, `raw` must be whole.
    `classes` (`product_id, class`): products of a class sell alike, as far as a new one is concerned.

    Raises MissingCovariateError for a past-only covariate that sales do not have, ValueError where `cleaning` names a
    column that sales do not have, ConservationError where `raw` changed while it was read.
    """
    rows = numbered(raw)
    lines = read_sales_lines(rows, SalesReading(cleaning, past_only, dates, decimals, families, withdrawn))
    first_day, alike = history_start or EARLIEST_DAY, NO_CLASSES if classes is None else classes
    known = Known(rows, cleaning, _ids(products), _ids(stores), alike, first_day, before)
    lines = _with_reason(lines, known)
    clean, rejected = _clean(lines, known, past_only), _rejected(lines, known)
    if clean.height + rejected.height != lines.height:
        raise ConservationError(
            f"clean_sales: {lines.height} rows of raw_sales gave {clean.height} clean and {rejected.height} rejected; "
            "raw_sales changed while it was read: run again"
        )
    return clean, rejected


def rejections_by_reason(rejected: pl.DataFrame) -> pl.DataFrame:
    """`reason, meaning, rows` of the reasons in rejected_sales, most rows first."""
    counts = rejected.group_by("reason").agg(rows=pl.len())
    meaning = pl.col("reason").replace_strict(REASONS, default="", return_dtype=pl.String)
    return counts.select("reason", meaning.alias("meaning"), "rows").sort("rows", "reason", descending=[True, False])


def _with_reason(lines: pl.DataFrame, known: Known) -> pl.DataFrame:
    reasons = pl.Enum(list(REASONS))
    lines = lines.with_columns(reason=pl.lit(None, reasons))
    for rule in RULES:
        newly = pl.col("reason").is_null() & rule.holds(lines, known).fill_null(False)
        lines = lines.with_columns(reason=pl.when(newly).then(pl.lit(rule.reason, reasons)).otherwise("reason"))
    return lines


def _clean(lines: pl.DataFrame, known: Known, past_only: Sequence[str]) -> pl.DataFrame:
    price = pl.col("price") if known.cleaning.require_price else pl.when(pl.col("price") > 0).then("price")
    covariates = [pl.col(f"covariate_{name}").alias(name) for name in past_only]
    keys = ["date", "store_id", "product_id", "units"]
    return _remaining(lines).select(*keys, price.alias("price"), *covariates, "source", "file", "line")


def _rejected(lines: pl.DataFrame, known: Known) -> pl.DataFrame:
    reasons = lines.filter(pl.col("reason").is_not_null()).select("row", pl.col("reason").cast(pl.String))
    return _raw_rows(known.raw, reasons).drop("row")


def _ids(known: Collection[str] | pl.Series | None) -> pl.Series | None:
    return None if known is None else pl.Series(values=sorted({*known}), dtype=pl.String)


def _remaining(lines: pl.DataFrame) -> pl.DataFrame:
    return lines.filter(pl.col("reason").is_null())


def _raw_rows(rows: pl.LazyFrame, chosen: pl.DataFrame) -> pl.DataFrame:
    """The raw lines of `chosen` (`row` and more columns), which is small: only they are held in memory."""
    joined = rows.join(chosen.lazy(), on="row", how="inner", maintain_order="left")
    return joined.collect(engine="streaming")


def _one_of(rows: pl.Series) -> pl.Expr:
    return pl.col("row").is_in(rows.implode()) if rows.len() else pl.lit(False)


def _earlier_extract(lines: pl.DataFrame, known: Known) -> pl.Expr:
    if not known.cleaning.extract:
        return pl.lit(False)
    latest = _remaining(lines).group_by("source", "date").agg(latest=pl.col("extract").max())
    latest = lines.select("source", "date").join(latest, on=["source", "date"], how="left", maintain_order="left")
    return (pl.col("extract") < pl.lit(latest["latest"])) & pl.col("date").is_not_null()


def _repeated(lines: pl.DataFrame, known: Known) -> pl.Expr:
    """All copies but the first line. Hashes choose the candidates, their text decides."""
    hashes = lines.select("row", "content", "reason").filter(pl.col("reason").is_null())
    candidates = hashes.filter(pl.col("content").is_duplicated()).select("row")
    if candidates.is_empty():
        return pl.lit(False)
    identity = duplicate_identity(known.cleaning, mapped_columns(known.raw.collect_schema().names()))
    texts = _raw_rows(known.raw.select("row", *{"file": 0, "line": 0, **dict.fromkeys(identity)}), candidates)
    texts = texts.sort("file", "line", "row")
    first = texts.unique(identity, keep="first", maintain_order=True)
    return _one_of(texts.join(first, on="row", how="anti")["row"])


def _cancelled_sale(lines: pl.DataFrame, known: Known) -> pl.Expr:
    cancellation = known.cleaning.cancellation
    if cancellation is None:
        return pl.lit(False)
    undoing = pl.col("reason") == "cancellation"
    sales = pl.col("reason").is_null() & (pl.col("units") > 0)
    return _one_of(cancelled_sales(lines.filter(sales | undoing.fill_null(False)), cancellation))


def _absurd(lines: pl.DataFrame, known: Known) -> pl.Expr:
    """Above `max_units`, or above `absurd_ratio` times what is usual.

    That is what lines of the series usually say, where there are enough. Of fewer, the most that they, its product or
    its class say, or where it has none all lines: a new series may sell as others do, and a level that lasts is one.
    """
    cleaning = known.cleaning
    units = lines.select("row", "store_id", "product_id", "units", "reason").filter(
        pl.col("reason").is_null() & (pl.col("units") > 0)
    )
    suspects = units.filter(pl.col("units") > min(MODEST_UNITS, cleaning.max_units)).drop("reason")
    if suspects.is_empty():
        return pl.lit(False)
    usual, suspects = (_in_classes(frame, known) for frame in (_usual_lines(units, suspects, known), suspects))
    for name, keys in (("own", ["store_id", "product_id"]), ("product", ["product_id"]), ("class", ["class"])):
        of_keys = _usual(usual, suspects, keys).rename({"usual": f"of_{name}", "lines": f"lines_{name}"})
        suspects = suspects.join(of_keys, on=keys, how="left")
    enough = {name: pl.when(pl.col(f"lines_{name}") >= ENOUGH_LINES).then(f"of_{name}") for name in ("own", "class")}
    alike = pl.coalesce(enough["class"], pl.lit(_overall(units, known), pl.Float32))
    several = pl.max_horizontal("of_own", "of_product", alike)
    limit = pl.coalesce(enough["own"], pl.when(alike.is_not_null()).then(several))
    absurd = (pl.col("units") > cleaning.max_units) | (pl.col("units") > limit * cleaning.absurd_ratio).fill_null(False)
    return _one_of(suspects.filter(absurd)["row"])


def _in_classes(lines: pl.DataFrame, known: Known) -> pl.DataFrame:
    return lines.join(known.classes, on="product_id", how="left", maintain_order="left")


def _usual_lines(units: pl.DataFrame, suspects: pl.DataFrame, known: Known) -> pl.DataFrame:
    """Lines that say what is usual: these, and those of the days before of the suspects' products and classes."""
    usual = units.filter(pl.col("units") <= known.cleaning.max_units).select("store_id", "product_id", "units")
    if known.before is None:
        return usual
    products = suspects["product_id"].unique()
    classes = known.classes.filter(pl.col("product_id").is_in(products.implode()))["class"].drop_nulls()
    alike = known.classes.filter(pl.col("class").is_in(classes.implode()))["product_id"]
    related = known.before.filter(pl.col("product_id").is_in(pl.concat([products, alike]).implode()))
    return pl.concat([usual, related.filter(pl.col("units") > 0).select(usual.columns).collect()])


def _overall(units: pl.DataFrame, known: Known) -> float | None:
    lines = units.lazy().filter(pl.col("units") <= known.cleaning.max_units).select("units")
    parts = [lines] if known.before is None else [lines, known.before.filter(pl.col("units") > 0).select("units")]
    count, usual = pl.concat(parts).select(pl.len(), pl.col("units").quantile(0.99, "lower")).collect().row(0)
    return usual if count >= ENOUGH_LINES else None


def _usual(units: pl.DataFrame, suspects: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """`lines`, and `usual` of them: the fourth largest of their units, of enough lines the 99th percentile if larger.

    The lower percentile of 100 lines leaves out the largest: an absurd line does not vouch for itself, nor do three.
    """
    related = units.join(suspects.select(keys).unique(), on=keys, how="semi")
    percentile = pl.when(pl.len() >= ENOUGH_LINES).then(pl.col("units").quantile(0.99, "lower"))
    lasting = pl.col("units").top_k(LASTING).min()
    usual = related.group_by(keys).agg(lines=pl.len(), usual=pl.max_horizontal(percentile, lasting))
    return usual.filter(pl.col("lines") >= FEW_LINES)


def _not_among(column: str, ids: pl.Series | None) -> pl.Expr:
    return pl.lit(False) if ids is None else ~pl.col(column).is_in(ids.implode())


UNREADABLE_UNITS = ~pl.col("units").is_finite().fill_null(False)

# In the order in which they are asked; a line has the first that holds.
RULES = (
    Rule("malformed_line", "the line cannot be split into the columns of its file", pl.col("malformed")),
    Rule("superseded", "a newer version of the same report and day has arrived", pl.col("superseded")),
    Rule("withdrawn", "its source is not configured any more and was withdrawn", pl.col("withdrawn")),
    Rule("extract_overlap", "a later extract covers the same day", _earlier_extract),
    Rule("exact_duplicate", "an earlier line of the same report says the same in every column", _repeated),
    Rule("missing_store", "no store", pl.col("store_id").is_null()),
    Rule("missing_product", "no product", pl.col("product_id").is_null()),
    Rule("unreadable_date", "no date, or none that can be read as one day", pl.col("date").is_null()),
    Rule("future_date", "the day was yet to come when the line arrived", pl.col("date") > pl.col("day")),
    Rule("before_history", "before the first day that counts", lambda _, known: pl.col("date") < known.first_day),
    Rule("unreadable_units", "no units, or none that can be read as a number", UNREADABLE_UNITS),
    Rule("non_product", "not a product: postage, fee, adjustment, test", pl.col("non_product")),
    Rule(
        "unknown_product",
        "the product is not in the product table",
        lambda _, known: _not_among("product_id", known.products),
    ),
    Rule("unknown_store", "the store is not in the store table", lambda _, known: _not_among("store_id", known.stores)),
    Rule("cancellation", "undoes an earlier sale", pl.col("cancellation")),
    Rule("cancelled_sale", "undone by a later cancellation", _cancelled_sale),
    Rule("return", "negative units: goods that came back", pl.col("units") < 0),
    Rule(ABSURD, "far more units than this series, or any, ever sells", _absurd),
    Rule(
        "unreadable_price",
        "a price that cannot be read as a number",
        lambda _, known: pl.col("unreadable_price") & pl.lit(known.cleaning.require_price),
    ),
    Rule(
        "bad_price",
        "a price of zero or less",
        lambda _, known: (pl.col("price") <= 0) & pl.lit(known.cleaning.require_price),
    ),
)
REASONS = {rule.reason: rule.meaning for rule in RULES}
