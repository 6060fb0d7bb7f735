"""Prices and promotions of the sample retailer, by product and day, past and planned."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.random import Generator
from numpy.typing import NDArray

from demand_forecast.sources.sample import catalogue

PROMOTED_WEEKS = 0.08  # share of weeks, for every store, with a lower price
DISPLAY_WEEKS = 0.004  # share of weeks, in one store, at the usual price
REPRICED_WEEKS = 0.012


@dataclass(frozen=True)
class Plan:
    """`price`, `promoted`: (products, days); `displayed`: (stores, products, days). Planned days are among the days."""

    price: NDArray[np.float64]
    promoted: NDArray[np.bool_]
    displayed: NDArray[np.bool_]

    @property
    def on_promotion(self) -> NDArray[np.bool_]:
        """(stores, products, days)"""
        return self.displayed | self.promoted[None]


def draw_plan(rng: Generator) -> Plan:
    """Prices that rise now and then on a Monday, promotion weeks with 10 to 30% off, and display weeks by store."""
    products, stores, days = catalogue.products(), catalogue.stores(), len(catalogue.days(planned=True))
    shape = (products.height, -(-days // 7))
    promoted = _by_day(rng.random(shape) < PROMOTED_WEEKS, days)
    displayed = _by_day(rng.random((stores.height, *shape)) < DISPLAY_WEEKS, days)
    rises = np.where(rng.random(shape) < REPRICED_WEEKS, rng.uniform(-0.02, 0.07, shape), 0.0)
    usual = _shelf_price(products["Price"].to_numpy()[:, None] * np.exp(np.cumsum(rises, axis=1)))
    discounted = _shelf_price(usual * (1 - rng.choice([0.1, 0.15, 0.2, 0.25, 0.3], shape)))
    price = np.where(promoted, _by_day(discounted, days), _by_day(usual, days))
    return Plan(price, promoted, displayed)


def _by_day(weekly: NDArray, days: int) -> NDArray:
    return np.repeat(weekly, 7, axis=-1)[..., :days]


def _shelf_price(price: NDArray[np.float64]) -> NDArray[np.float64]:
    """To the next 5 cents."""
    return np.round(np.round(price * 20) / 20, 2)


def price_rows(plan: Plan) -> pl.DataFrame:
    """Date, Store, SKU, Price, Promo: a row where a price changes or a promotion is on, else none.

    Store is null for every store. A display row has no Price: the price for every store goes on.
    """
    chain, display = _chain_rows(plan), _display_rows(plan)
    return pl.concat([chain, display]).sort("Date", "Store", "SKU", nulls_last=False)


def _chain_rows(plan: Plan) -> pl.DataFrame:
    products, days = catalogue.products(), catalogue.days(planned=True)
    on_sale = _planned_on_sale()
    first = on_sale & ~np.roll(on_sale, 1, axis=1)
    first[:, 0] = on_sale[:, 0]
    changed = np.diff(plan.price, axis=1, prepend=0.0) != 0
    ended = np.roll(plan.promoted, 1, axis=1) & ~plan.promoted
    product, day = np.nonzero(on_sale & (first | changed | ended | plan.promoted))
    return pl.DataFrame(
        {
            "Date": [days[d] for d in day],
            "Store": pl.Series([None] * len(day), dtype=pl.String),
            "SKU": products["SKU"].gather(product),
            "Price": plan.price[product, day],
            "Promo": plan.promoted[product, day].astype(np.int8),
        }
    )


def _display_rows(plan: Plan) -> pl.DataFrame:
    products, stores, days = catalogue.products(), catalogue.stores(), catalogue.days(planned=True)
    store, product, day = np.nonzero(plan.displayed & ~plan.promoted & _planned_on_sale())
    return pl.DataFrame(
        {
            "Date": [days[d] for d in day],
            "Store": stores["Store"].gather(store),
            "SKU": products["SKU"].gather(product),
            "Price": pl.Series([None] * len(day), dtype=pl.Float64),
            "Promo": np.ones(len(day), np.int8),
        }
    )


def _planned_on_sale() -> NDArray[np.bool_]:
    """(products, days): launched and not discontinued."""
    products = catalogue.products()
    axis = np.array(catalogue.days(planned=True), "datetime64[D]")
    launched = products["Launched"].fill_null(catalogue.FIRST_DAY).to_numpy().astype("datetime64[D]")
    end = catalogue.LAST_DAY + timedelta(days=catalogue.PLANNED_DAYS)
    last = products["Discontinued"].fill_null(end).to_numpy().astype("datetime64[D]")
    return (axis >= launched[:, None]) & (axis <= last[:, None])


def on_sale() -> NDArray[np.bool_]:
    """(products, days of trade): launched, not discontinued, and the stores open."""
    closed = np.array([catalogue.is_closed(day) for day in catalogue.days()])
    return _planned_on_sale()[:, : len(closed)] & ~closed
