"""One shop with what the lake knows of it on the morning of a plan: demand, forecasts, stock."""

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import polars as pl

from demand_forecast.domain.demand.calendar import Frequency, calendar_of
from demand_forecast.domain.models.distribution import count_quantiles
from demand_forecast.domain.replenishment.policy import reorder_plan
from demand_forecast.domain.tables import QUANTILE_COLUMNS, SERIES
from demand_forecast.domain.watching.attention import WEEKS, WEEKS_BEFORE, recent_days, series_overview
from demand_forecast.domain.watching.live_accuracy import newest_published
from demand_forecast.settings import Replenishment

ORIGIN = date(2026, 10, 4)
DAYS = 7 * (WEEKS + WEEKS_BEFORE)
SETTINGS = Replenishment()


class Shop:
    """Products p000, p001 … of one shop: what each sold on the days until ORIGIN, and what is expected of it a day."""

    def __init__(self, units: np.ndarray, expected: Sequence[float], frequency: Frequency = "daily") -> None:
        self.frequency, self.step = frequency, calendar_of(frequency).step
        self.origin = ORIGIN if self.step == 1 else ORIGIN - timedelta(days=6)
        self.ids = [f"p{number:03}" for number in range(len(expected))]
        periods = units.shape[1]
        days = [self.origin - timedelta(days=self.step * back) for back in reversed(range(periods))]
        self.demand = self._rows(days, len(units)).with_columns(
            units=pl.Series(units.ravel(), dtype=pl.Float32), in_stock=pl.lit(1.0), open=pl.lit(True)
        )
        self.forecast = self._forecast(np.asarray(expected))
        self.stock: pl.DataFrame | None = None
        self.published = self.forecasts_of_the_day_before(pl.col("units")).clear()

    def _rows(self, days: list[date], products: int) -> pl.DataFrame:
        ids = pl.DataFrame({"store_id": "s", "product_id": self.ids[:products]})
        return ids.join(pl.DataFrame({"date": days}, schema={"date": pl.Date}), how="cross")

    def _forecast(self, expected: np.ndarray, horizon: int = 14) -> pl.DataFrame:
        days = [self.origin + timedelta(days=self.step * (ahead + 1)) for ahead in range(horizon)]
        mean = np.repeat(expected, horizon)
        quantiles = count_quantiles(mean, mean).astype(np.float32)
        return self._rows(days, len(expected)).with_columns(
            pl.lit(self.origin).alias("forecast_origin"),
            pl.Series("horizon", np.tile(np.arange(1, horizon + 1, dtype=np.int32), len(expected))),
            pl.Series("mean", mean.astype(np.float32)),
            *(pl.Series(name, quantiles[:, number]) for number, name in enumerate(QUANTILE_COLUMNS)),
            variance=pl.Series(mean.astype(np.float32)),
            correlation=pl.lit(0.1, pl.Float32),
        )

    def forecasts_of_the_day_before(self, mean: pl.Expr) -> pl.DataFrame:
        """What was published of every day in `demand`."""
        made = {"forecast_origin": pl.col("date") - pl.duration(days=self.step), "role": pl.lit("champion")}
        return self.demand.select(*SERIES, "date", mean=mean, **made)

    def plan(self, products: pl.DataFrame | None = None) -> pl.DataFrame:
        return reorder_plan(self.forecast, self.stock, SETTINGS, self.frequency, products)

    def overview(self, products: pl.DataFrame | None = None, stores: pl.DataFrame | None = None) -> pl.DataFrame:
        products = pl.DataFrame({"product_id": self.ids}) if products is None else products
        stores = pl.DataFrame({"store_id": ["s"]}) if stores is None else stores
        plan = self.plan(products)
        newest = newest_published(self.published.lazy(), recent_days(self.origin))
        return series_overview(self.forecast, plan, self.demand, newest, products, stores, SETTINGS, self.frequency)


def poisson(levels: Sequence[float], days: int = DAYS, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).poisson(np.asarray(levels)[:, None], (len(levels), days)).astype(float)
