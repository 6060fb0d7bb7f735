"""Classes of demand: how often and how evenly a series sells, or that it is new or no longer sells."""

from collections.abc import Sequence
from datetime import date, timedelta

import polars as pl

from demand_forecast.domain.tables import SERIES

NEW = "new"
DEMAND_CLASSES = ("smooth", "erratic", "intermittent", "lumpy", "dormant", NEW)
INTERVAL_CUT = 1.32
VARIATION_CUT = 0.49
MEMORY = timedelta(days=364)
NEW_FOR = timedelta(weeks=8)
MIN_IN_STOCK = 0.5


def demand_classes(demand: pl.DataFrame, origins: Sequence[date], key: Sequence[str] = SERIES) -> pl.DataFrame:
    """`key`, forecast_origin, demand_class of every series that has sold by that origin.

    `demand`: `key`, date, units, in_stock, open; a series' first row is its first sale. With the mean interval between
    selling days (all days over days with sales) and CV^2 of the units sold on them, over the last 52 weeks up to the
    origin on days that count (known, open, in stock for at least half of it):
    smooth: interval <= 1.32, CV^2 <= 0.49; erratic: CV^2 above; intermittent: interval above; lumpy: both above.
    dormant: no sale in these weeks; new: first sale less than 8 weeks before the origin.

    Source: Syntetos, Boylan & Croston (2005), J. Operational Research Society 56, 495-503.
    """
    first = demand.group_by(key).agg(first=pl.col("date").min())
    counting = demand.lazy().filter(counts()).select(*key, "date", "units")
    return pl.concat(_at_origin(counting, first, origin, key) for origin in origins)


def counts() -> pl.Expr:
    """Whether a day of `daily_demand` shows how a series sells: known, nothing exceptional, open, in stock for half of
    it.
    """
    return pl.col("open").fill_null(False) & (pl.col("in_stock").fill_null(0) >= MIN_IN_STOCK)


def _at_origin(counting: pl.LazyFrame, first: pl.DataFrame, origin: date, key: Sequence[str]) -> pl.DataFrame:
    recent = counting.filter(pl.col("date") > origin - MEMORY, pl.col("date") <= origin)
    sizes = pl.col("units").filter(pl.col("units") > 0).cast(pl.Float64)
    measured = recent.group_by(key).agg(
        interval=pl.len() / sizes.len(), variation=(sizes.std(ddof=0) / sizes.mean()) ** 2, sold=sizes.len()
    )
    known = first.lazy().filter(pl.col("first") <= origin).join(measured, on=list(key), how="left")
    named = known.select(*key, pl.lit(origin).alias("forecast_origin"), _class(origin).alias("demand_class"))
    return named.collect()


def _class(origin: date) -> pl.Expr:
    often, even = pl.col("interval") <= INTERVAL_CUT, pl.col("variation") <= VARIATION_CUT
    return (
        pl.when(pl.col("first") > origin - NEW_FOR)
        .then(pl.lit(NEW))
        .when(pl.col("sold").fill_null(0) == 0)
        .then(pl.lit("dormant"))
        .when(often)
        .then(pl.when(even).then(pl.lit("smooth")).otherwise(pl.lit("erratic")))
        .otherwise(pl.when(even).then(pl.lit("intermittent")).otherwise(pl.lit("lumpy")))
        .cast(pl.Enum(DEMAND_CLASSES))
    )
