"""Which stores and products vanish behind rejected lines, however few of a night's lines they are."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import NamedTuple

import polars as pl

from demand_forecast.domain.cleaning.rules import ABSURD
from demand_forecast.domain.cleaning.sales_lines import mapped_columns
from demand_forecast.domain.cleaning.text import identifier
from demand_forecast.settings import Cleaning

# replaced by a newer line: no sign of a broken source
REPLACED = ("superseded", "withdrawn", "extract_overlap", "exact_duplicate")
ORDINARY = (*REPLACED, "cancellation", "cancelled_sale", "return", "non_product", "before_history")
LOOKED_BACK = timedelta(days=28)
LATELY = timedelta(days=14)  # that an absurd line is told for
LEAST_LINES = 3  # rejected since the last good day
NEARLY_ALL = 0.9  # of a day's lines: it is no good day
LONGEST = 120  # characters of an example
KINDS = {"store_id": "store", "product_id": "product"}
PLACE = ["day", "file", "line"]


class Refused(NamedTuple):
    """Rejected lines of one store or product: how many, most of them for which reason, and the newest for it."""

    kind: str
    name: str
    lines: int
    reason: str
    file: str
    line: int
    text: str

    def __str__(self) -> str:
        """What a person is told of it."""
        example = f"for example {self.file}, line {self.line}: {self.text}"
        return f"{self.kind} {self.name}: {self.lines:,} rejected, {self.reason}, {example}"


def refused_lines(rejected: pl.LazyFrame, cleaning: Cleaning) -> pl.LazyFrame:
    """`store_id, product_id` as in clean_sales, `day, reason, file, line`, and the `text` of rows of rejected_sales
    whose reason is no ordinary one.
    """
    said = [name for name in mapped_columns(rejected.collect_schema().names()) if name != "reason"]
    ids = [identifier(pl.col(name), cleaning.id_case).alias(name) for name in KINDS]
    line = pl.concat_str(said, separator=", ", ignore_nulls=True)
    text = pl.when(pl.col("fault").is_null()).then(line).otherwise("extra").alias("text")
    return rejected.filter(~pl.col("reason").is_in(ORDINARY)).select(*ids, *PLACE, "reason", text)


def vanished(kept: pl.DataFrame, refused: pl.DataFrame) -> list[Refused]:
    """The stores, and then the products, with LEAST_LINES or more rejected lines since their last good day, on which
    more than one in ten of their lines counted; the most lines first. A product whose rejected lines are all of stores
    that vanish is not named again.

    `kept`: `store_id, product_id, date, lines` of clean_sales; `refused`: `refused_lines`; of the same days.
    """
    stores = _since_good(kept, refused, "store_id")
    products = _since_good(kept, refused, "product_id")
    elsewhere = products.join(stores.select("store_id").unique(), on="store_id", how="anti")
    named = products.join(elsewhere.select("product_id").unique(), on="product_id", how="semi")
    return [*_named(stores, "store_id"), *_named(named, "product_id")]


def absurd_lately(refused: pl.DataFrame, newest: date) -> list[Refused]:
    """Absurd lines of the days up to `newest`, by series: what was rejected may have been sold."""
    lately = refused.filter(pl.col("reason") == ABSURD, pl.col("day") > newest - LATELY)
    series = pl.format("{} in store {}", "product_id", "store_id").alias("product_id")
    return [*_named(lately.with_columns(series), "product_id")]


def _since_good(kept: pl.DataFrame, refused: pl.DataFrame, name: str) -> pl.DataFrame:
    """Rows of `refused` that came after the last good day of their store or product, where they are several."""
    counted = kept.group_by(name, day="date").agg(pl.col("lines").sum())
    lost = refused.drop_nulls(name)
    days = counted.join(lost.group_by(name, "day").agg(lost=pl.len()), on=[name, "day"], how="left")
    share = pl.col("lost").fill_null(0) / (pl.col("lost").fill_null(0) + pl.col("lines"))
    good = days.filter(share < NEARLY_ALL).group_by(name).agg(good=pl.col("day").max())
    after = lost.join(good, on=name, how="left").filter((pl.col("day") > pl.col("good")).fill_null(value=True))
    return after.filter(pl.len().over(name) >= LEAST_LINES)


def _named(lines: pl.DataFrame, name: str) -> Iterator[Refused]:
    """Each store or product of `lines`, with the newest line of the reason that most of its lines have."""
    most = pl.col("reason").mode().sort().first()
    counts = lines.group_by(name).agg(total=pl.len(), reason=most)
    of_reason = lines.join(counts, on=[name, "reason"]).sort(*PLACE)
    newest = of_reason.unique(name, keep="last", maintain_order=True).sort("total", name, descending=[True, False])
    for row in newest.iter_rows(named=True):
        yield Refused(
            KINDS[name], row[name], row["total"], row["reason"], row["file"], row["line"], str(row["text"])[:LONGEST]
        )
