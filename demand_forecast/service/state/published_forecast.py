"""The published forecast in memory: one array of numbers, and the row of each series in it."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import polars as pl
from rapidfuzz import fuzz, process

from demand_forecast.domain.tables import FORECAST_NUMBERS, QUANTILE_LEVELS
from demand_forecast.publishing.package import Package
from demand_forecast.service.contract.problems import Problem
from demand_forecast.service.contract.schema import SeriesId

EXPLAINED = 3  # unknown series whose nearest ids are looked up for one answer
NEAREST = 3
DECIMALS = 6  # of a unit; as float32 an answer would be further from the table than that
Arm = Literal["champion", "challenger"]
Numbers = np.ndarray[Any, np.dtype[np.float64]]
LEVELS = dict(zip(QUANTILE_LEVELS, range(1, 10), strict=True))


class PublishedForecast:
    """`values`: float64, shape (series, numbers, horizon): FORECAST_NUMBERS, each contiguous in time.

    `alignment`: float64, shape (series, horizon): what the model's mean was multiplied by.
    """

    def __init__(self, package: Package, arm: Arm = "champion") -> None:
        frame = package.forecast
        self.info = info = package.info
        self._named = {"model": info.model, "model_version": info.model_version, "arm": arm, "cold_start": False}
        self.days = frame["date"].unique().sort().to_list()
        self.dates = [day.isoformat() for day in self.days]
        self.horizon = len(self.dates)
        self.keys = frame[:: self.horizon].select("store_id", "product_id").rows()
        self.rows = {key: row for row, key in enumerate(self.keys)}
        shape = (len(self.rows), self.horizon)
        self.values = numbers_of(frame, len(self.rows))
        self.alignment = frame["alignment"].to_numpy().reshape(shape)

    def forecast(self, row: int, horizon: int, levels: Sequence[float]) -> dict[str, Any]:
        """The content of a SeriesForecast, its numbers views of `values`."""
        block = self.values[row]
        return self.named(*self.keys[row]) | {
            "mean": block[0, :horizon],
            "quantiles": {str(level): block[LEVELS[level], :horizon] for level in levels},
        }

    def named(self, store_id: str, product_id: str) -> dict[str, Any]:
        """The fields of a SeriesForecast other than its numbers."""
        return {"store_id": store_id, "product_id": product_id, **self._named}

    def frame(self, rows: Sequence[int], values: Numbers) -> pl.DataFrame:
        """The table demand_forecast of the series in `rows`, in that order; `values`: (rows, numbers, horizon)."""
        keys = pl.DataFrame([self.keys[row] for row in rows], schema=["store_id", "product_id"], orient="row")
        days = pl.DataFrame({"date": self.days, "horizon": pl.Series(range(1, self.horizon + 1), dtype=pl.Int32)})
        by_day = values.transpose(0, 2, 1).reshape(len(rows) * self.horizon, -1)
        numbers = pl.DataFrame(by_day, schema=[*FORECAST_NUMBERS])
        placed = keys.join(days, how="cross", maintain_order="left_right")
        return pl.concat([placed, numbers], how="horizontal").with_columns(
            forecast_origin=pl.lit(self.info.forecast_origin)
        )

    def places(self, series: Sequence[SeriesId]) -> list[int]:
        """The row of each of `series`. Raises Problem 404 with the nearest ids if one is not in the forecast."""
        try:
            return [self.rows[item.store_id, item.product_id] for item in series]
        except KeyError:
            raise self.unknown(series) from None

    def periods(self, horizon: int | None) -> int:
        """The number of periods asked for; all that are published for None. Raises Problem 422 for more than these."""
        if horizon is not None and horizon > self.horizon:
            detail = f"horizon: {horizon} is beyond what is published; ask for 1 to {self.horizon}"
            raise Problem(422, detail)
        return horizon or self.horizon

    def unknown(self, series: Iterable[SeriesId]) -> Problem:
        """Problem 404 for those of `series` that are not in the forecast, with the nearest ids."""
        unknown = [item for item in series if (item.store_id, item.product_id) not in self.rows]
        shown = unknown[:EXPLAINED]  # looking up what is near takes milliseconds of every other request
        nearest = [{"store_id": item.store_id, "product_id": item.product_id} | self._near(item) for item in shown]
        more = f"; and {len(unknown) - EXPLAINED} more" if len(unknown) > EXPLAINED else ""
        return Problem(404, "; ".join(map(_detail, nearest)) + more, {"unknown": nearest})

    def _near(self, series: SeriesId) -> dict[str, list[str]]:
        stores = {store for store, _ in self.keys}
        if series.store_id not in stores:
            return {"nearest_stores": _nearest(series.store_id, stores)}
        sold = [product for store, product in self.keys if store == series.store_id]
        return {"nearest_products": _nearest(series.product_id, sold)}


def numbers_of(forecast: pl.DataFrame, series: int) -> Numbers:
    """The numbers of a table demand_forecast that is sorted by series and horizon, shape (series, numbers, horizon)."""
    numbers = forecast.select(FORECAST_NUMBERS).to_numpy().astype(np.float64).round(DECIMALS)
    return np.ascontiguousarray(numbers.reshape(series, -1, numbers.shape[1]).transpose(0, 2, 1))


def rounded(frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with its numbers rounded to the seven digits that a float32 holds: 0.95, not 0.949999988079071."""
    return frame.with_columns(pl.col(pl.Float32, pl.Float64).cast(pl.Float64).round_sig_figs(7))


def _detail(item: dict[str, Any]) -> str:
    if stores := item.get("nearest_stores"):
        return f"no store_id {item['store_id']}; nearest: {', '.join(stores)}"
    near = ", ".join(item["nearest_products"])
    return f"no product_id {item['product_id']} in store_id {item['store_id']}; nearest: {near}"


def _nearest(text: str, known: Iterable[str]) -> list[str]:
    return [found for found, _, _ in process.extract(text, sorted(known), scorer=fuzz.ratio, limit=NEAREST)]
