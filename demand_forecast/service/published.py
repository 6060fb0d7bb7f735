"""The published forecast in memory: one block of numbers and the place of each series in it."""

import difflib
import heapq
from collections.abc import Sequence
from typing import Any

from demand_forecast.domain.tables import QUANTILE_COLUMNS, QUANTILE_LEVELS
from demand_forecast.service.schema import ForecastRequest, Series
from demand_forecast.tracking.package import Package

DECIMALS = 3  # of a unit
SHORTLIST = 30  # ids that are compared letter by letter: a store may have 50,000 products
EXPLAINED = 3  # unknown series whose nearest ids are looked up for one answer


class UnknownSeriesError(LookupError):
    """Series that are not in the forecast; the message names the nearest ids."""


class HorizonError(ValueError):
    """A horizon beyond what is published."""


class PublishedForecast:
    """`values` is float32 of shape (series, horizon, 1 + 9): the mean, then the quantiles."""

    def __init__(self, package: Package) -> None:
        frame = package.forecast
        self.info = package.info
        self.dates = [day.isoformat() for day in frame["date"].unique().sort()]
        self.horizon = len(self.dates)
        self.rows = {key: row for row, key in enumerate(frame[:: self.horizon].select("store_id", "product_id").rows())}
        columns = frame.select("mean", *QUANTILE_COLUMNS)
        self.values = columns.to_numpy(order="c").reshape(len(self.rows), self.horizon, columns.width)

    def answer(self, request: ForecastRequest) -> dict[str, Any]:
        """The content of a ForecastResponse. Raises UnknownSeriesError, HorizonError."""
        horizon = request.horizon or self.horizon
        if horizon > self.horizon:
            raise HorizonError(f"horizon: {horizon} is beyond what is published; ask for 1 to {self.horizon}")
        if unknown := [item for item in request.series if (item.store_id, item.product_id) not in self.rows]:
            raise UnknownSeriesError(self._explain(unknown))
        return {
            "model": self.info.model,
            "model_version": self.info.model_version,
            "forecast_origin": self.info.forecast_origin.isoformat(),
            "forecasts": [self._one(item, horizon, request.quantiles) for item in request.series],
        }

    def _one(self, series: Series, horizon: int, levels: Sequence[float]) -> dict[str, Any]:
        block = self.values[self.rows[series.store_id, series.product_id], :horizon]
        mean, *quantiles = block.astype(float).round(DECIMALS).T.tolist()
        by_level = dict(zip(QUANTILE_LEVELS, quantiles, strict=True))
        return {
            "store_id": series.store_id,
            "product_id": series.product_id,
            "dates": self.dates[:horizon],
            "mean": mean,
            "quantiles": {str(level): by_level[level] for level in levels},
        }

    def _explain(self, unknown: Sequence[Series]) -> str:
        said = "; ".join(self._nearest(item) for item in unknown[:EXPLAINED])
        more = len(unknown) - EXPLAINED
        return said + (f"; and {more} more" if more > 0 else "")

    def _nearest(self, series: Series) -> str:
        stores = {store for store, _ in self.rows}
        if series.store_id not in stores:
            return f"no store_id {series.store_id}; nearest: {_close(series.store_id, stores)}"
        sold = {product for store, product in self.rows if store == series.store_id}
        near = _close(series.product_id, sold)
        return f"no product_id {series.product_id} in store_id {series.store_id}; nearest: {near}"


def _close(wanted: str, known: set[str]) -> str:
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(wanted)

    def likeness(candidate: str, quick: bool) -> tuple[float, str]:
        matcher.set_seq1(candidate)
        return -(matcher.quick_ratio() if quick else matcher.ratio()), candidate

    shortlist = heapq.nsmallest(SHORTLIST, known, key=lambda candidate: likeness(candidate, quick=True))
    return ", ".join(sorted(shortlist, key=lambda candidate: likeness(candidate, quick=False))[:3])
