"""mlforecast with LightGBM: lags that reach beyond the horizon (nothing is fed back), and its default recursion."""

from typing import Any

import pandas as pd
from lightgbm import LGBMRegressor
from mlforecast import MLForecast
from mlforecast.lag_transforms import RollingMean, SeasonalRollingMean
from mlforecast.utils import PredictionIntervals

from benchmarks.accuracy.peers.long_frame import INTERVALS, as_long, from_intervals, newest, padded, split
from benchmarks.accuracy.task import Task

read = Task.panel
TRAINING_YEARS = 2
WINDOWS = 2  # of the conformal intervals


def beyond_horizon(panel: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Tweedie on lags not younger than the horizon, rolling and weekday means, prices, events, static columns."""
    first = -(-task.horizon // task.cycle) * task.cycle
    means = [RollingMean(size, min_samples=1) for size in _windows(task)]
    weekday = [SeasonalRollingMean(task.cycle, size, min_samples=1) for size in (4, 8)] if task.cycle > 1 else []
    features = MLForecast(
        models={"model": _tweedie(task.seed)},
        freq=task.offset,
        lags=[first + task.cycle * back for back in range(5)] + [task.year],
        lag_transforms={task.horizon: means, **({first: weekday} if weekday else {})},
        date_features=["dayofweek", "day", "month", "week"] if task.frequency == "daily" else ["month", "week"],
        num_threads=1,
    )
    history = task.year + max(_windows(task)) + task.horizon
    return _forecast(
        features, panel, task, covariates=["price", *task.future], periods=TRAINING_YEARS * task.year + history
    )


def recursive_default(panel: pd.DataFrame, task: Task) -> pd.DataFrame:
    """The library's introduction: recent lags, two rolling means, the date, LightGBM as it comes; day by day."""
    features = MLForecast(
        models={"model": LGBMRegressor(n_jobs=1, verbosity=-1, random_state=task.seed)},
        freq=task.offset,
        lags=[1, task.season, 2 * task.season] if task.frequency == "daily" else [1, 2, 4],
        lag_transforms={1: [RollingMean(size, min_samples=1) for size in _windows(task)[:2]]},
        date_features=["dayofweek", "month"] if task.frequency == "daily" else ["month"],
        num_threads=1,
    )
    return _forecast(features, panel, task, covariates=["price"], periods=TRAINING_YEARS * task.year)


def _windows(task: Task) -> tuple[int, ...]:
    return (7, 28, 91, 182) if task.frequency == "daily" else (2, 4, 13, 26)


def _tweedie(seed: int) -> LGBMRegressor:
    return LGBMRegressor(
        objective="tweedie",
        tweedie_variance_power=1.1,
        n_estimators=300,
        learning_rate=0.075,
        num_leaves=127,
        min_child_samples=100,
        subsample=0.66,
        subsample_freq=1,
        colsample_bytree=0.5,
        n_jobs=1,
        verbosity=-1,
        random_state=seed,
    )


def _forecast(
    features: MLForecast, panel: pd.DataFrame, task: Task, covariates: list[str], periods: int
) -> pd.DataFrame:
    known = [name for name in covariates if panel[name].notna().any()]
    past, future = split(as_long(panel)[["unique_id", "ds", "y", *known, *task.static]], task.origin)
    past = newest(past, task, periods)
    past = padded(past, task, (WINDOWS + 1) * task.horizon + 1)
    features.fit(
        past,
        static_features=list(task.static),
        dropna=False,
        as_numpy=False,
        prediction_intervals=PredictionIntervals(n_windows=WINDOWS, h=task.horizon),
    )
    made: Any = features.predict(
        task.horizon, X_df=future[["unique_id", "ds", *known]] if known else None, level=list(INTERVALS)
    )
    return from_intervals(made, "model")
