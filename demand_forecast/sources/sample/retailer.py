"""What the sample retailer's customers wanted, and what they could buy."""

import json
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.random import Generator
from numpy.typing import NDArray

from demand_forecast.sources.sample import catalogue, plan

Array = NDArray[np.float64]
STOCK_OUT_HAZARD = 0.005  # starts a day, at usual demand
MARKDOWN_SHARE = 0.004  # of lines of 4 units or more that sold in part at a lower price


@dataclass(frozen=True)
class Trade:
    """Each (stores, products, days): `sales` is what stock let through of `demand`."""

    demand: NDArray[np.int64]
    sales: NDArray[np.int64]
    in_stock: Array


def draw_trade(prices: plan.Plan, rng: Generator) -> Trade:
    """Negative-binomial demand around `expected_demand`, cut by runs without stock."""
    mean = expected_demand(prices, rng)
    # Shape of the gamma mixture: variance = mean + mean^2 / shape.
    shape = np.where(mean > 3, 25.0, 6.0)
    demand = rng.poisson(mean * rng.gamma(shape) / shape)
    in_stock = draw_stock(mean, rng)
    return Trade(demand, rng.binomial(demand, in_stock), in_stock)


def expected_demand(prices: plan.Plan, rng: Generator) -> Array:
    """(stores, products, days): the product of level, trend, season, weekday, calendar, price and promotion.

    Zero where a product is not on sale or the stores are closed.
    """
    products, stores = catalogue.products(), catalogue.stores()
    level = stores["Level"].to_numpy()[:, None] * products["Rate"].to_numpy()
    level = level * rng.lognormal(0, 0.2, level.shape)
    rhythm = _rhythm(stores) * _growth(stores, rng) * _weather(stores.height, rng)[:, None]
    return level[..., None] * rhythm * _calendar_effect() * _novelty() * price_effect(prices) * plan.on_sale()


def _of_department(values: dict[str, Array] | dict[str, float]) -> Array:
    return np.array([values[name] for name in catalogue.products()["Department"]])


def _day_axis() -> NDArray[np.datetime64]:
    return np.array(catalogue.days(), "datetime64[D]")


def _rhythm(stores: pl.DataFrame) -> Array:
    """Week and year, (stores, products, days)."""
    axis = _day_axis()
    weekday = (axis.astype(int) + 3) % 7  # 1970-01-01 was a Thursday
    of_year = (axis - axis.astype("datetime64[Y]")).astype(int)
    week = _of_department({name: np.array(d.weekday)[weekday] for name, d in catalogue.DEPARTMENTS.items()})
    year = _of_department(
        {n: d.season * np.cos(2 * np.pi * (of_year - d.peak_day) / 365.25) for n, d in catalogue.DEPARTMENTS.items()}
    )
    tilt, coast = stores["Weekend"].to_numpy(), stores["Coast"].to_numpy()
    return week ** tilt[:, None, None] * np.exp(coast[:, None, None] * year)


def _growth(stores: pl.DataFrame, rng: Generator) -> Array:
    """Slow trend, of the store and of the product, (stores, products, days)."""
    years = np.arange(len(catalogue.days())) / 365.25
    product = rng.normal(0, 0.05, catalogue.products().height)
    rate = stores["Growth"].to_numpy()[:, None] + product
    return np.exp(rate[..., None] * years)


def _weather(stores: int, rng: Generator) -> Array:
    """What moves a whole store for some days, (stores, days): AR(1), 4% of trade."""
    shock = rng.normal(0, 0.04 * np.sqrt(1 - 0.6**2), (stores, len(catalogue.days())))
    for day in range(1, shock.shape[1]):
        shock[:, day] += 0.6 * shock[:, day - 1]
    return np.exp(shock)


def _calendar_effect() -> Array:
    """(products, days): peaks before holidays and Christmas, quiet holidays, school holidays."""
    names = [catalogue.holiday(day) for day in catalogue.days(planned=True)]
    effect = {name: np.array(_calendar_factors(name, names)) for name in catalogue.DEPARTMENTS}
    return _of_department(effect)


def _calendar_factors(department: str, names: list[str]) -> list[float]:
    about = catalogue.DEPARTMENTS[department]
    days = catalogue.days()
    eves = [about.eve if names[n + 1] and not names[n] else 1.0 for n in range(len(days))]
    advent = [about.eve ** ((day.day - 14) / 10) if day.month == 12 and 15 <= day.day <= 24 else 1.0 for day in days]
    quiet = [0.8 if names[n] else 1.0 for n in range(len(days))]
    school = [about.school_holiday if catalogue.is_school_holiday(day) else 1.0 for day in days]
    return [float(np.prod(factors)) for factors in zip(eves, advent, quiet, school, strict=True)]


def _novelty() -> Array:
    """(products, days): a launched product reaches its level over about six weeks."""
    launched = catalogue.products()["Launched"].to_numpy().astype("datetime64[D]")
    age = (_day_axis() - launched[:, None]).astype(float)
    return np.where(np.isnat(launched)[:, None], 1.0, 1 - 0.6 * np.exp(-np.maximum(age, 0) / 14))


def price_effect(prices: plan.Plan) -> Array:
    """(stores, products, days): uplift of a promotion times (price / base price) ** elasticity."""
    days = len(catalogue.days())
    elasticity = _of_department({name: d.elasticity for name, d in catalogue.DEPARTMENTS.items()})
    uplift = _of_department({name: d.uplift for name, d in catalogue.DEPARTMENTS.items()})
    base = catalogue.products()["Price"].to_numpy()
    by_price = (prices.price[:, :days] / base[:, None]) ** elasticity[:, None]
    return by_price * np.where(prices.on_promotion[..., :days], uplift[:, None], 1.0)


def draw_stock(mean: Array, rng: Generator) -> Array:
    """Share of each open day with goods, (stores, products, days).

    A run without stock lasts 1 to 10 days, begins during its first day, and is likelier when demand is high.
    """
    usual = mean.sum(axis=2, keepdims=True) / np.maximum((mean > 0).sum(axis=2, keepdims=True), 1)
    hazard = STOCK_OUT_HAZARD * np.clip(mean / usual, 0.5, 4) ** 1.5
    starts = (rng.random(mean.shape) < hazard) & (mean > 0)
    in_stock = np.ones(mean.shape)
    for store, product, day in np.argwhere(starts):
        if in_stock[store, product, day - 1] == 1:
            run = in_stock[store, product, day : day + min(rng.geometric(0.3), 10)]
            run[:] = 0
            run[0] = round(rng.uniform(0.1, 0.9), 2)
    return in_stock


def truth_rows(trade: Trade) -> pl.DataFrame:
    """store_id, product_id, date, demand, sales, in_stock of every day on which the product was on sale."""
    on_sale = np.broadcast_to(plan.on_sale(), trade.demand.shape)
    store, product, day = np.nonzero(on_sale)
    return pl.DataFrame(
        {
            "store_id": catalogue.stores()["Store"].gather(store),
            "product_id": catalogue.products()["SKU"].gather(product),
            "date": pl.Series(_day_axis()[day]),
            "demand": trade.demand[on_sale].astype(np.int32),
            "sales": trade.sales[on_sale].astype(np.int32),
            "in_stock": trade.in_stock[on_sale].astype(np.float32),
        }
    )


def sales_lines(trade: Trade, prices: plan.Plan, rng: Generator) -> pl.DataFrame:
    """date, store_id, product_id, units, price: one line per product and price of a store's day, none without sales."""
    day, store, product = np.nonzero(trade.sales.transpose(2, 0, 1))
    units = trade.sales[store, product, day]
    lines = pl.DataFrame(
        {
            "date": pl.Series(_day_axis()[day]),
            "store_id": catalogue.stores()["Store"].gather(store),
            "product_id": catalogue.products()["SKU"].gather(product),
            "units": units,
            "price": prices.price[product, day],
        }
    )
    return _with_markdowns(lines, (rng.random(len(units)) < MARKDOWN_SHARE) & (units >= 4))


def _with_markdowns(lines: pl.DataFrame, marked: NDArray[np.bool_]) -> pl.DataFrame:
    """A quarter of the `marked` lines' units moved to a line of their own at 30% off."""
    quarter = pl.col("units") // 4
    kept = lines.with_columns(pl.when(pl.Series(marked)).then(pl.col("units") - quarter).otherwise(pl.col("units")))
    cheap = lines.filter(pl.Series(marked)).with_columns(quarter, (pl.col("price") * 0.7).round(2))
    return pl.concat([kept, cheap]).sort("date", "store_id", "product_id", "price", descending=[False] * 3 + [True])


def stock_rows(trade: Trade, rng: Generator) -> pl.DataFrame:
    """Date, Store, SKU, InStock, OnHand: days short of stock, and every series on the last day.

    A discontinued product has none on hand and no InStock.
    """
    last = (pl.col("date") == catalogue.LAST_DAY) & (pl.col("in_stock") == 1)
    cover = pl.Series("cover", rng.uniform(2, 9, trade.demand.shape[0] * trade.demand.shape[1]))
    truth = truth_rows(trade)
    recent = truth.group_by("store_id", "product_id", maintain_order=True).agg(pl.col("demand").tail(28).mean())
    held = (pl.col("demand") * cover).ceil().clip(lower_bound=1).cast(pl.Int64).alias("held")
    usual = recent.select("store_id", "product_id", held)
    rows = truth.filter((pl.col("in_stock") < 1) | last).join(
        usual, on=["store_id", "product_id"], how="left", maintain_order="left"
    )
    rows = rows.with_columns(pl.when(pl.col("in_stock") < 1).then(0).otherwise(pl.col("held")).alias("held"))
    columns = [
        pl.col("date").alias("Date"),
        pl.col("store_id").alias("Store"),
        pl.col("product_id").alias("SKU"),
        pl.col("in_stock").cast(pl.Float64).round(2).alias("InStock"),
        pl.col("held").alias("OnHand"),
    ]
    return pl.concat([rows.select(columns), _discontinued_stock()]).sort("Date", "Store", "SKU")


def _discontinued_stock() -> pl.DataFrame:
    gone = catalogue.products().filter(pl.col("Discontinued").is_not_null()).select("SKU")
    pairs = catalogue.stores().select("Store").join(gone, how="cross")
    return pairs.select(
        pl.lit(catalogue.LAST_DAY).alias("Date"),
        "Store",
        "SKU",
        pl.lit(None, pl.Float64).alias("InStock"),
        pl.lit(0, pl.Int64).alias("OnHand"),
    )


def effects() -> str:
    """The true effects by department, as JSON: `promotion_uplift` at the same price, and price `elasticity`."""
    return json.dumps(
        {
            "promotion_uplift": {name: d.uplift for name, d in catalogue.DEPARTMENTS.items()},
            "elasticity": {name: d.elasticity for name, d in catalogue.DEPARTMENTS.items()},
        },
        indent=2,
    )
