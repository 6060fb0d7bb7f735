"""The levels at which forecasts are scored: every grouping of shops crossed with every grouping of products."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

MAX_LEVELS = 20


@dataclass(frozen=True)
class Level:
    """One way to add series up: the nodes of a level are the distinct values of its `columns`."""

    name: str
    columns: tuple[str, ...]


TOTAL = Level("total", ())
SERIES_LEVEL = Level("series", ("store_id", "product_id"))


def hierarchy_levels(
    products: pl.DataFrame, stores: pl.DataFrame, static: Sequence[str], max_levels: int = MAX_LEVELS
) -> list[Level]:
    """The levels that the declared static columns span, coarsest first within shops, `series` last.

    Shops group as all, each text column of `stores` in `static`, `store_id`; products likewise; the levels are the
    cross product. For M5 (`state_id`; `cat_id`, `dept_id`) these are the competition's twelve (Makridakis, Spiliotis &
    Assimakopoulos 2022, table 1). A declared column makes its levels however few values it has, so that scores stay
    comparable when a shop opens; a number, or a column without any value, makes none. Of more than `max_levels`
    combinations the coarsest are kept, and `series`.
    """
    shop_side = _groupings(stores, "store_id", static)
    product_side = _groupings(products, "product_id", static)
    levels = [
        (_level((*shop, *product)), shop_nodes * product_nodes)
        for shop, shop_nodes in shop_side
        for product, product_nodes in product_side
    ]
    coarsest = sorted(levels[:-1], key=lambda item: item[1])[: max_levels - 1]
    return [item[0] for item in levels[:-1] if item in coarsest] + [SERIES_LEVEL]


def attach_static(series: pl.DataFrame, products: pl.DataFrame, stores: pl.DataFrame) -> pl.DataFrame:
    """`series` (store_id, product_id, …) with the static columns of its product and its shop, null where unknown."""
    known = set(series.columns)
    for table, key in ((products, "product_id"), (stores, "store_id")):
        if key in table.columns:
            fresh = [column for column in table.columns if column == key or column not in known]
            series = series.join(table.select(fresh), on=key, how="left", maintain_order="left")
            known.update(fresh)
    return series


def _groupings(table: pl.DataFrame, key: str, static: Sequence[str]) -> list[tuple[tuple[str, ...], int]]:
    """(columns, number of nodes) of each grouping of one side, from all to the id itself."""
    declared = [
        ((column,), table[column].drop_nulls().n_unique())
        for column in static
        if column in table.columns and column != key and not table.schema[column].is_numeric()
    ]
    ids = max([1, table.height, *(count for _, count in declared)])
    by_size = sorted((grouping for grouping in declared if grouping[1] > 0), key=lambda grouping: grouping[1])
    return [((), 1), *by_size, ((key,), ids)]


def _level(columns: tuple[str, ...]) -> Level:
    if columns == SERIES_LEVEL.columns:
        return SERIES_LEVEL
    return Level(" x ".join(columns), columns) if columns else TOTAL
