"""What the calendar says about a group's demand: a log-linear regression, carried on from the group's latest level."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from demand_forecast.domain.demand.calendar import Calendar
from demand_forecast.domain.features import PanelInputs
from demand_forecast.domain.features.plan_ends import DENSE

Array = np.ndarray[Any, np.dtype[np.float64]]

ANNUAL, MONTHLY = 4, 2  # harmonics
OFFSET = 0.01  # of the mean: a day without any sale is a hundredth of a usual one
LEVEL_HALF_LIFE = 14  # periods after which a deviation from the calendar counts half
LEVEL_PRIOR = 3.0  # periods that speak for no deviation
LEAST_EXPOSURE = 0.1  # of a group: with less of it in stock a day tells little about the calendar
FIRST_GUESS = 0.1**2  # residual variance of log demand
# prior standard deviations of the effects on log demand
INTERCEPT, WEEKDAY, SEASON, EVENT, COVARIATE, TREND = 10.0, 1.0, 0.7, 1.0, 0.5, 0.4


class Effects(NamedTuple):
    """Columns of a regression and the prior standard deviation of each one's effect."""

    columns: list[Array]
    scale: float


def regress(panel: pl.DataFrame, inputs: PanelInputs, calendar: Calendar, known: int, horizon: int) -> Array:
    """Expected demand of one group on the `horizon` periods after the first `known` of `panel`; shape (horizon,).

    `panel`: the group's rows of a History. Ridge regression of log demand, units over exposure, on weekday, harmonics
    of year and month, the declared known-future columns and a trend, which is the posterior mean under independent
    normal priors (Hastie, Tibshirani & Friedman 2009, The Elements of Statistical Learning, ch. 3.4.1); times the
    exponentially weighted ratio of what was sold to what the regression says of the time in which it could be sold.
    """
    columns = pl.col("units", "exposure").cast(pl.Float64).fill_null(0)
    lengths = panel.select(pl.repeat(1.0, pl.len()) * calendar.length(pl.col("date"))).to_series().to_numpy()
    units, exposure = (column.to_numpy() for column in panel.head(known).select(columns))
    exposure = exposure * lengths[:known]  # a short month sells less
    counts = exposure > LEAST_EXPOSURE
    mean = units[counts].sum() / exposure[counts].sum() if counts.any() else 0.0
    if mean <= 0:
        return np.zeros(horizon)
    effects = list(_effects(panel.head(known + horizon), inputs, calendar, known))
    matrix = np.column_stack([column for effect in effects for column in effect.columns])
    precision = np.concatenate([np.full(len(effect.columns), effect.scale**-2) for effect in effects])
    relative = units / np.maximum(exposure, LEAST_EXPOSURE) / mean
    fit = _ridge(matrix[:known][counts], np.log(relative[counts] + OFFSET), precision)
    fitted = np.maximum(np.exp(np.clip(matrix @ fit, -10, 10)) - OFFSET, 0)
    ahead = fitted[known:] * lengths[known : known + horizon]
    return np.asarray(mean * ahead * _level(units[counts] / mean, exposure[counts] * fitted[:known][counts]))


def _ridge(matrix: Array, target: Array, precision: Array) -> Array:
    """Posterior mean, with the residual variance of a first fit."""
    product, moment, variance = matrix.T @ matrix, matrix.T @ target, FIRST_GUESS
    for _ in range(2):
        fit = np.linalg.solve(product + variance * np.diag(precision), moment)
        residual = target - matrix @ fit
        variance = max(float(np.median(np.abs(residual)) * 1.4826) ** 2, 1e-4)
    return np.asarray(fit)


def _level(sold: Array, fitted: Array) -> float:
    weight = 0.5 ** (np.arange(len(sold))[::-1] / LEVEL_HALF_LIFE)
    return float((weight @ sold + LEVEL_PRIOR) / (weight @ fitted + LEVEL_PRIOR))


def _effects(panel: pl.DataFrame, inputs: PanelInputs, calendar: Calendar, known: int) -> Iterator[Effects]:
    day = panel["date"]
    position = np.arange(len(panel), dtype=np.float64)
    yield Effects([np.ones(len(panel))], INTERCEPT)
    yield Effects([(position - known) / calendar.year], TREND)
    year = day.dt.ordinal_day().to_numpy() / 365.25
    yield Effects(list(_harmonics(year, ANNUAL)), SEASON)
    if calendar.cycle > 1:
        weekday = day.dt.weekday().to_numpy()
        yield Effects([(weekday == number).astype(float) for number in range(1, 8)], WEEKDAY)
        yield Effects(list(_harmonics(day.dt.day().to_numpy() / 30.4, MONTHLY)), SEASON)
    for name in inputs.future_category:
        yield Effects(list(_around(panel[name], calendar.event_reach)), EVENT)
    for name in inputs.future_number + inputs.future_binary:
        values = _known(panel[name].cast(pl.Float64), known)
        yield Effects([(values - values.mean()) / max(values.std(), 1e-9)], COVARIATE)


def _known(values: pl.Series, past: int) -> Array:
    """`values` with what is unknown as usual where nearly all of the `past` is known, else as nothing."""
    numbers, unknown = values.fill_null(0).to_numpy().copy(), values.is_null().to_numpy()
    if unknown[:past].mean() <= 1 - DENSE:
        numbers[unknown] = numbers[~unknown].mean() if not unknown.all() else 0.0
    return numbers


def _harmonics(phase: Array, count: int) -> Iterator[Array]:
    for k in range(1, count + 1):
        yield np.sin(2 * np.pi * k * phase)
        yield np.cos(2 * np.pi * k * phase)


def _around(names: pl.Series, reach: int) -> Iterator[Array]:
    """Whether each value of a category holds that day, on days before and on days after."""
    for value in names.drop_nulls().unique().sort():
        holds = (names == value).fill_null(value=False).to_numpy().astype(float)
        for lag in range(-(reach + 1) // 2, reach // 3 + 1):
            moved = np.roll(holds, lag)
            moved[: max(lag, 0)] = 0
            moved[len(moved) + min(lag, 0) :] = 0
            yield moved
