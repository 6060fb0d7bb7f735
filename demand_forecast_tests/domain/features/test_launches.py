"""New products: announced before they sell, and measured by what others like them sold."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from statistics import fmean

import numpy as np
import polars as pl
import pytest

from demand_forecast.settings import Covariates
from demand_forecast_tests.domain.small_retailer import Retailer, make_retailer, tiny_series

STARTS = {"P-02": 110, "P-03": 170, "P-04": 230}  # days after the first
KEYS = ["store_id", "product_id"]


@pytest.fixture(scope="module")
def retailer() -> Retailer:
    """P-02 to P-05 come one after the other; P-04 and P-02 share a department."""
    base = make_retailer()
    first = base.demand["date"].min()
    start = pl.col("product_id").replace_strict(STARTS, default=0, return_dtype=pl.Int64)
    late = pl.col("date") >= pl.lit(first) + pl.duration(days=start)
    return replace(base, demand=base.demand.filter(late), plan=base.plan.drop("price"), covariates=DECLARED)


DECLARED = Covariates(static=["department", "size"], known_future=["promo", "event"])


Sold = tuple[float, float]  # units of a day, and the share of it in which there was something to sell


def rate(days: Iterable[Sold]) -> float:
    units, shares = zip(*days, strict=True)
    return sum(units) / sum(shares)


class Shelf:
    """What was sold, and for how long it could be, by (store, product) and day; the slow oracle."""

    def __init__(self, retailer: Retailer) -> None:
        self.began = retailer.demand["date"].min()
        self.department = dict(retailer.products.select("product_id", "department").iter_rows())
        self.days: dict[tuple[str, str], dict[date, Sold | None]] = {}
        for row in retailer.demand.iter_rows(named=True):
            counts = row["open"] and row["in_stock"] > 0
            series = self.days.setdefault((row["store_id"], row["product_id"]), {})
            series[row["date"]] = (row["units"], row["in_stock"]) if counts else None

    def launched(self, day: date, **same: str) -> list[Sold]:
        """Units of each day of the first eight weeks of each launch, over the year to `day`."""
        found = []
        for (store, product), days in self.days.items():
            first = min(days)
            alike = same.items() <= {"store": store, "department": self.department[product]}.items()
            if first > self.began + timedelta(days=56) and alike:
                weeks = [first + timedelta(days=age) for age in range(1, 57)]
                found += [days.get(d) for d in weeks if day - timedelta(days=364) < d <= day]
        return [sold for sold in found if sold is not None]

    def similar(self, store: str, product: str, day: date) -> float:
        department = self.department[product]
        level = self.usual(store, department, day)
        if everywhere := self.launched(day):
            level = rate(everywhere)
        for same in ({"store": store}, {"store": store, "department": department}):
            seen = self.launched(day, **same)
            level = rate([*seen, (2 * 56 * level, 2 * 56)])
        return level

    def usual(self, store: str, department: str, day: date) -> float:
        lately = [day - timedelta(days=back) for back in range(28)]
        alike = [days for (s, p), days in self.days.items() if s == store and self.department[p] == department]
        return rate(sold for days in alike for d in lately if (sold := days.get(d)) is not None)


def ahead(retailer: Retailer, origin: date, stock: pl.DataFrame | None = None) -> pl.DataFrame:
    return replace(retailer, stock=stock).features([origin])[0].filter(~pl.col("training"))


@pytest.mark.parametrize("age", [0, 1, 5, 40, 150])
@pytest.mark.parametrize("product", ["P-02", "P-04"])
def test_the_level_of_a_new_series_is_drawn_towards_launches_like_it(
    retailer: Retailer, product: str, age: int
) -> None:
    shelf = Shelf(retailer)
    origin = shelf.began + timedelta(days=STARTS[product] + age)
    for row in ahead(retailer, origin).filter(pl.col("product_id") == product).iter_rows(named=True):
        days = shelf.days[row["store_id"], product]
        own = sum(sold[1] for day, sold in days.items() if min(days) < day <= origin and sold is not None)
        similar = shelf.similar(row["store_id"], product, origin)
        means = [rate(found) for window in (28, 91, 182) if (found := lately(days, origin, window))]
        trust = own / (own + 1 + 1 / similar)
        level = trust * fmean(means) + (1 - trust) * similar if means else similar
        assert row["base_level"] == pytest.approx(level, rel=1e-5)
        assert row["similar_level"] == pytest.approx(similar / level, rel=1e-5)


def lately(days: dict[date, Sold | None], origin: date, window: int) -> list[Sold]:
    """The days that count among the last `window`, after the first sale."""
    since = max(min(days), origin - timedelta(days=window))
    return [sold for day, sold in days.items() if since < day <= origin and sold is not None]


def test_a_series_that_sold_from_the_first_day_of_all_is_not_new(retailer: Retailer) -> None:
    frame = ahead(retailer, retailer.demand["date"].min() + timedelta(days=100))
    assert frame.filter(pl.col("product_id") == "P-00")["similar_level"].null_count() == 2 * 14


def test_what_a_launch_brings_after_the_origin_is_not_known_there(retailer: Retailer) -> None:
    """Training rows of a past launch, too, know only the launches before them."""
    origin = retailer.demand["date"].min() + timedelta(days=180)
    absurd = pl.when(pl.col("date") > origin).then(999).otherwise("units").cast(pl.Float32)
    later = replace(retailer, demand=retailer.demand.with_columns(units=absurd))
    columns = ["base_level", "similar_level", "mean_7", "weekday_mean_4", "age", "since_sale", "missed_sales"]
    for rows in (~pl.col("training"), pl.col("training") & (pl.col("forecast_origin") <= origin)):
        real, changed = (
            version.features([origin])[0].filter(rows).sort(*KEYS, "forecast_origin", "horizon").select(columns)
            for version in (retailer, later)
        )
        assert len(real) > 100
        assert real["similar_level"].count() > 10
        assert real.equals(changed)


def said(retailer: Retailer, *rows: tuple[int, str | None, str]) -> Retailer:
    """The retailer with a plan that names, by price: (days after the last, store, product); P-00 stood there before."""
    first = (retailer.demand["date"].min(), None, "P-00", 5.0)
    listed = [(retailer.last_day + timedelta(days=days), store, product, 5.0) for days, store, product in rows]
    schema = {"date": pl.Date, "store_id": pl.String, "product_id": pl.String, "price": pl.Float32}
    plan = pl.DataFrame([first, *listed], schema=schema, orient="row")
    return replace(retailer, plan=plan, covariates=Covariates(static=["department", "size"]))


@pytest.mark.parametrize(
    ("row", "shops"),
    [
        ((5, "North", "P-99"), {"North"}),
        ((-20, "North", "P-99"), {"North"}),
        ((5, None, "P-99"), {"North", "South"}),
        ((-60, "North", "P-99"), set()),  # eight weeks on sale without a sale: nobody knows what became of it
        ((15, None, "P-99"), set()),  # beyond the horizon
        ((5, "East", "P-99"), {"East"}),  # a shop that opens
    ],
)
def test_the_plan_announces_a_product(retailer: Retailer, row: tuple, shops: set[str]) -> None:
    planned = said(retailer, row)
    frame = ahead(planned, planned.last_day).filter(pl.col("product_id") == "P-99")
    assert set(frame["store_id"]) == shops
    assert len(frame) == 14 * len(shops)
    assert frame["base_level"].null_count() == 0
    on_sale = (pl.col("horizon") >= row[0]).cast(pl.Float32)
    usual = pl.when(pl.col("weekday") < 7).then(1.0).otherwise(0.0) if "East" not in shops else pl.lit(1.0)
    assert frame.select((pl.col("expected_open") == on_sale * usual).all()).item()


def test_a_product_that_sells_in_one_shop_is_not_announced_in_others_by_a_price_for_all(retailer: Retailer) -> None:
    only = (pl.col("product_id") != "P-01") | (pl.col("store_id") == "North")
    planned = said(replace(retailer, demand=retailer.demand.filter(only)), (3, None, "P-01"))
    frame = ahead(planned, planned.last_day).filter(pl.col("product_id") == "P-01")
    assert set(frame["store_id"]) == {"North"}


def test_goods_on_hand_announce_a_product(retailer: Retailer) -> None:
    rows = [("North", "P-98", 12.0), ("South", "P-98", 0.0), ("South", "P-00", 4.0)]
    stock = pl.DataFrame(
        [(retailer.last_day - timedelta(days=3), *row) for row in rows],
        schema=["date", "store_id", "product_id", "on_hand"],
        orient="row",
    )
    frame = ahead(retailer, retailer.last_day, stock).filter(pl.col("product_id") == "P-98")
    assert frame.select(KEYS).unique().rows() == [("North", "P-98")]
    assert len(frame) == 14


def test_days_between_listing_and_first_sale_are_outcomes(retailer: Retailer) -> None:
    """A launch that a plan announced is in the training rows from before it, with nothing sold until the first sale."""
    first = retailer.demand.filter(pl.col("product_id") == "P-04")["date"].min()
    days = (first - retailer.last_day).days
    frame = said(retailer, (days - 6, None, "P-04")).features([])[0].filter(pl.col("product_id") == "P-04")
    waiting = frame.filter(pl.col("date") < first)
    assert len(waiting) > 5
    assert waiting["units"].max() == 0
    assert waiting["date"].min() >= first - timedelta(days=6)
    assert frame["forecast_origin"].min() < first - timedelta(days=6)
    assert frame.filter(pl.col("forecast_origin") < first - timedelta(days=6))["age"].max() < 0


def test_the_first_sale_says_when_and_not_how_much() -> None:
    """A series that sold once and is looked at that evening is no bestseller."""
    sold_out = tiny_series([4.0] * 200)
    last = sold_out.last_day
    hit = sold_out.demand.tail(1).with_columns(product_id=pl.lit("P-07"), units=pl.lit(90, pl.Float32))
    frame = ahead(replace(sold_out, demand=pl.concat([sold_out.demand, hit])), last)
    assert frame.filter(pl.col("product_id") == "P-07")["base_level"].max() < 48


def test_missed_sales_are_silence_at_the_rate_before_it() -> None:
    """Half of 100 days sold one, then 40 days nothing: 20 sales are missed, whatever the price of silence in stock."""
    units = [float(day % 2) for day in range(100)] + [0.0] * 40
    retailer = tiny_series(units)
    row = ahead(retailer, retailer.last_day).row(0, named=True)
    assert row["missed_sales"] == pytest.approx(40 * 50 / 100, rel=0.02)
    empty = pl.when(pl.col("date") > retailer.last_day - timedelta(days=40)).then(0.0).otherwise(1.0)
    short = replace(retailer, demand=retailer.demand.with_columns(in_stock=empty.cast(pl.Float32)))
    assert ahead(short, retailer.last_day).row(0, named=True)["missed_sales"] == 0


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_day_partly_in_stock_counts_for_as_long_as_it_could_sell(share: float) -> None:
    full, cut = [10.0] * 60, [10.0] * 50 + [10 * share] * 10
    retailer = tiny_series(cut)
    partly = pl.when(pl.col("units") < 10).then(share).otherwise(1.0).cast(pl.Float32)
    short = replace(retailer, demand=retailer.demand.with_columns(in_stock=partly))
    frame = short.features([short.last_day])[0]
    levels = [ahead(one, short.last_day)["base_level"].to_list() for one in (short, tiny_series(full))]
    assert levels[0] == pytest.approx(levels[1], rel=1e-6)
    trained = frame.filter("training")
    assert (trained["units"] / trained["exposure"]).to_list() == pytest.approx([10.0] * len(trained), rel=1e-6)


@pytest.mark.parametrize("share", [0.25, 0.6, 0.75])
def test_the_level_of_a_slow_seller_partly_in_stock_is_its_demand(share: float) -> None:
    """One unit in four days, sold in so much of the time that goods were there."""
    rng = np.random.default_rng(3)
    series = tiny_series(list(rng.poisson(0.25 * share, 20_000).astype(float)))
    short = replace(series, demand=series.demand.with_columns(in_stock=pl.lit(share, pl.Float32)))
    level = pl.col("sellable").sum() / pl.col("evidence").sum()
    assert short.history().panel.select(level).item() == pytest.approx(0.25, rel=0.05)


def test_goods_that_sold_out_early_are_evidence_of_much_demand() -> None:
    """Ten arrivals a day, eight units on the shelf: the share in stock is the time at which the last one is sold."""
    rng = np.random.default_rng(3)
    arrivals = rng.exponential(0.1, (20_000, 8)).cumsum(axis=1)
    shares, units = np.minimum(arrivals[:, -1], 1), (arrivals < 1).sum(axis=1)
    series = tiny_series(list(units.astype(float)))
    short = replace(series, demand=series.demand.with_columns(in_stock=pl.Series(shares, dtype=pl.Float32)))
    level = pl.col("sellable").sum() / pl.col("evidence").sum()
    assert short.history().panel.select(level).item() == pytest.approx(10, rel=0.01)
