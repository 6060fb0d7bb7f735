"""A retailer whose demand is known: what every series is expected to sell a day, and the law of its days."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from numpy.random import Generator
from scipy.stats import nbinom, poisson

Array = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

FIRST_DAY = date(2023, 10, 2)
WEEK = np.array([0.85, 0.85, 0.90, 1.00, 1.15, 1.35, 0.90])  # Monday first; its mean is 1
YEAR = 0.12  # swing of the yearly season
DEPARTMENTS = ("bakery", "drinks", "garden", "household")
SHOPS = 3
MOST_OCCASIONS = 12  # of a lumpy day; more are as good as impossible


@dataclass(frozen=True)
class Kind:
    """How a kind of seller sells, each series with its own figures, uniform in the ranges (the level in its logarithm).

    level: expected units a day. dispersion: variance to mean of a day's units at the expected demand of that day.
    basket: mean units of one sale; 1 where units come one by one.
    """

    level: tuple[float, float]
    dispersion: tuple[float, float] = (1.0, 1.0)
    basket: tuple[float, float] = (1.0, 1.0)


KINDS = {
    "fast": Kind((5, 40), (1.3, 3.0)),
    "medium": Kind((1, 5), (1.2, 2.0)),
    "slow": Kind((0.1, 1), (1.1, 1.6)),
    "lumpy": Kind((0.2, 1.5), basket=(4, 10)),
}


@dataclass(frozen=True)
class DemandLaw:
    """The distribution of a day's demand, by series (rows of every array).

    One by one: negative binomial, Poisson mixed with a gamma of which each day draws its own. Lumpy: a Poisson number
    of sales, each of 1 + a geometric number of units; source: Johnson, Kemp & Kotz (2005), Univariate Discrete
    Distributions, 3rd ed., ch. 5.3 and 9.
    """

    dispersion: Array
    basket: Array

    def draw(self, expected: Array, rng: Generator) -> Whole:
        """Demand of days whose mean is `expected` (series, ...)."""
        dispersion, basket = (_beside(own, expected) for own in (self.dispersion, self.basket))
        lumpy = np.broadcast_to(basket > 1, expected.shape)
        spread = np.maximum(dispersion - 1, 1e-9)
        steady = rng.poisson(rng.gamma(expected / spread, spread))
        sales = rng.poisson(expected / basket)
        more = rng.poisson(rng.gamma(sales, basket - 1))
        return np.where(lumpy, sales + more, steady).astype(np.int64)

    def at_least(self, units: Whole, expected: Array) -> Array:
        """The probability of a demand of `units` (series, days) or more."""
        dispersion, basket = (_beside(own, expected) for own in (self.dispersion, self.basket))
        lumpy = self.basket > 1
        chance = np.empty(expected.shape)
        spread = np.maximum(dispersion - 1, 1e-9)
        chance[~lumpy] = nbinom.sf(units - 1, expected / spread, 1 / (1 + spread))[~lumpy]
        chance[lumpy] = _at_least_of_baskets(units[lumpy], expected[lumpy], basket[lumpy])
        return chance


def _beside(own: Array, days: Array) -> Array:
    return own.reshape(-1, *(1,) * (days.ndim - 1))


def _at_least_of_baskets(units: Whole, expected: Array, basket: Array) -> Array:
    """sum over n of P(n sales) P(n + negative binomial >= units)."""
    rate = expected / basket
    parts = [
        poisson.pmf(sales, rate) * nbinom.sf(units - 1 - sales, sales, 1 / basket)
        for sales in range(1, MOST_OCCASIONS + 1)
    ]
    return np.where(units <= 0, 1.0, np.sum(parts, axis=0))


@dataclass(frozen=True)
class Retailer:
    """`series`: store_id, product_id, department, kind, a row per series. `expected` (series, days): demand expected
    on each of `days`, of which the last `horizon` are after the last day of sales. `demand` (series, days) was drawn.
    """

    series: pl.DataFrame
    days: list[date]
    horizon: int
    expected: Array
    law: DemandLaw
    demand: Whole

    @property
    def history(self) -> int:
        """The number of days of sales."""
        return len(self.days) - self.horizon

    def futures(self, days: int, count: int, rng: Generator) -> Whole:
        """(series, count): demand over the first `days` after the last day of sales, each column drawn anew."""
        ahead = self.expected[:, None, self.history : self.history + days]
        shape = (len(self.series), count, days)
        return self.law.draw(np.broadcast_to(ahead, shape), rng).sum(axis=2)


def open_retailer(products: int, history: int, horizon: int, seed: int) -> Retailer:
    """`products` of each of three shops, a quarter of each kind; the same demand for the same arguments."""
    rng = np.random.default_rng([seed, 1])
    series = _series(products)
    level, dispersion, basket = _figures(series["kind"].to_list(), products, rng)
    days = [FIRST_DAY + timedelta(days=day) for day in range(history + horizon)]
    expected = level[:, None] * season(series["department"].to_list(), days, rng)
    law = DemandLaw(dispersion, basket)
    return Retailer(series, days, horizon, expected, law, law.draw(expected, rng))


def _series(products: int) -> pl.DataFrame:
    """Kinds and departments cross: every department sells every kind."""
    number = range(products)
    goods = pl.DataFrame(
        {
            "product_id": [f"p{one:03d}" for one in number],
            "department": [DEPARTMENTS[one // len(KINDS) % len(DEPARTMENTS)] for one in number],
            "kind": [[*KINDS][one % len(KINDS)] for one in number],
        }
    )
    shops = pl.DataFrame({"store_id": [f"shop{one}" for one in range(1, SHOPS + 1)]})
    return shops.join(goods, how="cross", maintain_order="left_right")


def _figures(kinds: list[str], products: int, rng: Generator) -> tuple[Array, Array, Array]:
    """Level, dispersion and basket by series. A product's level is alike in all shops."""
    ranges: Any = np.array([[KINDS[kind].level, KINDS[kind].dispersion, KINDS[kind].basket] for kind in kinds])
    low, high = ranges[..., 0].T, ranges[..., 1].T
    of_product = np.tile(rng.random(products), len(kinds) // products)
    place = np.clip(of_product + rng.normal(0, 0.1, len(kinds)), 0, 1)
    level = low[0] * (high[0] / low[0]) ** place
    dispersion, basket = (low[one] + (high[one] - low[one]) * rng.random(len(kinds)) for one in (1, 2))
    return level, dispersion, basket


def season(departments: list[str], days: list[date], rng: Generator) -> Array:
    """(series, days): week times year, near 1 on average. A department has its own peak and its own share of the week.

    No trend, no holidays.
    """
    weekday, of_year = (np.array([get(day) for day in days]) for get in (date.weekday, lambda day: day.timetuple()[7]))
    tilt = dict(zip(DEPARTMENTS, rng.uniform(0.5, 1.5, len(DEPARTMENTS)), strict=True))
    peak = dict(zip(DEPARTMENTS, rng.uniform(0, 365, len(DEPARTMENTS)), strict=True))
    week = np.array([1 + tilt[name] * (WEEK - 1) for name in departments])
    angle = 2 * np.pi * (of_year - np.array([peak[name] for name in departments])[:, None]) / 365.25
    return week[:, weekday] * (1 + YEAR * np.cos(angle))
