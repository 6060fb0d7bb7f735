"""AutoGluon-TimeSeries: its light preset but for the pretrained networks, whose weights come from a hub."""

import tempfile
from functools import partial

import pandas as pd
from autogluon.timeseries import TimeSeriesDataFrame, TimeSeriesPredictor

from benchmarks.accuracy.peers.long_frame import LEVELS, newest, padded
from benchmarks.accuracy.task import Task

read = Task.panel
YEARS = 2
MODELS: dict[str, dict[str, object]] = {
    "SeasonalNaive": {},
    "ETS": {},
    "Theta": {},
    "RecursiveTabular": {},
    "DirectTabular": {},
}
TIME_LIMIT = None  # it is of the clock, and would choose fewer models on a busy machine; the CPU time is reported


def _forecast(panel: pd.DataFrame, task: Task, metric: str) -> pd.DataFrame:
    long = panel.rename(columns={"series": "unique_id", "date": "ds", "units": "y"})
    known = [name for name in ("price", *task.future) if long[name].notna().any()]
    past = newest(long[long["ds"] <= pd.Timestamp(task.origin)], task, YEARS * task.year)
    past = padded(past, task, 3 * task.horizon + 1)
    future = long[long["ds"] > pd.Timestamp(task.origin)]
    static = long.drop_duplicates("unique_id")[["unique_id", *task.static]]
    data = TimeSeriesDataFrame.from_data_frame(
        past[["unique_id", "ds", "y", *known]], "unique_id", "ds", static if task.static else None
    )
    with tempfile.TemporaryDirectory() as folder:
        predictor = TimeSeriesPredictor(
            target="y",
            prediction_length=task.horizon,
            freq=task.offset,
            eval_metric=metric,
            known_covariates_names=known,
            quantile_levels=list(LEVELS),
            path=folder,
            verbosity=2,
        )
        predictor.fit(data, hyperparameters=MODELS, time_limit=TIME_LIMIT, random_seed=task.seed)
        ahead = TimeSeriesDataFrame.from_data_frame(future[["unique_id", "ds", *known]], "unique_id", "ds")
        made = predictor.predict(data, known_covariates=ahead, random_seed=task.seed).reset_index()
    names = {"item_id": "series", "timestamp": "date", **{str(level): f"q{round(100 * level)}" for level in LEVELS}}
    return pd.DataFrame(made).rename(columns=names)


for_quantiles = partial(_forecast, metric="WQL")
for_means = partial(_forecast, metric="RMSSE")
