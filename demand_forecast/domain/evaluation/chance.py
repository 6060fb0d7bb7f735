"""What chance alone makes of bias and calibration error: what a right model would show with as few outcomes.

Outcomes are not independent: what a model gets wrong about a series at an origin it gets wrong on all days ahead, and a
day's weather is that of all series. So both errors are clustered by series at an origin and by day, as the differences
of `difference.py` are by series and by day.
"""

from dataclasses import dataclass
from math import inf, nan, sqrt

import numpy as np
import polars as pl

from demand_forecast.domain.demand.hierarchy import SERIES_LEVEL, TOTAL
from demand_forecast.domain.evaluation import metrics
from demand_forecast.domain.evaluation.difference import clustered_error
from demand_forecast.domain.tables import QUANTILE_LEVELS

ONE_SIDED = 0.05
TWO_SIDED = ONE_SIDED / 2
LARGEST_OF_NINE = (
    0.00933  # one-sided, where P(max |B(p)| > c) = 0.05 at the nine p: c = 1.176 = 2.352 B(0.5)'s deviation
)
LEVELS = [f"below_{10 * tenth}" for tenth in range(1, 10)]
CHANCE = {  # as metrics of `backtest_metrics`, each at its level
    "outcomes": SERIES_LEVEL.name,
    "bias_deviation": TOTAL.name,
    "bias_freedom": TOTAL.name,
    "calibration_deviation": SERIES_LEVEL.name,
    "calibration_freedom": SERIES_LEVEL.name,
}


@dataclass(frozen=True)
class Deviation:
    """The standard error of a figure and the degrees of freedom it is known with; none of one series at one origin."""

    error: float
    freedom: float

    def beyond(self, significance: float) -> float:
        """What is exceeded by chance with this probability, one-sided; infinite where nothing tells."""
        from scipy.stats import t

        return float(t.isf(significance, self.freedom)) * self.error if self.freedom > 0 else inf


@dataclass(frozen=True)
class Chance:
    """How far bias and calibration error of one model may be out of their limits by chance, with so many outcomes.

    A figure is out of bounds where it is above its limit + allowance: more than a model at the limit shows in one case
    of 20 (one-sided Student's t), and more than a right model does, whose bias may be off to either side, and whose
    calibration error is the largest of nine gaps. With many outcomes the allowance vanishes.
    """

    outcomes: int
    bias: Deviation
    calibration: Deviation

    def bias_allowance(self, limit: float) -> float:
        return _allowance(self.bias, limit, TWO_SIDED)

    def calibration_allowance(self, limit: float) -> float:
        return _allowance(self.calibration, limit, LARGEST_OF_NINE)


def _allowance(deviation: Deviation, limit: float, of_a_right_model: float) -> float:
    return max(deviation.beyond(ONE_SIDED), deviation.beyond(of_a_right_model) - limit)


def measure_chance(pairs: pl.DataFrame) -> Chance:
    """The chance in the mean over origins of bias and calibration error.

    `pairs`: of one model, those that count: `series, forecast_origin, date, units, mean, pit_low, pit_high`.

    Bias: a pair's influence is (f - y - bias y) / (origins x units sold from its origin).

    Calibration error: at level p the share of transforms below p has under a right model the variance p (1 - p) / n of
    n independent outcomes, at most 1 / (4 n), whatever these outcomes happen to be; of clustered ones it is `design`
    times that, the ratio of both variances over all nine levels together, at least 1 (Kish 1965, Survey Sampling, ch.
    5.4 and 8.2). Its largest gap is that of a Brownian bridge at nine points (Kolmogorov 1933; Stephens 1974, J. Am.
    Stat. Assoc. 69, 730-737), in units of the deviation at p = 0.5. Clusters: see `compare`, with its source.
    """
    pairs = _in_blocks(pairs.with_columns(pl.col("units", "mean", "pit_low", "pit_high").cast(pl.Float64)))
    told = pairs.drop_nulls(["pit_low", "pit_high"])
    return Chance(len(told), _of_bias(pairs), _of_calibration(told))


def chance_metrics(chance: Chance) -> dict[str, float]:
    """As values of CHANCE."""
    bias, calibration = chance.bias, chance.calibration
    values = (float(chance.outcomes), bias.error, bias.freedom, calibration.error, calibration.freedom)
    return dict(zip(CHANCE, values, strict=True))


def read_chance(scores: pl.DataFrame) -> dict[str, Chance]:
    """By model, the chance kept in `scores` (`backtest_metrics`); none of a table that an earlier release wrote."""
    kept = scores.filter(pl.col("forecast_origin").is_null(), pl.col("metric").is_in([*CHANCE]))
    values: dict[str, dict[str, float]] = {}
    for model, metric, value in kept.select("model", "metric", "value").iter_rows():
        values.setdefault(model, {})[metric] = nan if value is None else value
    return {model: _chance(**found) for model, found in values.items()}


def _chance(
    outcomes: float,
    bias_deviation: float,
    bias_freedom: float,
    calibration_deviation: float,
    calibration_freedom: float,
) -> Chance:
    bias, calibration = Deviation(bias_deviation, bias_freedom), Deviation(calibration_deviation, calibration_freedom)
    return Chance(int(outcomes), bias, calibration)


def _in_blocks(pairs: pl.DataFrame) -> pl.DataFrame:
    """With the `block` of each origin: those whose days overlap share outcomes, and are one."""
    spans = pairs.group_by("forecast_origin").agg(last=pl.col("date").max()).sort("forecast_origin")
    reached = pl.col("last").cum_max().shift(1)
    blocks = spans.select("forecast_origin", block=(pl.col("forecast_origin") >= reached).fill_null(False).cum_sum())
    return pairs.join(blocks, on="forecast_origin")


def _of_bias(pairs: pl.DataFrame) -> Deviation:
    sold = pl.col("units").sum().over("forecast_origin")
    pairs = pairs.with_columns(sold=sold).filter(pl.col("sold") > 0)
    share = 1 / (pl.col("sold") * pl.col("forecast_origin").n_unique())
    error = metrics.error()
    bias = (error * share).sum()
    return _deviation(pairs, pairs.select((error - bias * pl.col("units")) * share))


def _of_calibration(told: pl.DataFrame) -> Deviation:
    share = 1 / (pl.len().over("forecast_origin") * pl.col("forecast_origin").n_unique())
    parts = told.with_columns(share=share).with_columns(
        metrics.pit_part_below(level).alias(name) for name, level in zip(LEVELS, QUANTILE_LEVELS, strict=True)
    )
    gaps = (pl.col(name) - (pl.col(name) * pl.col("share")).sum() for name in LEVELS)
    found = _deviation(told, parts.select(gap * pl.col("share") for gap in gaps))
    if not found.freedom:
        return found
    levels = np.array(QUANTILE_LEVELS)
    independent = float((parts["share"] ** 2).sum())  # 1 / n where origins have as many outcomes
    design = max(1.0, found.error**2 / (independent * float((levels * (1 - levels)).sum())))
    return Deviation(0.5 * sqrt(design * independent), found.freedom)


def _deviation(pairs: pl.DataFrame, influence: pl.DataFrame) -> Deviation:
    series, block, day = (pairs[name].to_physical().to_numpy().astype(np.int64) for name in ("series", "block", "date"))
    piece = series * (block.max(initial=0) + 1) + block
    if len(np.unique(piece)) < 2:
        return Deviation(nan, 0.0)
    return Deviation(*clustered_error(influence.to_numpy(), piece, day))
