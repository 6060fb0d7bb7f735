"""Each series' own last twelve weeks, as they were: their mean and their quantiles, the same for every day ahead."""

import pandas as pd

from benchmarks.accuracy.peers.long_frame import LEVELS
from benchmarks.accuracy.task import Task

read = Task.panel
DAYS = 84


def quantiles(panel: pd.DataFrame, task: Task) -> pd.DataFrame:
    origin = pd.Timestamp(task.origin)
    recent = panel[(panel["date"] <= origin) & (panel["date"] > origin - pd.Timedelta(days=DAYS))]
    own = recent.groupby("series")["units"]
    spread = own.quantile(LEVELS).unstack().set_axis([f"q{round(100 * level)}" for level in LEVELS], axis=1)  # type: ignore[arg-type]
    known = spread.assign(mean=own.mean())
    return panel.loc[panel["date"] > origin, ["series", "date"]].join(known, on="series")
