"""The days of all series in one dense array: a day's position is arithmetic, where a table would need a join."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl

from demand_forecast.domain.tables import SERIES


@dataclass(frozen=True)
class Grid:
    """Every day of every series, sorted by series and day.

    `series`: `store_id, product_id`, sorted, with `start` (days since 1970-01-01) and `origin`: a day `d` of the series
    stands at position `origin + d`. `last`: the last day of all, `number`: the series of each position, `day`: its day.
    """

    series: pl.DataFrame
    last: int
    number: np.ndarray
    day: np.ndarray

    @classmethod
    def of(cls, series: pl.DataFrame, last: int) -> Self:
        """`series`: `store_id, product_id, start`; those that start after `last` have no day and are left out."""
        series = series.filter(pl.col("start") <= last).sort(SERIES)
        start = series["start"].to_numpy().astype(np.int64)
        length = last - start + 1
        origin = np.cumsum(length) - length - start
        number = np.repeat(np.arange(len(series), dtype=np.int32), length)
        day = (np.arange(len(number)) - np.repeat(origin, length)).astype(np.int32)
        return cls(series.with_columns(origin=pl.Series(origin, dtype=pl.Int64)), last, number, day)

    def __len__(self) -> int:
        return len(self.day)

    def positions(self, rows: pl.DataFrame, keys: Sequence[str], *, carry: bool = False) -> pl.DataFrame:
        """`rows` (`date`, `keys` and others) once for each series with their keys: `position`, `day` and the others.

        Days outside a series are left out; with `carry`, days before its start stand at its start.
        """
        days, series = rows.lazy().with_columns(day=pl.col("date").to_physical()), self.series.lazy()
        joined = days.join(series, on=list(keys), how="inner") if keys else days.join(series, how="cross")
        inside = joined.filter(pl.col("day") <= self.last)
        inside = inside if carry else inside.filter(pl.col("day") >= pl.col("start"))
        others = [name for name in rows.columns if name not in ("date", *keys)]
        position = pl.col("origin") + pl.max_horizontal("day", "start")
        return inside.select("day", *others, position=position).collect()  # keys left out: 0.4 GB of M5's sales lines

    def forward(self, values: np.ndarray) -> np.ndarray:
        """NaN replaced by the last value before it in its series."""
        place = np.where(np.isnan(values), -1, np.arange(len(values)))
        place = np.maximum.accumulate(place)
        known = (place >= 0) & (self.number[place] == self.number)
        return np.where(known, values[place], np.float32(np.nan))

    def backward(self, values: np.ndarray) -> np.ndarray:
        """NaN replaced by the next value after it in its series."""
        place = np.where(np.isnan(values), len(values), np.arange(len(values)))
        place = np.minimum(np.minimum.accumulate(place[::-1])[::-1], len(values) - 1)
        known = self.number[place] == self.number
        return np.where(known, values[place], np.float32(np.nan))

    def table(self, columns: dict[str, np.ndarray], positions: np.ndarray | slice = slice(None)) -> pl.DataFrame:
        """`store_id, product_id, date` of the `positions`, and `columns`, whose NaN is null."""
        number, day = pl.Series(self.number[positions]), pl.Series("date", self.day[positions]).cast(pl.Date)
        keys = [self.series[name].gather(number) for name in SERIES]
        values = [pl.Series(name, column, nan_to_null=True) for name, column in columns.items()]
        return pl.DataFrame([*keys, day, *values])
