"""The long frame that the field's libraries read, and the frame that a contender hands back."""

import numpy as np
import pandas as pd

from benchmarks.accuracy.task import Task

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
INTERVALS = (20, 40, 60, 80)  # central, in percent: their ends are the nine quantiles but the median


def as_long(panel: pd.DataFrame) -> pd.DataFrame:
    """`panel` with the names that Nixtla's libraries and AutoGluon's converter expect."""
    return panel.rename(columns={"series": "unique_id", "date": "ds", "units": "y"})


def split(long: pd.DataFrame, origin: object) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What is past at `origin`, and what is known of the days after it."""
    past = long["ds"] <= pd.Timestamp(str(origin))
    return long[past], long[~past].drop(columns="y")


def newest(past: pd.DataFrame, task: Task, periods: int) -> pd.DataFrame:
    """The last `periods` of every series."""
    days = periods * (1 if task.frequency == "daily" else 7)
    return past[past["ds"] > pd.Timestamp(task.origin) - pd.Timedelta(days=days)]


def padded(past: pd.DataFrame, task: Task, periods: int) -> pd.DataFrame:
    """Series younger than `periods` with zeros in front: libraries refuse series shorter than their windows."""
    days = pd.date_range(end=pd.Timestamp(task.origin), periods=periods, freq=task.offset)
    first = past.groupby("unique_id", sort=False).head(1)
    short = first[first["ds"] > days[0]]
    if short.empty:
        return past
    front = short.drop(columns=["ds", "y"]).merge(pd.DataFrame({"ds": days, "y": np.float32(0)}), how="cross")
    starts = short.set_index("unique_id")["ds"]
    front = front[front["ds"] < front["unique_id"].map(starts)].astype(dict(past.dtypes))
    return pd.concat([front, past]).sort_values(["unique_id", "ds"], ignore_index=True)


def from_intervals(made: pd.DataFrame, model: str) -> pd.DataFrame:
    """series, date, mean, q10 … q90 from the columns that Nixtla's libraries name `<model>-lo-80` and so on."""
    columns = {"series": made["unique_id"], "date": made["ds"], "mean": made[model], "q50": made[model]}
    for level in INTERVALS:
        if f"{model}-lo-{level}" in made:
            columns[f"q{50 - level // 2}"] = made[f"{model}-lo-{level}"]
            columns[f"q{50 + level // 2}"] = made[f"{model}-hi-{level}"]
    return pd.DataFrame(columns)
