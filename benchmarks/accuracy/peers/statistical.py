"""statsforecast: one statistical model per series, with the library's own intervals."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
from statsforecast import StatsForecast
from statsforecast.models import ADIDA, TSB, AutoETS, CrostonOptimized, SeasonalNaive
from statsforecast.utils import ConformalIntervals

from benchmarks.accuracy.peers.long_frame import INTERVALS, as_long, from_intervals, newest, padded, split
from benchmarks.accuracy.task import Task

read = Task.panel
YEARS = 2  # older days say little to one series' own model
ETS_YEARS = 0.5  # 26 seasons of seven days: its cost is linear in them
WINDOWS = 2  # of the conformal intervals, for models without intervals of their own

Model = Callable[[Task, ConformalIntervals], Any]


def _forecast(panel: pd.DataFrame, task: Task, model: Model, years: float = YEARS) -> pd.DataFrame:
    past, _ = split(as_long(panel[["series", "date", "units"]]), task.origin)
    past = padded(newest(past, task, round(years * task.year)), task, (WINDOWS + 1) * task.horizon + 1)
    made = model(task, ConformalIntervals(n_windows=WINDOWS, h=task.horizon))
    forecast = StatsForecast(models=[made], freq=task.offset, n_jobs=1)
    return from_intervals(forecast.forecast(df=past, h=task.horizon, level=list(INTERVALS)), made.alias)


auto_ets = partial(_forecast, model=lambda task, _: AutoETS(season_length=task.season, alias="model"), years=ETS_YEARS)
seasonal_naive = partial(_forecast, model=lambda task, _: SeasonalNaive(task.season, alias="model"))
croston = partial(_forecast, model=lambda _, intervals: CrostonOptimized("model", intervals))
adida = partial(_forecast, model=lambda _, intervals: ADIDA("model", intervals))
tsb = partial(_forecast, model=lambda _, intervals: TSB(0.2, 0.2, "model", intervals))
