"""Products that nobody sells yet: one series for every kind of product in every shop, on sale from the first day ahead.

They are in the history as announced series, so that a brand-new product gets the features that one in the plan would
get. No feature of a real series depends on them.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import date

import polars as pl

NEW_PREFIX = " new:"  # identifiers are read without surrounding space: no real one begins with one
MAX_KINDS = 300  # as many series in every shop; the most common kinds are kept


def new_product_id(attributes: Mapping[str, str | None]) -> str:
    """The `product_id` of the new product of a kind; `attributes`: the declared text attributes of products."""
    return NEW_PREFIX + json.dumps(dict(attributes), ensure_ascii=False, sort_keys=True)


def kind_of(product_id: str) -> dict[str, str | None]:
    """The attributes of which `new_product_id` made `product_id`."""
    kind: dict[str, str | None] = json.loads(product_id.removeprefix(NEW_PREFIX))
    return kind


def is_new_product() -> pl.Expr:
    """Whether a row is of a product that nobody sells yet."""
    return pl.col("product_id").str.starts_with(NEW_PREFIX)


def with_new_products(
    series: pl.DataFrame, products: pl.DataFrame, static: Sequence[str], groups: Sequence[str], on_sale: date
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`series` as `with_launches` makes it and `products`, each followed by the new products, listed from `on_sale` on.

    A kind is a combination of `groups`, text columns of `products`, that some product sold has; without `groups` there
    is one. Of other `static` columns of `products` a new product has the median of its kind.
    """
    kinds = _kinds(series.filter(~pl.col("announced")), products, static, groups)
    listed = series.select("store_id").unique().sort("store_id").join(kinds.select("product_id"), how="cross")
    new = listed.with_columns(
        series=pl.int_range(pl.len(), dtype=pl.UInt32) + len(series),
        on_sale=pl.lit(on_sale),
        listed=True,
        announced=True,
    )
    return pl.concat([series, new], how="diagonal"), pl.concat([products, kinds], how="diagonal_relaxed")


def _kinds(sold: pl.DataFrame, products: pl.DataFrame, static: Sequence[str], groups: Sequence[str]) -> pl.DataFrame:
    """`product_id`, `groups` and the numbers among `static` of every kind."""
    numbers = [name for name in static if name in products.columns and name not in groups]
    known = sold.select("product_id").unique().join(products, on="product_id", how="left")
    found = known.group_by(pl.lit(NEW_PREFIX).alias("product_id"), *groups).agg(pl.col(numbers).median(), rows=pl.len())
    common = found.sort("rows", *groups, descending=[True, *(False for _ in groups)]).head(MAX_KINDS)
    ids = [new_product_id(kind) for kind in common.select(groups).to_dicts() or [{}]]
    return common.drop("rows").with_columns(pl.Series("product_id", ids))
