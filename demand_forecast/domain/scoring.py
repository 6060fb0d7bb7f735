"""A backtest scored: every metric of every model at every level of the hierarchy, by origin and over all origins."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from demand_forecast.domain import metrics
from demand_forecast.domain.hierarchy import SERIES_LEVEL, TOTAL, Level, attach_static
from demand_forecast.domain.tables import QUANTILE_COLUMNS, SERIES

Array = npt.NDArray[np.float64]

ALL_LEVELS = "all"
WEIGHT_DAYS = 28
MIN_IN_STOCK = 0.5
VALUE_ADDED = ("wape", "wrmsse", "wql")
SUMMARY = {
    "wape": SERIES_LEVEL.name,
    "bias": TOTAL.name,
    "rmsse": SERIES_LEVEL.name,
    "wrmsse": ALL_LEVELS,
    "wql": SERIES_LEVEL.name,
    "coverage_80": SERIES_LEVEL.name,
    "calibration_error": SERIES_LEVEL.name,
    "fva_wape": SERIES_LEVEL.name,
    "fva_wrmsse": ALL_LEVELS,
    "fva_wql": SERIES_LEVEL.name,
}
RUN = ["model", "forecast_origin"]
NODE = ["node", "forecast_origin"]


@dataclass(frozen=True)
class Evidence:
    """What every level is scored from; `series` is a number, and the row of that number in `nodes`.

    pairs: model, forecast_origin, series, date, units, mean, q10 … q90 of the days that count; history: series, date,
    period (its number), units, price; weights: series, forecast_origin, weight; nodes: by level, a column of numbers.
    """

    pairs: pl.DataFrame
    history: pl.DataFrame
    weights: pl.DataFrame
    nodes: pl.DataFrame
    origins: list[date]
    season: int

    def at(self, level: Level, frame: pl.DataFrame) -> pl.DataFrame:
        """`frame` with `series` turned into the `node` of `level`."""
        node = self.nodes[level.name].gather(frame["series"])
        return frame.drop("series").with_columns(node.alias("node"))

    def known_periods(self) -> list[tuple[date, int]]:
        """Each origin with the number of periods up to it."""
        dates = self.history["date"].unique()
        return [(origin, int((dates <= origin).sum())) for origin in self.origins]


def score_backtest(
    backtest: pl.DataFrame,
    demand: pl.DataFrame,
    levels: Sequence[Level],
    products: pl.DataFrame,
    stores: pl.DataFrame,
    *,
    season: int,
    baseline: str = "seasonal_naive",
) -> pl.DataFrame:
    """Model, forecast_origin, level, metric, value of every model in `backtest`.

    `demand` is `daily_demand`; `season` is in periods (7 days, 52 weeks) and scales MASE. Every level has wape, bias,
    rmsse (weighted over its nodes), mase (plain mean over its nodes) and fva_wape; quantiles of series do not add up,
    so pinball, wql, coverage_80 and calibration_error exist at level `series` only; wrmsse is at level `all`. A null
    origin is the mean of the origins' values; its fva_* compare these means.

    A day on which a series was in stock for less than half of the opening time says little about demand: it is left
    out, forecast and actual, at every level. Closed days count. Weights take the mean price for an unknown one.

    Raises ValueError when the models did not forecast the same series and days.
    """
    series = backtest.select(SERIES).unique().sort(SERIES).with_row_index("series")
    pairs = _scored_pairs(backtest, demand, series)
    origins = pairs["forecast_origin"].unique().sort().to_list()
    history = _history(demand, series, origins[-1])
    weights = pl.concat([_weights(history, origin) for origin in origins])
    nodes = _level_nodes(attach_static(series, products, stores), levels)
    evidence = Evidence(pairs, history, weights, nodes, origins, season)
    by_level = pl.concat([*(_score_level(evidence, level) for level in levels), _score_quantiles(evidence.pairs)])
    by_origin = pl.concat([by_level, _wrmsse(by_level)])
    scores = pl.concat([by_origin, _mean_over_origins(by_origin)])
    return pl.concat([scores, _value_added(scores, baseline)]).sort(*RUN, "level", "metric")


def summary_table(scores: pl.DataFrame) -> pl.DataFrame:
    """One row per model of `scores` (backtest_metrics), each metric as a mean over origins; best wrmsse first.

    wape, rmsse and quantile metrics are those of level `series`, bias that of level `total`.
    """
    chosen = pl.DataFrame({"metric": list(SUMMARY), "level": list(SUMMARY.values())})
    wide = (
        scores.filter(pl.col("forecast_origin").is_null())
        .join(chosen, on=["metric", "level"], how="semi")
        .pivot("metric", index="model", values="value")
    )
    missing = [pl.lit(None, pl.Float64).alias(name) for name in SUMMARY if name not in wide.columns]
    return wide.with_columns(missing).select("model", *SUMMARY).sort("wrmsse", "model", nulls_last=True)


def _level_nodes(series: pl.DataFrame, levels: Sequence[Level]) -> pl.DataFrame:
    """A column per level: the number of the node that each row of `series` belongs to, from 0."""
    return series.select(
        (pl.struct(level.columns).rank("dense") - 1 if level.columns else pl.lit(0, pl.UInt32)).alias(level.name)
        for level in levels
    )


def _scored_pairs(backtest: pl.DataFrame, demand: pl.DataFrame, series: pl.DataFrame) -> pl.DataFrame:
    """The days that count, numbers as f64. A forecast that is missing is NaN, and so are the metrics it goes into."""
    numbered = backtest.join(series, on=SERIES).select(
        pl.col("model").cast(pl.Categorical),
        "forecast_origin",
        "series",
        "date",
        pl.col("units").cast(pl.Float64),
        pl.col("mean", *QUANTILE_COLUMNS).cast(pl.Float64).fill_null(float("nan")),
    )
    _require_same_days(numbered)
    no_stock = demand.filter(pl.col("in_stock") < MIN_IN_STOCK).join(series, on=SERIES).select("series", "date")
    counting = numbered.filter(pl.col("units").is_not_null()).join(no_stock, on=["series", "date"], how="anti")
    if counting.is_empty():
        raise ValueError("backtest: no day with known units and goods in stock to score; check units and in_stock")
    return counting


def _require_same_days(numbered: pl.DataFrame) -> None:
    days = pl.struct("series", "date").n_unique()
    asked = numbered.group_by("forecast_origin").agg(days.alias("asked"))
    answered = numbered.group_by(RUN).agg(days.alias("answered"), pl.len().alias("rows"))
    counted = answered.join(asked, on="forecast_origin").sort(RUN)
    wrong = counted.filter((pl.col("answered") < pl.col("asked")) | (pl.col("rows") > pl.col("asked")))
    for row in wrong.head(1).iter_rows(named=True):
        raise ValueError(
            f"backtest: {row['model']} at origin {row['forecast_origin']} has {row['rows']} rows for {row['answered']} "
            f"series-days, the models together have {row['asked']} series-days; rebuild the backtest so that every "
            "model forecasts the same series and days, each once"
        )


def _history(demand: pl.DataFrame, series: pl.DataFrame, last: date) -> pl.DataFrame:
    return (
        demand.lazy()
        .filter(pl.col("date") <= last)
        .select(*SERIES, "date", "units", "price")
        .join(series.lazy(), on=SERIES)
        .select("series", "date", "units", "price")
        .with_columns(period=pl.col("date").rank("dense") - 1)
        .collect()
    )


def _weights(history: pl.DataFrame, origin: date) -> pl.DataFrame:
    """series, forecast_origin, weight: revenue of the last 28 days up to the origin, units where no price is known."""
    first = origin - timedelta(days=WEIGHT_DAYS)
    recent = history.filter(pl.col("date") > first, pl.col("date") <= origin)
    price = pl.col("price").fill_null(pl.col("price").mean()).fill_null(1.0)
    revenue = recent.select("series", weight=pl.col("units").cast(pl.Float64) * price)
    return revenue.group_by("series").agg(pl.lit(origin).alias("forecast_origin"), pl.col("weight").sum())


def _node_scales(evidence: Evidence, level: Level) -> pl.DataFrame:
    """node, forecast_origin, squared_scale, absolute_scale: how far demand moves in one period, in one season."""
    units = _node_demand(evidence.at(level, evidence.history))
    step, season_step = _moves(units, 1), _moves(units, evidence.season)
    step *= step
    return pl.concat(
        pl.DataFrame(
            {
                "node": np.arange(len(units), dtype=np.uint32),
                "forecast_origin": [origin] * len(units),
                "squared_scale": _mean_until(step, periods),
                "absolute_scale": _mean_until(season_step, periods),
            }
        ).with_columns(pl.col("squared_scale", "absolute_scale").fill_nan(None))
        for origin, periods in evidence.known_periods()
    )


def _node_demand(history: pl.DataFrame) -> Array:
    """Units, (nodes, periods), NaN before a node's first period. Dense, because `daily_demand` has no gaps."""
    node, period, units = (history[column].to_numpy() for column in ("node", "period", "units"))
    nodes, periods = int(node.max()) + 1, int(period.max()) + 1
    cells = node.astype(np.int64) * periods + period
    matrix = np.bincount(cells, units, nodes * periods).astype(np.float64, copy=False).reshape(nodes, periods)
    first = np.full(nodes, periods)
    np.minimum.at(first, node, period)
    matrix[np.arange(periods) < first[:, None]] = np.nan
    return matrix


def _moves(units: Array, lag: int) -> Array:
    """|y_t - y_{t-lag}|, (nodes, periods), NaN where either is unknown."""
    moves = np.full_like(units, np.nan)
    np.abs(units[:, lag:] - units[:, :-lag], out=moves[:, lag:])
    return moves


def _mean_until(moves: Array, periods: int) -> Array:
    """The mean of what is known in the first `periods`, (nodes,); NaN where nothing is."""
    known = ~np.isnan(moves[:, :periods])
    with np.errstate(invalid="ignore"):
        return moves[:, :periods].sum(axis=1, where=known) / known.sum(axis=1)


def _score_level(evidence: Evidence, level: Level) -> pl.DataFrame:
    weights = evidence.at(level, evidence.weights).group_by(NODE).agg(pl.col("weight").sum())
    pairs = evidence.at(level, evidence.pairs.select(*RUN, "series", "date", "units", "mean"))
    node_days = pairs.group_by(*RUN, "node", "date").agg(pl.col("units", "mean").sum())
    scaled = node_days.join(_node_scales(evidence, level), on=NODE, how="left")
    nodes = scaled.group_by(*RUN, "node").agg(rmsse=metrics.rmsse(), mase=metrics.mase())
    weighted = nodes.join(weights, on=NODE, how="left")
    scores = node_days.group_by(RUN).agg(wape=metrics.wape(), bias=metrics.bias())
    node_means = weighted.group_by(RUN).agg(metrics.weighted_mean("rmsse"), pl.col("mase").mean())
    return _long(scores.join(node_means, on=RUN), level.name)


def _score_quantiles(pairs: pl.DataFrame) -> pl.DataFrame:
    scores = pairs.group_by(RUN).agg(
        pinball=metrics.pinball(),
        wql=metrics.wql(),
        coverage_80=metrics.coverage_80(),
        calibration_error=metrics.calibration_error(),
    )
    return _long(scores, SERIES_LEVEL.name)


def _wrmsse(by_level: pl.DataFrame) -> pl.DataFrame:
    levels = by_level.filter(pl.col("metric") == "rmsse")
    return _long(levels.group_by(RUN).agg(wrmsse=metrics.wrmsse()), ALL_LEVELS)


def _long(wide: pl.DataFrame, level: str) -> pl.DataFrame:
    scores = wide.unpivot(index=RUN, variable_name="metric", value_name="value")
    return scores.select(
        pl.col("model").cast(pl.String), "forecast_origin", pl.lit(level).alias("level"), "metric", "value"
    )


def _mean_over_origins(by_origin: pl.DataFrame) -> pl.DataFrame:
    means = by_origin.group_by("model", "level", "metric").agg(pl.col("value").mean())
    return means.select("model", pl.lit(None, pl.Date).alias("forecast_origin"), "level", "metric", "value")


def _value_added(scores: pl.DataFrame, baseline: str) -> pl.DataFrame:
    """fva_* of every model, none when the baseline was not backtested."""
    place = ["forecast_origin", "level", "metric"]
    naive = scores.filter(pl.col("model") == baseline).select(*place, pl.col("value").alias("naive"))
    compared = scores.filter(pl.col("metric").is_in(VALUE_ADDED)).join(naive, on=place, nulls_equal=True)
    value = metrics.forecast_value_added(pl.col("value"), pl.col("naive"))
    return compared.select("model", "forecast_origin", "level", metric="fva_" + pl.col("metric"), value=value)
