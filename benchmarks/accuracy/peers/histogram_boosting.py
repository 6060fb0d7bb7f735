"""scikit-learn's histogram gradient boosting with the Poisson loss on a pandas feature table: one model, one step."""

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor

from benchmarks.accuracy.peers.long_frame import newest
from benchmarks.accuracy.task import Task

read = Task.panel
TRAINING_YEARS = 2
MAX_CATEGORIES = 255  # of the library


def poisson(panel: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Everything about past sales is at least one horizon old, so every day ahead is forecast in one step."""
    history = (TRAINING_YEARS + 1) * task.year + 2 * max(_windows(task))
    table = newest(panel.rename(columns={"date": "ds"}), task, history).rename(columns={"ds": "date"})
    table = table.reset_index(drop=True)
    features = pd.concat([_sales(table, task), _prices(table), _dates(table, task), _categories(table, task)], axis=1)
    origin = pd.Timestamp(task.origin)
    train = (table["date"] <= origin) & (table["date"] > origin - pd.Timedelta(days=364 * TRAINING_YEARS))
    ahead = table["date"] > origin
    learner = HistGradientBoostingRegressor(
        loss="poisson",
        learning_rate=0.08,
        max_iter=300,
        max_leaf_nodes=63,
        min_samples_leaf=100,
        max_features=0.5,
        categorical_features="from_dtype",
        early_stopping=False,
        random_state=task.seed,
    )
    learner.fit(features[train], table.loc[train, "units"])
    return table.loc[ahead, ["series", "date"]].assign(mean=learner.predict(features[ahead]))


def _windows(task: Task) -> tuple[int, ...]:
    return (7, 28, 91, 182, 364) if task.frequency == "daily" else (2, 4, 13, 26, 52)


def _sales(table: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Lags, rolling means and deviations, weekday means, all of at least one horizon ago."""
    series = table["series"]
    lagged = table.groupby("series", sort=False)["units"].shift(task.horizon)
    past = lagged.groupby(series, sort=False)
    first = -(-task.horizon // task.cycle) * task.cycle
    columns = {}
    for window in _windows(task):
        columns[f"mean_{window}"] = past.rolling(window, min_periods=1).mean().to_numpy()
    columns["deviation"] = past.rolling(_windows(task)[1], min_periods=2).std().to_numpy()
    by_series = table.groupby("series", sort=False)["units"]
    weeks = [by_series.shift(first + task.cycle * back).to_numpy() for back in range(8)]
    for back in range(4):
        columns[f"lag_{first + task.cycle * back}"] = weeks[back]
    with np.errstate(invalid="ignore"):
        columns["weekday_mean_4"] = _mean(weeks[:4])
        columns["weekday_mean_8"] = _mean(weeks)
    columns["lag_year"] = by_series.shift(task.year).to_numpy()
    columns["age"] = table.groupby("series", sort=False).cumcount().to_numpy()
    return pd.DataFrame(columns, index=table.index).astype(np.float32)


def _mean(columns: list[np.ndarray]) -> np.ndarray:
    known = sum(~np.isnan(column) for column in columns)
    return np.divide(sum(np.nan_to_num(column) for column in columns), known)


def _prices(table: pd.DataFrame) -> pd.DataFrame:
    """The price asked, against the series' own mean and highest so far and against four weeks ago."""
    price = table["price"]
    by_series = price.groupby(table["series"], sort=False)
    usual = by_series.expanding().mean().to_numpy()
    highest = by_series.cummax()
    before = by_series.shift(28)
    columns = {"price": price, "to_usual": price / usual, "to_highest": price / highest, "to_before": price / before}
    return pd.DataFrame(columns).astype(np.float32)


def _dates(table: pd.DataFrame, task: Task) -> pd.DataFrame:
    day = table["date"].dt
    columns = {"month": day.month, "week": day.isocalendar().week}
    if task.frequency == "daily":
        columns |= {"weekday": day.dayofweek, "day": day.day}
    return pd.DataFrame(columns).astype(np.float32)


def _categories(table: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Events and promotions of the day, and what is known of shop and product; texts as categories."""
    columns = table[[*task.future, *task.static, "store_id"]].copy()
    for name in columns:
        if isinstance(columns[name].dtype, pd.CategoricalDtype):
            columns[name] = columns[name].cat.remove_unused_categories()
            if len(columns[name].cat.categories) > MAX_CATEGORIES:
                columns[name] = columns[name].cat.codes.astype(np.float32)
        else:
            columns[name] = columns[name].astype(np.float32)
    return columns.loc[:, columns.notna().any()]
