"""What a backtest is scored from: arrays with a row per series, so that a node of any level is a sum of rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from demand_forecast.domain.demand.demand_classes import DEMAND_CLASSES, NEW, demand_classes
from demand_forecast.domain.demand.exposure import for_the_time_in_stock, units_of_demand
from demand_forecast.domain.demand.hierarchy import Level, attach_static
from demand_forecast.domain.tables import QUANTILE_COLUMNS, SERIES

Array = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

FORECAST = ("mean", *QUANTILE_COLUMNS)
PIT = ("pit_low", "pit_high")
WEIGHT_DAYS = 28


@dataclass(frozen=True)
class SalesHistory:
    """What series sold up to the last origin.

    units (series, periods): zero before the `first` period (series,) of the series; known: periods up to each origin;
    weights (series, origins): revenue of the last 28 days, units where no price is known; classes (series, origins):
    index in DEMAND_CLASSES.
    """

    units: Array
    first: Whole
    known: list[int]
    weights: Array
    classes: Whole


@dataclass(frozen=True)
class ScoringInputs:
    """Rows of arrays are series, numbered as in `nodes`; a slot is an origin and a day forecast from it.

    pairs: model, origin, series, slot (numbers), demand_class, units, mean, q10 … q90, pit_low, pit_high of the days
    that count: units as they were sold, the forecast as it is for the time that goods were there. origin_of (slots,):
    the number of the slot's origin; nodes: by level, the number of each series' node.
    """

    models: list[str]
    origins: list[date]
    slots: pl.DataFrame
    origin_of: Whole
    pairs: pl.DataFrame
    history: SalesHistory
    nodes: pl.DataFrame

    def dense(self, model: int, value: pl.Expr) -> Array:
        """(series, slots) of one model, zero where the day does not count."""
        pairs = self.pairs.lazy().filter(pl.col("model") == model).select("series", "slot", value.alias("value"))
        series, slot, values = (column.to_numpy() for column in pairs.collect())
        cells = np.zeros((self.nodes.height, len(self.origin_of)))
        cells[series, slot] = values
        return cells

    @cached_property
    def counted(self) -> Array:
        """(series, slots), one where the day counts."""
        return self.dense(0, pl.lit(1.0))

    @cached_property
    def units(self) -> Array:
        """(series, slots), zero where the day does not count."""
        return self.dense(0, pl.col("units"))

    @cached_property
    def means(self) -> list[Array]:
        """Of each model (series, slots), zero where the day does not count."""
        return [self.dense(model, pl.col("mean")) for model in range(len(self.models))]

    def members(self, level: Level) -> Any:
        """(nodes, series), one where the series belongs to the node of `level`: a sparse matrix that sums rows."""
        from scipy.sparse import csr_array

        node = self.nodes[level.name].to_numpy()
        return csr_array((np.ones(len(node)), (node, np.arange(len(node)))))


def gather(
    backtest: pl.DataFrame,
    demand: pl.DataFrame,
    levels: Sequence[Level],
    products: pl.DataFrame,
    stores: pl.DataFrame,
) -> ScoringInputs:
    """What `backtest` is scored from, with `demand` (`daily_demand`). Raises ValueError as `score_backtest` says."""
    series = backtest.select(SERIES).unique().sort(SERIES).with_row_index("series")
    slots = backtest.select("forecast_origin", "date").unique().sort("forecast_origin", "date").with_row_index("slot")
    models, origins = (backtest[name].unique().sort().to_list() for name in ("model", "forecast_origin"))
    slots = slots.with_columns(origin=pl.col("forecast_origin").rank("dense").cast(pl.UInt8) - 1)
    pairs = _numbered(backtest, series, slots, models)
    _require_same_days(pairs, models, origins)
    history = _history(demand, series, origins)
    codes = pl.Series(history.classes[pairs["series"].to_numpy(), pairs["origin"].to_numpy()], dtype=pl.UInt8)
    pairs = pairs.with_columns(demand_class=codes)
    return ScoringInputs(
        models=models,
        origins=origins,
        slots=slots.drop("origin"),
        origin_of=slots["origin"].to_numpy().astype(np.int64),
        pairs=_counting(pairs),
        history=history,
        nodes=_level_nodes(attach_static(series, products, stores), levels),
    )


def _level_nodes(series: pl.DataFrame, levels: Sequence[Level]) -> pl.DataFrame:
    """A column per level: the number of the node that each row of `series` belongs to, from 0."""
    return series.select(
        (pl.struct(level.columns).rank("dense") - 1 if level.columns else pl.lit(0, pl.UInt32)).alias(level.name)
        for level in levels
    )


def _numbered(backtest: pl.DataFrame, series: pl.DataFrame, slots: pl.DataFrame, models: list[str]) -> pl.DataFrame:
    """Names as numbers, numbers as f64. A missing forecast is NaN, and so are the metrics made of it."""
    values = [for_the_time_in_stock().fill_null(float("nan")), *map(_pit, PIT)]
    placed = backtest.lazy().join(series.lazy(), on=SERIES).join(slots.lazy(), on=["forecast_origin", "date"])
    number = pl.col("model").cast(pl.Enum(models)).to_physical().alias("model")
    known = pl.col("units").cast(pl.Float64)
    return placed.select(number, "origin", "series", "slot", "exposure", known, *values).collect()


def _pit(name: str) -> pl.Expr:
    """Null where the pair says nothing about a distribution; NaN without a forecast."""
    return pl.when(pl.col("mean").is_not_null()).then(pl.col(name).cast(pl.Float64)).otherwise(float("nan")).alias(name)


def _require_same_days(pairs: pl.DataFrame, models: list[str], origins: list[date]) -> None:
    cell = (pl.col("series").cast(pl.Int64) * (pl.col("slot").max() + 1) + pl.col("slot")).alias("cell")
    keyed = pairs.select("model", "origin", cell)
    expected = keyed.group_by("origin").agg(pl.col("cell").n_unique().alias("expected"))
    forecast = keyed.group_by("model", "origin").agg(
        pl.col("cell").n_unique().alias("forecast"), pl.len().alias("rows")
    )
    counted = forecast.join(expected, on="origin").sort("model", "origin")
    wrong = counted.filter((pl.col("forecast") < pl.col("expected")) | (pl.col("rows") > pl.col("expected")))
    for row in wrong.head(1).iter_rows(named=True):
        raise ValueError(
            f"backtest: {models[row['model']]} at origin {origins[row['origin']]} has {row['rows']} rows for "
            f"{row['forecast']} series-days, the models together have {row['expected']} series-days; rebuild the "
            "backtest so that every model forecasts the same series and days, each once"
        )


def _counting(pairs: pl.DataFrame) -> pl.DataFrame:
    """The days whose units are known and on which there were goods at some time."""
    return pairs.filter(pl.col("units").is_not_null(), pl.col("exposure") > 0).drop("exposure")


def _history(demand: pl.DataFrame, series: pl.DataFrame, origins: list[date]) -> SalesHistory:
    past = _past(demand, series, origins[-1])
    number, day = past["series"].to_numpy(), past["date"].to_physical().to_numpy()
    dates = np.unique(day)
    period = np.searchsorted(dates, np.arange(dates[0], dates[-1] + 1))[day - dates[0]] if len(day) else day
    units = np.zeros((series.height, len(dates)))
    units[number, period] = past["units"].to_numpy()
    first = np.full(series.height, len(dates))
    np.minimum.at(first, number, period)
    ends = np.array(origins, "M8[D]").astype(np.int64)
    return SalesHistory(
        units=units,
        first=first,
        known=[int(end) for end in np.searchsorted(dates, ends, side="right")],
        weights=np.stack([_weights(past, origin, series.height) for origin in origins], axis=1),
        classes=_classes(past, origins, series.height),
    )


def _past(demand: pl.DataFrame, series: pl.DataFrame, last: date) -> pl.DataFrame:
    """The rows of `demand` up to `last` with the number of their `series`; units that say nothing of demand are as they
    last were, so that they move no scale.

    Rows of a series lie together, so only the first of each run is joined: six times faster than joining every row.
    """
    keys = demand.select(SERIES)
    begins = keys.select(pl.any_horizontal((pl.col(key) != pl.col(key).shift(1)).fill_null(True) for key in SERIES))
    starts = begins.to_series()
    firsts = keys.filter(starts).join(series, on=SERIES, how="left", maintain_order="left")
    own = firsts["series"].gather(starts.cum_sum() - 1)
    rows = demand.select("date", units_of_demand(), "price", "in_stock", "open", own)
    rows = rows.filter(pl.col("date") <= last, pl.col("series").is_not_null())
    held = pl.col("units").forward_fill().over("series").fill_null(0)
    return rows.with_columns(held) if rows["units"].null_count() else rows


def _weights(past: pl.DataFrame, origin: date, count: int) -> Array:
    first = origin - timedelta(days=WEIGHT_DAYS)
    recent = past.filter(pl.col("date") > first, pl.col("date") <= origin)
    price = pl.col("price").fill_null(pl.col("price").mean()).fill_null(1.0)
    revenue = recent.select("series", weight=pl.col("units").cast(pl.Float64) * price)
    return np.bincount(revenue["series"].to_numpy(), revenue["weight"].to_numpy(), count).astype(np.float64)


def _classes(past: pl.DataFrame, origins: list[date], count: int) -> Whole:
    """A series that has not sold by an origin is new there."""
    found = demand_classes(past, origins, ["series"])
    classes = np.full((count, len(origins)), DEMAND_CLASSES.index(NEW))
    origin = np.searchsorted(np.array(origins, "M8[D]"), found["forecast_origin"].to_numpy())
    classes[found["series"].to_numpy(), origin] = found["demand_class"].to_physical().to_numpy()
    return classes
