"""Live accuracy: every published forecast scored when its actuals arrive, as sums that add up over any window."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple

import polars as pl

from demand_forecast.domain.demand.calendar import Frequency, calendar_of
from demand_forecast.domain.demand.demand_classes import NEW
from demand_forecast.domain.demand.exposure import exposure, for_the_time_in_stock
from demand_forecast.domain.demand.hierarchy import SERIES_LEVEL, Level, attach_static
from demand_forecast.domain.evaluation.metrics import forecast_value_added, quantile_loss, ratio
from demand_forecast.domain.evaluation.roles import BASELINE, CHAMPION, PREVIOUS, Role
from demand_forecast.domain.tables import SERIES

ALL = "all"
KEY: dict[str, pl.DataType] = {
    "date": pl.Date(),
    "forecast_origin": pl.Date(),
    "horizon": pl.Int32(),
    "role": pl.String(),
    "model": pl.String(),
    "model_version": pl.String(),
    "level": pl.String(),
    "demand_class": pl.String(),
}
SUMS = ("units", "forecast", "error", "absolute_error", "squared_error", "quantile_loss")
SCORES: dict[str, pl.DataType] = {**KEY, "pairs": pl.Int64(), **dict.fromkeys(SUMS, pl.Float64())}
FORECAST = ["date", "forecast_origin", "horizon", "role", "model", "model_version"]
CELL = ["date", "forecast_origin", "horizon", "level", "demand_class", "pairs"]
COMPARED = ("absolute_error", "quantile_loss")
SCORE_MEANING = {
    "role": "champion: published; previous: the champion before it, in the shadow; baseline: seasonal naive; "
    "challenger: tried out",
    "demand_class": "class of demand at the last training; all: every class",
    "pairs": "forecasts compared with what was sold: series (at higher levels: nodes) times days",
    "units": "sum of what was sold",
    "forecast": "sum of what was expected",
    "error": "sum of forecast - units",
    "absolute_error": "sum of |forecast - units|",
    "squared_error": "sum of (forecast - units)^2",
    "quantile_loss": "sum of twice the mean pinball loss over the nine quantiles; level series only",
}


class Window(NamedTuple):
    """Days from `first` to `last`, both included."""

    first: date
    last: date


def of_frequency(frequency: Frequency) -> pl.Expr:
    """Whether a forecast is of periods of this length: its day lies `horizon` of them after its origin, give or take
    the days by which months differ. Others were published before the frequency was changed.
    """
    days = (pl.col("date") - pl.col("forecast_origin")).dt.total_days()
    length = calendar_of(frequency).step * pl.col("horizon")
    return days.is_between(0.8 * length, 1.2 * length)


def score_published(
    published: pl.DataFrame,
    demand: pl.DataFrame,
    levels: Sequence[Level],
    products: pl.DataFrame,
    stores: pl.DataFrame,
    classes: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """The table `forecast_accuracy` of the days that `published` and `demand` share: SCORES, additive in every row.

    `published`: rows of `published_forecasts`; `demand`: rows of `daily_demand` that reach back to the oldest of their
    origins; `classes`: `store_id, product_id, demand_class`, a series that is not in it is new; without it there are no
    rows by class. Level `series` has rows by class and for `all`; the other levels are summed to their nodes first, and
    have no quantile loss, because quantiles do not add up.

    Units are compared with the forecast for the time in which goods were there, as in the backtest: a day without goods
    or with a closed shop is none, at any level. Nor is a forecast made before the first sale of its series: that series
    is known only because it sold.
    """
    pairs = _pairs(published, demand)
    parts = [_scored(pairs.with_columns(quantile_loss=quantile_loss()), SERIES_LEVEL.name)]
    if classes is not None:
        named = classes.select(*SERIES, pl.col("demand_class").cast(pl.String))
        by_class = pairs.join(named, on=SERIES, how="left").with_columns(pl.col("demand_class").fill_null(NEW))
        parts.append(_scored(by_class.with_columns(quantile_loss=quantile_loss()), SERIES_LEVEL.name, "demand_class"))
    placed = attach_static(pairs, products, stores)
    parts += [_scored(_nodes(placed, level), level.name) for level in levels if level != SERIES_LEVEL]
    return pl.concat(parts).sort(*KEY)


def pair_losses(published: pl.DataFrame, demand: pl.DataFrame) -> pl.DataFrame:
    """`published` with what was sold on the days that count, as for `score_published`: `units`, `absolute_error` and
    `quantile_loss` of each row (twice the mean pinball loss over the nine quantiles), in units.

    `demand`: rows of `daily_demand` that reach back to the oldest origin.
    """
    error = (pl.col("forecast") - pl.col("units")).abs()
    return _pairs(published, demand).with_columns(quantile_loss=quantile_loss(), absolute_error=error)


def _pairs(published: pl.DataFrame, demand: pl.DataFrame) -> pl.DataFrame:
    """`published` with the `units` of its days, where both count, mean and quantiles for the time in which there was
    something to sell; numbers as f64.
    """
    first = pl.col("date").min().over(SERIES)
    actual = demand.lazy().with_columns(first_sale=first, exposure=exposure())
    actual = actual.filter(pl.col("exposure") > 0, pl.col("units").is_not_null())
    actual = actual.select(*SERIES, "date", "first_sale", "exposure", pl.col("units").cast(pl.Float64))
    met = published.lazy().join(actual, on=[*SERIES, "date"]).filter(pl.col("forecast_origin") >= pl.col("first_sale"))
    met = met.with_columns(for_the_time_in_stock())
    return met.drop("first_sale", "exposure").rename({"mean": "forecast"}).collect()


def _nodes(placed: pl.DataFrame, level: Level) -> pl.DataFrame:
    """Units and forecast of every node of `level`."""
    sums = placed.group_by(*FORECAST, *level.columns).agg(pl.col("units", "forecast").sum())
    return sums.with_columns(quantile_loss=pl.lit(None, pl.Float64))


def _scored(pairs: pl.DataFrame, level: str, *by: str) -> pl.DataFrame:
    error = pl.col("forecast") - pl.col("units")
    loss = pl.when(pl.col("quantile_loss").count() > 0).then(pl.col("quantile_loss").sum())
    sums = pairs.group_by(*FORECAST, *by).agg(
        pl.len().alias("pairs"),
        pl.col("units", "forecast").sum(),
        error=error.sum(),
        absolute_error=error.abs().sum(),
        squared_error=(error**2).sum(),
        quantile_loss=loss,
    )
    named = sums.with_columns(level=pl.lit(level), **({} if by else {"demand_class": pl.lit(ALL)}))
    return named.select(pl.col(name).cast(dtype) for name, dtype in SCORES.items())


def accuracy_over(scores: pl.DataFrame, by: Sequence[str] = ()) -> pl.DataFrame:
    """Metrics by role, level, demand_class and `by` (columns of `scores`): pairs, units, wape, bias, wql, rmse;
    fva_wape and fva_wql against the baseline, fva_wape_previous and fva_wql_previous against the previous champion.

    `scores`: rows of `forecast_accuracy`, of any days. Value added is measured on the pairs that both have, forecasts
    of the same days from the same origins; null where there are none. rmse is in units.
    """
    keys = list(dict.fromkeys(["role", "level", "demand_class", *by]))
    met = scores
    for rival in (BASELINE, PREVIOUS):
        met = met.join(_rival(scores, rival), on=CELL, how="left")
    total = {name: pl.col(name).sum() for name in SUMS}
    known = pl.col("quantile_loss").count() > 0
    return (
        met.group_by(keys)
        .agg(
            pl.col("pairs").sum(),
            pl.col("units").sum(),
            wape=ratio(total["absolute_error"], total["units"]),
            bias=ratio(total["error"], total["units"]),
            wql=pl.when(known).then(ratio(total["quantile_loss"], total["units"])),
            rmse=ratio(total["squared_error"], pl.col("pairs").sum()).sqrt(),
            fva_wape=_added("absolute_error", BASELINE),
            fva_wql=_added("quantile_loss", BASELINE),
            fva_wape_previous=_added("absolute_error", PREVIOUS),
            fva_wql_previous=_added("quantile_loss", PREVIOUS),
        )
        .sort(keys)
    )


def _rival(scores: pl.DataFrame, rival: Role) -> pl.DataFrame:
    """The losses of one role by CELL; of several versions of a cell the highest."""
    theirs = scores.filter(pl.col("role") == rival).sort("model_version").unique(CELL, keep="last", maintain_order=True)
    return theirs.select(*CELL, *(pl.col(loss).alias(f"{loss}_{rival}") for loss in COMPARED))


def _added(loss: str, rival: Role) -> pl.Expr:
    theirs = pl.col(f"{loss}_{rival}")
    return forecast_value_added(pl.col(loss).filter(theirs.is_not_null()).sum(), theirs.sum())


def newest_published(published: pl.LazyFrame, window: Window) -> pl.DataFrame:
    """The champion's newest forecast of every day of `window`: store_id, product_id, date, forecast_origin, mean.

    `published`: `published_forecasts`, of which two columns are read whole and no more rows than are given back.
    """
    ours = published.filter(pl.col("role") == CHAMPION, pl.col("date").is_between(*window))
    newest = ours.group_by("date").agg(pl.col("forecast_origin").max())
    kept = ours.select(*SERIES, "date", "forecast_origin", "mean")
    return kept.join(newest, on=["date", "forecast_origin"], how="semi").collect()


def series_accuracy(published: pl.DataFrame, demand: pl.DataFrame) -> pl.DataFrame:
    """`store_id, product_id, pairs, units, forecast, wape, bias` of every series with a forecast of a day that counts,
    as for `score_published`; wape and bias are null where nothing was sold.

    `published`: store_id, product_id, date, forecast_origin, mean; `demand`: rows of `daily_demand` that reach back to
    the oldest of the origins.
    """
    error, sold = pl.col("forecast") - pl.col("units"), pl.col("units").sum()
    return (
        _pairs(published, demand)
        .group_by(SERIES)
        .agg(
            pl.len().alias("pairs"),
            pl.col("units", "forecast").sum(),
            wape=ratio(error.abs().sum(), sold),
            bias=ratio(error.sum(), sold),
        )
    )


def series_scores(scores: pl.DataFrame) -> pl.DataFrame:
    """The rows at series level over all classes: those that decide on retraining and rollback."""
    return scores.filter(pl.col("level") == SERIES_LEVEL.name, pl.col("demand_class") == ALL)


def windows_until(newest: date, days: int, count: int, frequency: Frequency = "daily") -> list[Window]:
    """The last `count` windows of `days` days, or of one period where that is longer; the last one ends at `newest`,
    the oldest is first.
    """
    calendar = calendar_of(frequency)
    length = calendar.within(days)
    ends = [calendar.ahead(newest, -length * back) for back in reversed(range(count))]
    return [Window(calendar.ahead(end, 1 - length), end) for end in ends]


def in_windows(scores: pl.DataFrame, newest: date, days: int, frequency: Frequency = "daily") -> pl.DataFrame:
    """`scores` with `window`, the last date of the window, of those that end at `newest`, that holds each row."""
    calendar = calendar_of(frequency)
    length = calendar.within(days)
    back = calendar.between(pl.col("date"), pl.lit(newest)) // length * length
    return scores.with_columns(window=calendar.later(pl.lit(newest), -back))


def actuals_by_day(demand: pl.DataFrame) -> dict[date, str]:
    """A digest of each day's actuals in `demand`: equal where nothing was corrected, in any order of rows."""
    row = pl.struct(*SERIES, "units", "in_stock", "open").hash(seed=17)
    days = demand.select("date", row=row).group_by("date").agg(pl.col("row").sum(), pl.len())
    return {day: f"{rows}:{digest}" for day, digest, rows in days.sort("date").iter_rows()}


def first_day_to_score(scored: Mapping[date, str], actual: Mapping[date, str]) -> date | None:
    """The first day whose actuals (`actuals_by_day`) are not those that were `scored`; None where all are."""
    begin = min(actual, default=None)
    days = {day for day in {*scored, *actual} if begin is not None and day >= begin}
    return min((day for day in days if scored.get(day) != actual.get(day)), default=None)
