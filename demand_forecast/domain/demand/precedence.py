"""For whom a row of the plan holds: of several rows that say something about a series, the most particular counts."""

from collections.abc import Iterator, Sequence

import polars as pl

from demand_forecast.domain.tables import SERIES

Keys = tuple[str, ...]


def by_key(plan: pl.DataFrame, columns: Sequence[str] = SERIES) -> Iterator[tuple[Keys, pl.DataFrame]]:
    """The rows of `plan` by which of `columns` (shop, product) they name, the most particular first.

    That is both, the product, the shop, neither: null stands for every shop or product.
    """
    shop, product = columns
    for keys in ((shop, product), (product,), (shop,), ()):
        named = (pl.col(name).is_not_null() if name in keys else pl.col(name).is_null() for name in columns)
        yield keys, plan.filter(*named)
