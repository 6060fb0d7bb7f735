"""A backtest scored: every metric of every model by level and class of demand, by origin and over all origins."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import polars as pl

from demand_forecast.domain.demand.demand_classes import DEMAND_CLASSES
from demand_forecast.domain.demand.hierarchy import SERIES_LEVEL, TOTAL, Level
from demand_forecast.domain.evaluation import metrics
from demand_forecast.domain.evaluation.backtest import counting_rows
from demand_forecast.domain.evaluation.chance import CHANCE, chance_metrics, measure_chance
from demand_forecast.domain.evaluation.scoring_inputs import Array, ScoringInputs, Whole, gather
from demand_forecast.domain.models import BASELINE_MODEL

ALL_LEVELS = "all"
CLASS_LEVEL = "class "
BLOCK = 256  # nodes whose history is in hand at once: three times faster than all at once, out of the cache
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
RUN = ["model", "origin"]
PLACE = ["model", "forecast_origin", "level"]
SCORES = {"model": pl.String, "forecast_origin": pl.Date, "level": pl.String, "metric": pl.String, "value": pl.Float64}


def score_backtest(
    backtest: pl.DataFrame,
    demand: pl.DataFrame,
    levels: Sequence[Level],
    products: pl.DataFrame,
    stores: pl.DataFrame,
    *,
    season: int,
) -> pl.DataFrame:
    """Model, forecast_origin, level, metric, value of every model in `backtest`.

    `demand` is `daily_demand`; `season` is in periods (7 days, 52 weeks) and scales MASE. Every level has wape, bias,
    rmsse (weighted over its nodes), mase (plain mean over its nodes) and fva_wape; quantiles of series do not add up,
    so pinball, wql, coverage_80, calibration_error and its shares pit_10 … pit_100 exist at level `series` only; wrmsse
    is at level `all`. Level `class smooth`, … has the metrics of level `series` over the series of that class
    (`demand_classes`; none that no series has), their number `series` and `share_of_units`. A null origin is the mean
    of the origins' values; its fva_* and calibration_error are those of the means.

    Units are compared with the forecast for the time in which goods were there, mean and quantiles times `exposure`: a
    day without goods is none, one of which half was out of stock counts half. That is without bias for the mean and
    weighs its quantiles' losses alike. Closed days count. Weights take the mean price for an unknown one.

    A null origin also has the CHANCE in bias and calibration error. Empty where no day counts.
    Raises ValueError when the models did not forecast the same series and days.
    """
    if counting_rows(backtest).is_empty():
        return pl.DataFrame(schema=SCORES)
    inputs = gather(backtest, demand, levels, products, stores)
    by_level = [part for level in levels for part in _score_level(inputs, level, season)]
    by_origin = pl.concat([*by_level, *_score_quantiles(inputs), _class_sizes(inputs)])
    by_origin = pl.concat([by_origin, _wrmsse(by_origin)])
    scores = pl.concat([by_origin, _mean_over_origins(by_origin)])
    return pl.concat([scores, _calibration(scores), _value_added(scores), _chance(inputs)]).sort(*PLACE, "metric")


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


def _score_level(inputs: ScoringInputs, level: Level, season: int) -> Iterator[pl.DataFrame]:
    """The level's scores, after `series` those of its classes too."""
    for days in _node_days(inputs, level, season):
        yield _named(_score_nodes(days, RUN), inputs, level.name)
        if level == SERIES_LEVEL:
            yield _named(_score_nodes(_classed(days, inputs), [*RUN, "demand_class"]), inputs)


def _score_nodes(days: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    nodes = days.group_by(*by, "node").agg(pl.col("weight").first(), rmsse=metrics.rmsse(), mase=metrics.mase())
    means = nodes.group_by(by).agg(metrics.weighted_mean("rmsse"), pl.col("mase").mean())
    return days.group_by(by).agg(wape=metrics.wape(), bias=metrics.bias()).join(means, on=by)


def _classed(days: pl.DataFrame, inputs: ScoringInputs) -> pl.DataFrame:
    series = np.argsort(inputs.nodes[SERIES_LEVEL.name].to_numpy())
    found = inputs.history.classes[series[days["node"].to_numpy()], days["origin"].to_numpy()]
    return days.with_columns(demand_class=pl.Series(found, dtype=pl.UInt8))


def _node_days(inputs: ScoringInputs, level: Level, season: int) -> Iterator[pl.DataFrame]:
    """For each model: model, origin, node, units, mean, weight and both scales of every day of every node."""
    members = inputs.members(level)
    node, slot = np.nonzero(members @ inputs.counted)
    origin = inputs.origin_of[slot]
    squared, absolute = _node_scales(inputs, level, season)
    known = pl.DataFrame(
        {
            "origin": origin.astype(np.uint8),
            "node": node.astype(np.uint32),
            "units": (members @ inputs.units)[node, slot],
            "weight": (members @ inputs.history.weights)[node, origin],
            "squared_scale": squared[node, origin],
            "absolute_scale": absolute[node, origin],
        }
    ).with_columns(pl.col("squared_scale", "absolute_scale").fill_nan(None))
    for model, mean in enumerate(inputs.means):
        forecast = pl.Series((members @ mean)[node, slot])
        yield known.with_columns(model=pl.lit(model, pl.UInt32), mean=forecast)


def _node_scales(inputs: ScoringInputs, level: Level, season: int) -> tuple[Array, Array]:
    """(nodes, origins) each: the mean square of what demand moves in one period, and the mean of it in one season."""
    history, members = inputs.history, inputs.members(level)
    first = np.full(members.shape[0], history.units.shape[1])
    np.minimum.at(first, inputs.nodes[level.name].to_numpy(), history.first)
    squared, absolute = [], []
    for start in range(0, len(first), BLOCK):
        rows = slice(start, start + BLOCK)
        units, begun = members[rows] @ history.units, first[rows]
        squared.append(_mean_until(_moves(units, begun, 1) ** 2, begun, 1, history.known))
        absolute.append(_mean_until(_moves(units, begun, season), begun, season, history.known))
    return np.concatenate(squared), np.concatenate(absolute)


def _moves(units: Array, first: Whole, lag: int) -> Array:
    """|y_t - y_{t-lag}|, (nodes, periods - lag), zero where y_{t-lag} is before the node's first period."""
    moves = np.abs(units[:, lag:] - units[:, :-lag])
    moves *= np.arange(moves.shape[1]) >= first[:, None]
    return moves


def _mean_until(moves: Array, first: Whole, lag: int, known: Sequence[int]) -> Array:
    """(nodes, origins): the mean move up to each origin; NaN where there is none."""
    ends = [max(periods - lag, 0) for periods in known]
    sums = np.cumsum([moves[:, start:end].sum(axis=1) for start, end in pairwise([0, *ends])], axis=0).T
    counts = np.array(ends) - first[:, None]
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)


def _score_quantiles(inputs: ScoringInputs) -> Iterator[pl.DataFrame]:
    for name, by in ((SERIES_LEVEL.name, RUN), (None, [*RUN, "demand_class"])):
        scores = inputs.pairs.group_by(by).agg(
            pinball=metrics.pinball(), wql=metrics.wql(), coverage_80=metrics.coverage_80(), **metrics.pit_shares()
        )
        yield _named(scores, inputs, name)


def _class_sizes(inputs: ScoringInputs) -> pl.DataFrame:
    sizes = inputs.pairs.group_by(*RUN, "demand_class").agg(
        pl.col("series").n_unique().cast(pl.Float64), share_of_units=pl.col("units").sum()
    )
    share = metrics.ratio(pl.col("share_of_units"), pl.col("share_of_units").sum().over(RUN))
    return _named(sizes.with_columns(share_of_units=share), inputs)


def _named(wide: pl.DataFrame, inputs: ScoringInputs, level: str | None = None) -> pl.DataFrame:
    """Long, with names for numbers; without a `level` the level is the class."""
    by_class = CLASS_LEVEL + pl.col("demand_class").replace_strict(dict(enumerate(DEMAND_CLASSES)))
    named = wide.with_columns(
        pl.col("model").replace_strict(dict(enumerate(inputs.models))),
        pl.col("origin").replace_strict(dict(enumerate(inputs.origins))).alias("forecast_origin"),
        (by_class if level is None else pl.lit(level)).alias("level"),
    )
    return _long(named.drop("origin", "demand_class", strict=False))


def _long(wide: pl.DataFrame) -> pl.DataFrame:
    scores = wide.unpivot(index=PLACE, variable_name="metric", value_name="value")
    return scores.select(*PLACE, "metric", "value")


def _wrmsse(by_level: pl.DataFrame) -> pl.DataFrame:
    levels = by_level.filter(pl.col("metric") == "rmsse", ~pl.col("level").str.starts_with(CLASS_LEVEL))
    means = levels.group_by("model", "forecast_origin").agg(wrmsse=metrics.wrmsse())
    return _long(means.with_columns(level=pl.lit(ALL_LEVELS)))


def _mean_over_origins(by_origin: pl.DataFrame) -> pl.DataFrame:
    means = by_origin.group_by("model", "level", "metric").agg(pl.col("value").mean())
    return means.with_columns(forecast_origin=pl.lit(None, pl.Date)).select(by_origin.columns)


def _calibration(scores: pl.DataFrame) -> pl.DataFrame:
    shares = scores.filter(pl.col("metric").is_in(metrics.PIT_SHARES)).pivot("metric", index=PLACE, values="value")
    return _long(shares.select(*PLACE, calibration_error=metrics.calibration_error()))


def _chance(inputs: ScoringInputs) -> pl.DataFrame:
    rows: list[tuple[str, None, str, str, float]] = []
    for number, model in enumerate(inputs.models):
        pairs = inputs.pairs.filter(pl.col("model") == number).join(inputs.slots, on="slot")
        values = chance_metrics(measure_chance(pairs))
        rows += [(model, None, CHANCE[metric], metric, value) for metric, value in values.items()]
    return pl.DataFrame(rows, schema=SCORES, orient="row")


def _value_added(scores: pl.DataFrame) -> pl.DataFrame:
    """fva_* of every model, none when the baseline was not backtested."""
    place = ["forecast_origin", "level", "metric"]
    naive = scores.filter(pl.col("model") == BASELINE_MODEL).select(*place, pl.col("value").alias("naive"))
    compared = scores.filter(pl.col("metric").is_in(VALUE_ADDED)).join(naive, on=place, nulls_equal=True)
    value = metrics.forecast_value_added(pl.col("value"), pl.col("naive"))
    return compared.select(*PLACE, metric="fva_" + pl.col("metric"), value=value)
