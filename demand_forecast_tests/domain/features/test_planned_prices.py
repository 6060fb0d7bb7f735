"""The price of a target day is what was known of it at the origin: what the plan asks, else the last one asked."""

from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from demand_forecast.domain.features import FeatureContract, read_plan_again
from demand_forecast_tests.domain.small_retailer import Retailer, make_retailer

PRICES = ["price", "price_to_usual", "price_to_highest"]
WHOLE = make_retailer(days=250, products=4)
ORIGIN = WHOLE.last_day - timedelta(days=WHOLE.horizon + 20)
LATE = ORIGIN + timedelta(days=5)


def half_planned() -> Retailer:
    """P-00 and P-01 are sold at what the tills say, the plan knows P-02, and P-03 in North from LATE on."""
    named = pl.col("product_id")
    silent = named.is_in(["P-00", "P-01"]) | ((named == "P-03") & (pl.col("date") < LATE))
    asked = pl.when(~silent).then("price")
    store = pl.when((named == "P-03") & asked.is_not_null()).then(pl.lit("North"))
    plan = WHOLE.plan.with_columns(price=asked, store_id=store)
    promotions = WHOLE.plan.filter(named == "P-03").drop("price")  # as before, for both shops
    said = pl.concat([plan.filter(named != "P-03"), plan.filter(named.is_null()), promotions], how="diagonal")
    north = plan.filter((named == "P-03") & pl.col("price").is_not_null()).with_columns(
        promo=pl.lit(None, pl.Float32), event=pl.lit(None, pl.String)
    )
    return replace(WHOLE, plan=pl.concat([said.unique(), north], how="diagonal"))


HALF = half_planned()


@pytest.fixture(scope="module")
def contract() -> FeatureContract:
    return HALF.features([HALF.last_day])[1]


def at_origin(retailer: Retailer, previous: FeatureContract) -> pl.DataFrame:
    rows, _ = retailer.features([ORIGIN], previous=previous)
    return rows.filter(~pl.col("training"))


def dearer(retailer: Retailer, after: date) -> Retailer:
    """All was sold at three times the price after a day."""
    price = pl.when(pl.col("date") > after).then(pl.col("price") * 3).otherwise("price")
    return replace(retailer, demand=retailer.demand.with_columns(price))


def test_what_was_sold_at_after_the_origin_is_not_known_there(contract: FeatureContract) -> None:
    assert at_origin(dearer(HALF, ORIGIN), contract).equals(at_origin(HALF, contract))


def test_a_later_build_makes_the_rows_of_the_night(contract: FeatureContract) -> None:
    later = dearer(HALF, ORIGIN)
    night = later.until(ORIGIN).ahead(contract).rows.drop("units", "exposure")
    assert_frame_equal(at_origin(later, contract).drop("units", "exposure"), night, rel_tol=1e-6)


def test_rows_to_train_on_have_the_price_that_a_night_knows(contract: FeatureContract) -> None:
    drawn = HALF.features([])[0].filter("training")
    tills = drawn.filter(pl.col("product_id").is_in(["P-00", "P-01"]))
    known = HALF.demand.select("store_id", "product_id", "price", forecast_origin="date")
    expected = tills.join(known, on=["store_id", "product_id", "forecast_origin"], how="left", suffix="_then")
    assert expected["price"].equals(expected["price_then"])
    sold = HALF.demand.select("store_id", "product_id", "date", "price")
    planned = drawn.filter(pl.col("product_id") == "P-02").join(sold, on=["store_id", "product_id", "date"], how="left")
    assert planned["price"].equals(planned["price_right"])


def test_a_price_that_the_plan_says_from_some_day_on(contract: FeatureContract) -> None:
    rows = at_origin(HALF, contract).filter(product_id="P-03", store_id="North").sort("date")
    asked = dict(HALF.plan.filter(store_id="North").select("date", "price").iter_rows())
    last = HALF.demand.filter(product_id="P-03", store_id="North", date=ORIGIN)["price"].item()
    assert rows["price"].to_list() == [asked.get(day, last) for day in rows["date"]]
    assert set(at_origin(HALF, contract).filter(product_id="P-03", store_id="South")["price"]) == {last}


def test_where_all_prices_are_planned_they_are_those_of_the_days() -> None:
    rows, _ = WHOLE.features([ORIGIN])
    days = WHOLE.demand.select("store_id", "product_id", "date", asked="price")
    both = rows.filter(pl.col("date") <= WHOLE.last_day).join(days, on=["store_id", "product_id", "date"])
    assert len(both) > 1000
    assert both["price"].equals(both["asked"])


def test_another_price_may_be_asked_of_a_series_without_planned_prices(contract: FeatureContract) -> None:
    ahead = HALF.ahead(contract)
    first = HALF.last_day + timedelta(days=4)
    where = (pl.col("product_id") == "P-00") & (pl.col("date") >= first)
    changed = ahead.planned.with_columns(price=pl.when(where).then(9.5).otherwise("price"))
    found = read_plan_again(ahead.rows, ahead.planned, changed, contract)
    row = pl.DataFrame({"date": [first], "product_id": ["P-00"], "price": pl.Series([9.5], dtype=pl.Float32)})
    asked = replace(HALF, plan=pl.concat([HALF.plan, row], how="diagonal"))
    assert_frame_equal(found, asked.ahead(contract).rows, rel_tol=1e-6)
    own = found.filter(where)
    assert set(own["price"]) == {9.5}
    assert (own["price_to_usual"] > 1.5).all()
    assert found.filter(~where).equals(ahead.rows.filter(~where))
    assert_frame_equal(read_plan_again(found, changed, ahead.planned, contract), ahead.rows, rel_tol=1e-6)


def test_the_first_price_of_a_launch_is_not_known_before_it_was_asked(contract: FeatureContract) -> None:
    """P-00 stands in North five days before the origin and sells ten days after it, at a price that no plan has."""
    named = (pl.col("product_id") == "P-00") & (pl.col("store_id") == "North")
    launch = ORIGIN + timedelta(days=10)
    held = {"store_id": ["North"], "product_id": ["P-00"], "date": [ORIGIN - timedelta(days=5)], "on_hand": [9.0]}
    plan = HALF.plan.filter(pl.col("product_id").ne_missing("P-00"))
    late = replace(
        HALF, demand=HALF.demand.filter(~named | (pl.col("date") >= launch)), plan=plan, stock=pl.DataFrame(held)
    )
    rows = at_origin(late, contract).filter(named)
    assert len(rows) == late.horizon
    assert rows.select(PRICES).null_count().row(0) == (late.horizon,) * 3
    night = late.until(ORIGIN).ahead(contract).rows.filter(named)
    assert night.select(PRICES).equals(rows.select(PRICES))
