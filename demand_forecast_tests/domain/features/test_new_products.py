"""Products that nobody sells yet against products that were announced, and without them."""

from dataclasses import replace
from datetime import timedelta
from statistics import median

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from demand_forecast.domain.features import (
    FeatureContract,
    ForecastFeatures,
    build_features,
    is_new_product,
    kind_of,
    lay_launch_price,
    new_product_id,
    new_products,
    planned_days,
    read_plan_again,
)
from demand_forecast_tests.domain.small_retailer import Retailer, make_retailer

KEYS = ["store_id", "product_id"]
PRICE, LATER = 3.7, 2.9
Made = tuple[Retailer, ForecastFeatures, FeatureContract]


@pytest.fixture(scope="module")
def made() -> Made:
    """P-05, of department D1, is new; every product weighs something; a shop East is about to open."""
    base = make_retailer()
    weighed = base.products.with_columns(grams=pl.Series([1.0, 2, 4, 8, 16, 32], dtype=pl.Float32))
    opening = {"date": [base.last_day + timedelta(days=3)], "store_id": ["East"], "product_id": ["P-00"]}
    plan = pl.concat([base.plan, pl.DataFrame(opening).with_columns(price=pl.lit(5, pl.Float32))], how="diagonal")
    declared = base.covariates.model_copy(update={"static": ["department", "size", "grams"]})
    retailer = replace(base, plan=plan, products=weighed, covariates=declared)
    _, contract = retailer.features([retailer.last_day])
    return retailer, retailer.ahead(contract), contract


def test_every_shop_has_each_kind_of_product_once(made: Made) -> None:
    retailer, ahead, contract = made
    found = ahead.new_products.group_by(KEYS).agg(pl.len(), pl.col("department", "grams", "age").unique())
    kinds = {department: new_product_id({"department": department}) for department in ("D0", "D1")}
    assert set(found.select(KEYS).rows()) == {(s, k) for s in ("North", "South", "East") for k in kinds.values()}
    for _, product, rows, codes, weights, ages in found.iter_rows():
        department = kind_of(product)["department"]
        assert (rows, ages) == (retailer.horizon, [-1.0])
        assert [contract.categories["department"][code] for code in codes] == [department]
        own = retailer.products.filter(pl.col("department") == department)["grams"]
        assert weights == [median(own)]


def test_features_of_real_series_do_not_know_of_them(made: Made) -> None:
    retailer, ahead, contract = made
    history = retailer.history(since=retailer.demand["date"].min())
    rows = ahead.rows.select(*KEYS, "forecast_origin", "horizon", "weight", "training")
    assert ahead.rows["similar_level"].null_count() < len(ahead.rows)
    assert build_features(history, rows, contract).equals(ahead.rows)
    assert planned_days(history).equals(ahead.planned.filter(~is_new_product()))


@pytest.mark.parametrize("store", ["North", "East"])
def test_one_is_what_the_builder_makes_of_a_product_in_the_plan(made: Made, store: str) -> None:
    """On sale from the first day ahead, with a price, and another one a week later."""
    retailer, ahead, contract = made
    product = new_product_id({"department": "D1"})
    rows, planned = (
        frame.filter(store_id=store, product_id=product).with_columns(product_id=pl.lit("P-99"))
        for frame in (ahead.new_products, ahead.planned)
    )
    rows, planned = lay_launch_price(rows, planned, PRICE, contract)
    cut = pl.when(pl.col("date") >= retailer.last_day + timedelta(days=8)).then(LATER).otherwise("price")
    cheaper = planned.with_columns(price=cut)
    rows = read_plan_again(rows, planned, cheaper, contract)

    said = [(1, PRICE), (8, LATER)]
    listed = {"date": [retailer.last_day + timedelta(days=n) for n, _ in said], "price": [price for _, price in said]}
    announced = pl.DataFrame(listed, schema_overrides={"price": pl.Float32}).with_columns(
        store_id=pl.lit(store), product_id=pl.lit("P-99")
    )
    about = {"product_id": ["P-99"], "department": ["D1"], "grams": [8.0]}
    products = pl.concat([retailer.products, pl.DataFrame(about, schema=retailer.products.schema)])
    planning = replace(retailer, plan=pl.concat([retailer.plan, announced], how="diagonal"), products=products)
    expected = planning.ahead(contract)
    assert_frame_equal(rows, expected.rows.filter(product_id="P-99"), check_exact=True)
    assert_frame_equal(cheaper.cast(planned.schema), expected.planned.filter(product_id="P-99"), check_exact=True)
    assert set(rows["price_usual"]) == set(rows["price_highest"]) == {pl.Series([PRICE], dtype=pl.Float32)[0]}


def test_the_most_common_kinds_are_kept(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    retailer, _, contract = made
    monkeypatch.setattr(new_products, "MAX_KINDS", 1)
    products = retailer.products.with_columns(department=pl.Series(["D0", "D1", "D1", "D1", "D0", None]))
    found = replace(retailer, products=products).ahead(contract).new_products["product_id"].unique()
    assert [kind_of(product) for product in found] == [{"department": "D1"}]


def test_without_attributes_every_shop_has_one_kind_and_without_planned_prices_no_price(made: Made) -> None:
    retailer, _, _ = made
    declared = retailer.covariates.model_copy(update={"static": [], "known_future": ["promo"]})
    bare = replace(retailer, covariates=declared, plan=retailer.plan.drop("price"))
    _, contract = bare.features([bare.last_day])
    ahead = bare.ahead(contract)
    shops = [(store, new_product_id({})) for store in ("East", "North", "South")]
    assert ahead.new_products.select(KEYS).unique(maintain_order=True).rows() == shops
    planned = ahead.planned.filter(is_new_product())
    assert lay_launch_price(ahead.new_products, planned, PRICE, contract) == (ahead.new_products, planned)
