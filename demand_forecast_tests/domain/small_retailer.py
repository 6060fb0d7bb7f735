"""A retailer small enough to train on in a second: two shops with a weekly rhythm, promotions and price cuts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from demand_forecast.domain.demand.calendar import Frequency
from demand_forecast.domain.features import (
    FeatureContract,
    ForecastFeatures,
    History,
    Vintage,
    build_demand_features,
    build_forecast_features,
    build_history,
)
from demand_forecast.settings import Covariates, Training

FIRST_DAY = date(2023, 1, 2)
WEEKDAY = np.array([0.8, 0.8, 0.9, 1.0, 1.3, 1.6, 0.0])  # closed on Sundays
COVARIATES = Covariates(static=["department", "size"], known_future=["promo", "event", "price"], past_only=["visitors"])
DECLARED = {"static": ["department", "size"], "known_future": ["promo", "event"], "past_only": ["visitors"]}
SMALL = Training(window=400, max_rows=5_000)


@dataclass(frozen=True)
class Retailer:
    """The five tables that features are built from, and how to read them."""

    demand: pl.DataFrame
    plan: pl.DataFrame
    products: pl.DataFrame
    stores: pl.DataFrame
    covariates: Covariates
    horizon: int = 14
    frequency: Frequency = "daily"
    stock: pl.DataFrame | None = None

    @property
    def last_day(self) -> date:
        return self.demand["date"].max()  # type: ignore[return-value]

    def until(self, day: date) -> "Retailer":
        return replace(self, demand=self.demand.filter(pl.col("date") <= day))

    def history(self, since: date | None = None) -> History:
        return build_history(*self._tables, **self._reading, since=since)

    def features(
        self,
        origins: list[date],
        *,
        training: Training = SMALL,
        seed: int = 7,
        previous: FeatureContract | None = None,
        vintages: Sequence[Vintage] = (),
    ) -> tuple[pl.DataFrame, FeatureContract]:
        asked: dict[str, Any] = {"origins": origins, "training": training, "seed": seed}
        return build_demand_features(*self._tables, **self._reading, **asked, previous=previous, vintages=vintages)

    def ahead(self, previous: FeatureContract, started: pl.DataFrame | None = None) -> ForecastFeatures:
        """What the next forecast is made from; `started` where `demand` begins later than the sales did."""
        if started is None:
            started = self.demand.group_by("store_id", "product_id").agg(first_sale=pl.col("date").min())
        return build_forecast_features(*self._tables, **self._reading, started=started, previous=previous)

    @property
    def _tables(self) -> tuple[Any, ...]:
        return self.demand, self.plan, self.products, self.stores, self.stock

    @property
    def _reading(self) -> dict[str, Any]:
        return {"covariates": self.covariates, "frequency": self.frequency, "horizon": self.horizon}


def make_retailer(days: int = 450, products: int = 6, horizon: int = 14, seed: int = 3) -> Retailer:
    """Demand rises by half on promotion and falls with the square of the price; P-05 starts 300 days late."""
    rng = np.random.default_rng(seed)
    span = [FIRST_DAY + timedelta(days=i) for i in range(days + horizon)]
    promo = rng.random((products, len(span))) < 0.1
    price = 5 * np.where(rng.random((products, len(span) // 14 + 1)) < 0.3, 0.8, 1.0).repeat(14, axis=1)
    parts = []
    for s, store in enumerate(["North", "South"]):
        for p in range(products):
            start = 300 if p == 5 and days > 320 else 0
            level = 12 * 0.45**p * (1 + s) * (1 + 0.5 * promo[p]) * (5 / price[p, : len(span)]) ** 2
            mean = level * np.array([WEEKDAY[day.weekday()] for day in span])
            units = rng.poisson(mean)
            parts.append(_series(store, f"P-{p:02d}", span[start:days], units[start:days], price[p, start:days], rng))
    return Retailer(
        demand=pl.concat(parts),
        plan=_plan(span, promo, price),
        products=pl.DataFrame(
            {
                "product_id": [f"P-{p:02d}" for p in range(products)],
                "department": [f"D{p % 2}" for p in range(products)],
            }
        ),
        stores=pl.DataFrame({"store_id": ["North", "South"], "size": [100.0, 250.0]}),
        covariates=COVARIATES,
        horizon=horizon,
    )


def _series(
    store: str, product: str, days: list[date], units: np.ndarray, price: np.ndarray, rng: np.random.Generator
) -> pl.DataFrame:
    in_stock = np.where(rng.random(len(days)) < 0.03, 0.2, 1.0)
    return pl.DataFrame(
        {
            "store_id": store,
            "product_id": product,
            "date": days,
            "units": (units * (in_stock == 1)).astype(np.float32),
            "price": price.astype(np.float32),
            "in_stock": in_stock.astype(np.float32),
            "open": [day.weekday() != 6 for day in days],
            "visitors": rng.poisson(200, len(days)).astype(np.float32),
        }
    )


def _plan(span: list[date], promo: np.ndarray, price: np.ndarray) -> pl.DataFrame:
    """Promotions by product, events for every shop, prices by product at the day they change."""
    by_product = [
        pl.DataFrame(
            {
                "date": span,
                "product_id": f"P-{p:02d}",
                "promo": promo[p].astype(np.float32),
                "price": price[p, : len(span)],
            }
        )
        for p in range(len(promo))
    ]
    events = pl.DataFrame(
        {
            "date": span[20::45],
            "event": ["fair", "match"] * (len(span[20::45]) // 2) + ["fair"] * (len(span[20::45]) % 2),
        }
    )
    columns = {
        "store_id": pl.String,
        "product_id": pl.String,
        "price": pl.Float32,
        "promo": pl.Float32,
        "event": pl.String,
    }
    plan = pl.concat([*by_product, events], how="diagonal").with_columns(store_id=pl.lit(None, pl.String))
    return plan.select("date", *(pl.col(name).cast(dtype) for name, dtype in columns.items()))


def tiny_series(units: list[float], *, weekly: bool = False) -> Retailer:
    """One series without price or covariates."""
    step = 7 if weekly else 1
    demand = pl.DataFrame(
        {
            "store_id": "North",
            "product_id": "P-00",
            "date": [FIRST_DAY + timedelta(days=step * i) for i in range(len(units))],
            "units": pl.Series(units, dtype=pl.Float32),
            "price": pl.Series([None] * len(units), dtype=pl.Float32),
            "in_stock": pl.Series([1.0] * len(units), dtype=pl.Float32),
            "open": [True] * len(units),
        }
    )
    plan = pl.DataFrame(schema={"date": pl.Date, "store_id": pl.String, "product_id": pl.String, "price": pl.Float32})
    products = pl.DataFrame({"product_id": ["P-00"]})
    stores = pl.DataFrame({"store_id": ["North"]})
    how: dict[str, Any] = {"horizon": 4, "frequency": "weekly"} if weekly else {"horizon": 7}
    return Retailer(demand, plan, products, stores, Covariates(), **how)
