"""One function per contender: the panel (series, date, units) in, its features out. Libraries are imported inside."""

from typing import Any

import numpy as np
import polars as pl

from benchmarks.features.declared import HALF_LIVES, LAGS, WEEKS, WINDOWS


def ours(panel: pl.DataFrame) -> Any:
    """Means as the product makes them (`with_trailing`, float64), then float32; lags and weighted means by polars.

    The product reads a lag by gathering a row of the panel and has no exponential means.
    """
    from demand_forecast.domain.features.trailing import trailing_column, with_trailing

    units = pl.col("units")
    daily = {trailing_column("units", window): (f"mean_{window}", 1) for window in WINDOWS}
    weekly = {trailing_column("units", weeks, 7): (f"weekday_{weeks}", 7) for weeks in WEEKS}
    means = daily | weekly
    return with_trailing(panel, means).select(
        *(units.shift(lag).over("series").alias(f"lag_{lag}") for lag in LAGS),
        *(pl.col(made).cast(pl.Float32).shift(lag).over("series").alias(name) for made, (name, lag) in means.items()),
        *(units.ewm_mean(half_life=life).shift(1).over("series").alias(f"recent_{life}") for life in HALF_LIVES),
    )


def polars_over(panel: pl.DataFrame) -> Any:
    """The same as polars expressions within groups."""
    units, weekday = pl.col("units"), pl.col("date").dt.weekday()
    return panel.select(
        *(units.shift(lag).over("series").alias(f"lag_{lag}") for lag in LAGS),
        *(units.rolling_mean(w, min_samples=1).shift(1).over("series").alias(f"mean_{w}") for w in WINDOWS),
        *(units.rolling_mean(w, min_samples=1).shift(1).over("series", weekday).alias(f"weekday_{w}") for w in WEEKS),
        *(units.ewm_mean(half_life=life).shift(1).over("series").alias(f"recent_{life}") for life in HALF_LIVES),
    )


def mlforecast(panel: pl.DataFrame) -> Any:
    """`MLForecast.preprocess` on a polars frame."""
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import ExponentiallyWeightedMean, RollingMean, SeasonalRollingMean

    transforms = {
        1: [
            *(RollingMean(window, min_samples=1) for window in WINDOWS),
            *(ExponentiallyWeightedMean(1 - 0.5 ** (1 / life)) for life in HALF_LIVES),
        ],
        7: [SeasonalRollingMean(7, weeks, min_samples=1) for weeks in WEEKS],
    }
    library = MLForecast(models=[], freq="1d", lags=list(LAGS), lag_transforms=transforms, num_threads=1)
    names = {f"lag{lag}": f"lag_{lag}" for lag in LAGS}
    names |= {f"rolling_mean_lag1_window_size{w}_min_samples1": f"mean_{w}" for w in WINDOWS}
    names |= {f"seasonal_rolling_mean_lag7_season_length7_window_size{w}_min_samples1": f"weekday_{w}" for w in WEEKS}
    long = panel.rename({"series": "unique_id", "date": "ds", "units": "y"})
    return library.preprocess(long, static_features=[], dropna=False).rename(names)


def pandas(panel: pl.DataFrame) -> Any:
    """pandas' groupby, shift, rolling and ewm."""
    import pandas as pd

    table = panel.to_pandas()
    table["weekday"] = table["date"].dt.dayofweek
    units = table.groupby("series", sort=False)["units"]
    columns: dict[str, Any] = {f"lag_{lag}": units.shift(lag).astype(np.float32) for lag in LAGS}
    before = units.shift(1)
    known = before.groupby(table["series"], sort=False)
    for window in WINDOWS:
        columns[f"mean_{window}"] = known.rolling(window, min_periods=1).mean().to_numpy(np.float32)
    for life in HALF_LIVES:
        columns[f"recent_{life}"] = known.ewm(halflife=life).mean().to_numpy(np.float32)
    by_weekday = table.groupby(["series", "weekday"], sort=False)["units"].shift(1)
    for weeks in WEEKS:
        rolled = by_weekday.groupby([table["series"], table["weekday"]]).rolling(weeks, min_periods=1).mean()
        columns[f"weekday_{weeks}"] = rolled.droplevel([0, 1]).astype(np.float32).sort_index()
    return pd.DataFrame(columns, copy=False)
