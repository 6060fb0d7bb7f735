"""The sample retailer's demand: what was put into it can be found in it."""

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from demand_forecast.sources.sample import Sample, catalogue

ROOT = Path(__file__).parents[3]
PRICES = ROOT / "data" / "landing" / "plan" / "prices.csv"
TRUTH = ROOT / "demand_forecast_tests" / "data"
FIRST_DAY, LAST_DAY = date(2023, 10, 2), date(2026, 10, 4)

Panel = dict[str, NDArray[np.float64]]


def test_three_years_of_six_stores_and_sixty_products(truth: pl.DataFrame) -> None:
    assert truth["date"].min() == FIRST_DAY
    assert truth["date"].max() == LAST_DAY
    assert truth["store_id"].n_unique() == 6
    assert truth["product_id"].n_unique() == 60
    assert truth.select("store_id", "product_id", "date").is_duplicated().any() is False


def test_stock_outs_cut_sales_below_demand(truth: pl.DataFrame) -> None:
    out, part, full = (
        truth.filter(test)
        for test in (pl.col("in_stock") == 0, pl.col("in_stock").is_between(0.01, 0.99), pl.col("in_stock") == 1)
    )
    assert out["sales"].sum() == 0
    assert out["demand"].sum() > 10_000
    assert full.filter(pl.col("sales") != pl.col("demand")).is_empty()
    assert (part["sales"] <= part["demand"]).all()
    assert part["sales"].sum() == pytest.approx((part["demand"] * part["in_stock"]).sum(), rel=0.03)
    assert 0.01 < 1 - float(truth["sales"].sum()) / float(truth["demand"].sum()) < 0.03


def test_stock_outs_last_one_to_ten_days(truth: pl.DataFrame) -> None:
    days = truth.sort("store_id", "product_id", "date").with_columns((pl.col("in_stock") < 1).alias("out"))
    runs = days.with_columns(pl.col("out").rle_id().over("store_id", "product_id")).group_by(
        "store_id", "product_id", "out"
    )
    lengths = runs.agg(pl.len(), pl.col("in_stock").min()).filter(pl.col("in_stock") < 1)["len"]
    assert lengths.min() == 1
    assert lengths.quantile(0.99) <= 10  # type: ignore[operator]


def _price_panel(sample: Sample) -> Panel:
    """price and promotion by (store, product, day), from the committed rows alone: a slow reading of the plan."""
    rows = pl.read_csv(PRICES, try_parse_dates=True).iter_rows()
    stores, products = sample.stores["Store"].to_list(), sample.products["SKU"].to_list()
    price, promotion = np.full((6, 60, 1099), np.nan), np.zeros((6, 60, 1099))
    for day, store, sku, asked, promoted in rows:
        at = (day - FIRST_DAY).days
        where = stores.index(store) if store else slice(None)
        if at < 1099 and asked is not None:
            price[where, products.index(sku), at:] = asked
        if at < 1099 and promoted:
            promotion[where, products.index(sku), at] = 1
    return {"price": price, "promotion": promotion}


@pytest.fixture(scope="module")
def panel(sample: Sample, truth: pl.DataFrame) -> Panel:
    """sales (NaN when not on sale or short of stock), price, promotion by (store, product, day)."""
    at = (
        truth["store_id"].replace_strict({s: n for n, s in enumerate(sample.stores["Store"])}).to_numpy(),
        truth["product_id"].replace_strict({p: n for n, p in enumerate(sample.products["SKU"])}).to_numpy(),
        (truth["date"] - FIRST_DAY).dt.total_days().to_numpy(),
    )
    sales = np.full((6, 60, 1099), np.nan)
    sales[at] = np.where(truth["in_stock"] == 1, truth["sales"], np.nan)
    return {"sales": sales, **_price_panel(sample)}


def test_customers_pay_the_planned_price(sample: Sample, panel: Panel) -> None:
    stores, products = sample.stores["Store"].to_list(), sample.products["SKU"].to_list()
    rows = sample.sales.iter_rows()
    share = [
        price / panel["price"][stores.index(s), products.index(p), (d - FIRST_DAY).days] for d, s, p, _, price in rows
    ]
    factors, counts = np.unique(np.round(share, 1), return_counts=True)
    assert list(factors) == [0.7, 1.0]
    assert counts[0] < 0.01 * len(share)


def _promotion_ratio(panel: Panel, products: list[int], lowered: bool) -> tuple[float, float]:
    """Sales on promotion over the mean of the same weekday one and two weeks off without one.

    Also what the price cut alone would make of it per unit of elasticity: the mean log price ratio, by those sales.
    """
    sales, price, promoted = (panel[name][:, products] for name in ("sales", "price", "promotion"))
    actual = usual = cut = 0.0
    for gap in (-14, -7, 7, 14):
        base_sales, base_price, base_promoted = (np.roll(values, gap, axis=2) for values in (sales, price, promoted))
        pairs = (promoted == 1) & (base_promoted == 0) & ((price < 0.97 * base_price) == lowered)
        pairs &= ~np.isnan(sales) & ~np.isnan(base_sales)
        actual, usual = actual + sales[pairs].sum(), usual + base_sales[pairs].sum()
        cut += (base_sales * np.log(price / base_price, where=pairs, out=np.zeros_like(price)))[pairs].sum()
    return actual / usual, cut / usual


@pytest.mark.parametrize("department", catalogue.DEPARTMENTS)
def test_promotion_uplift_and_elasticity_can_be_measured(sample: Sample, panel: Panel, department: str) -> None:
    effects = json.loads((TRUTH / "effects.json").read_text())
    uplift, elasticity = effects["promotion_uplift"][department], effects["elasticity"][department]
    products = [n for n, name in enumerate(sample.products["Department"]) if name == department]
    displayed, _ = _promotion_ratio(panel, products, lowered=False)
    assert displayed == pytest.approx(uplift, rel=0.12)
    lowered, log_cut = _promotion_ratio(panel, products, lowered=True)
    assert np.log(lowered / uplift) / log_cut == pytest.approx(elasticity, abs=0.25)


def test_weeks_differ_by_department(sample: Sample, panel: Panel) -> None:
    share = {}
    for department in catalogue.DEPARTMENTS:
        mine = [n for n, name in enumerate(sample.products["Department"]) if name == department]
        by_weekday = np.nanmean(panel["sales"][:, mine].reshape(6, len(mine), 157, 7), axis=(0, 1, 2))
        share[department] = by_weekday[5] / by_weekday[0]
    assert share["Drinks"] > 1.8
    assert 1.1 < share["Household"] < 1.5


def test_fast_slow_and_intermittent_products_and_launches(sample: Sample, truth: pl.DataFrame) -> None:
    rate = truth.group_by("product_id").agg(pl.col("sales").mean(), pl.col("date").min().alias("first"))
    for low, high, count in ((20, 60, 6), (3, 20, 15), (0.4, 3, 12), (0.02, 0.4, 6)):
        assert rate.filter(pl.col("sales").is_between(low, high)).height >= count
    launched = sample.products.filter(pl.col("Launched") > LAST_DAY - timedelta(days=365))
    assert launched.height >= 5
    assert launched.filter(pl.col("Launched") > LAST_DAY - timedelta(days=56)).height == 2
    first = dict(rate.select("product_id", "first").iter_rows())
    assert all(first[sku] == day for sku, day in launched.select("SKU", "Launched").iter_rows())
    assert truth.group_by("product_id").agg(pl.col("date").max()).filter(pl.col("date") < LAST_DAY).height == 3


@pytest.mark.parametrize("origin", [1098 - 84, 1098 - 56, 1098 - 28])
def test_there_is_more_to_learn_than_the_last_week(panel: Panel, origin: int) -> None:
    """The mean of eight weeks by weekday, as crude as a model can be, is a tenth better than seasonal naive."""
    sales = np.nan_to_num(panel["sales"])
    actual = sales[:, :, origin + 1 : origin + 29].reshape(6, 60, 4, 7)
    last_week = sales[:, :, origin - 6 : origin + 1][:, :, None]
    mean_week = sales[:, :, origin - 55 : origin + 1].reshape(6, 60, 8, 7).mean(axis=2, keepdims=True)
    naive, crude = (np.abs(actual - week).sum() / actual.sum() for week in (last_week, mean_week))
    assert 0.25 < naive < 0.6
    assert crude < 0.9 * naive
