"""Days of which nothing is known, and exceptional ones, move no level, are no outcome and leave other stores alone."""

from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from demand_forecast.domain.alignment.groups import group_tables
from demand_forecast.domain.demand.hierarchy import hierarchy_levels
from demand_forecast.domain.evaluation.backtest import counting_rows, run_backtest
from demand_forecast.domain.evaluation.scoring import score_backtest
from demand_forecast.domain.models import create
from demand_forecast.settings import Covariates
from demand_forecast_tests.domain.small_retailer import Retailer, make_retailer

UNHEARD = 15  # days, one of which is a Sunday, when shops are closed
ORDER = 5_000.0


@pytest.fixture(scope="module")
def retailer() -> Retailer:
    return make_retailer(days=300, products=3)


def silent(retailer: Retailer, store: str, days: int = UNHEARD) -> Retailer:
    """Nothing was heard of `store` on the last days."""
    gone = (pl.col("store_id") == store) & (pl.col("date") > retailer.last_day - timedelta(days=days))
    unknown = [pl.when(~gone).then(name).alias(name) for name in ("units", "in_stock", "open")]
    return replace(retailer, demand=retailer.demand.with_columns(unknown))


def ordered(retailer: Retailer, day: date) -> Retailer:
    """Every series brought an exceptional order on `day`."""
    odd = pl.col("date") == day
    demand = retailer.demand.with_columns(
        units=pl.when(odd).then(pl.lit(ORDER, pl.Float32)).otherwise("units"),
        in_stock=pl.when(~odd).then("in_stock"),
    )
    return replace(retailer, demand=demand)


def stores(retailer: Retailer) -> list[str]:
    return retailer.demand["store_id"].unique().sort().to_list()


def test_a_silent_store_is_forecast_from_what_was_known(retailer: Retailer) -> None:
    store = stores(retailer)[0]
    heard, unheard = (
        one.features([one.last_day])[0].filter(~pl.col("training")) for one in (retailer, silent(retailer, store))
    )
    of_store = pl.col("store_id") == store
    others = [name for name in heard.columns if not name.startswith("product_")]
    assert_frame_equal(heard.filter(~of_store).select(others), unheard.filter(~of_store).select(others))
    week = retailer.demand.filter(of_store, pl.col("date") <= retailer.last_day - timedelta(days=UNHEARD))
    for row in unheard.filter(of_store, pl.col("horizon") <= 7).iter_rows(named=True):
        same = week.filter(pl.col("product_id") == row["product_id"], pl.col("date").dt.weekday() == row["weekday"])
        assert row["last_season_units"] == same["units"][-1]
        assert row["base_level"] > 0
        assert row["expected_open"] == (row["weekday"] != 7)


def test_levels_are_those_of_the_known_days(retailer: Retailer) -> None:
    store, odd_day = stores(retailer)[0], retailer.last_day - timedelta(days=3)
    for changed in (silent(retailer, store, 14), ordered(retailer, odd_day)):
        rows = changed.features([changed.last_day])[0].filter(~pl.col("training"), pl.col("store_id") == store)
        known = changed.demand.filter(pl.col("store_id") == store, pl.col("in_stock") > 0, pl.col("open"))
        recent = known.filter(pl.col("date") > changed.last_day - timedelta(days=28))
        level = recent.group_by("product_id").agg(pl.col("units").sum() / pl.col("in_stock").sum())
        both = rows.filter(pl.col("horizon") == 1).join(level, on="product_id", suffix="_expected")
        assert len(both) == 3
        for row in both.iter_rows(named=True):
            assert row["mean_28"] * row["base_level"] == pytest.approx(row["units_expected"], rel=1e-5)


@pytest.mark.parametrize("how", ["silent", "ordered"])
def test_what_says_nothing_is_no_outcome(retailer: Retailer, how: str) -> None:
    store = stores(retailer)[0]
    origin, odd_day = retailer.last_day - timedelta(days=14), retailer.last_day - timedelta(days=3)
    changed = silent(retailer, store, 5) if how == "silent" else ordered(retailer, odd_day)
    features, contract = changed.features([origin])
    nothing = changed.demand.filter(pl.col("in_stock").is_null()).select("store_id", "product_id", "date")
    rows = features.join(nothing, on=["store_id", "product_id", "date"], how="semi")
    assert not rows["training"].any()
    assert rows["units"].to_list() == rows["exposure"].to_list() == [0.0] * len(nothing)
    made, _, _ = run_backtest(features, contract, {"seasonal_naive": lambda _: create("seasonal_naive")}, [origin])
    assert made.select("store_id", "product_id").n_unique() == 6  # no series is left out for days of which it is silent
    assert len(counting_rows(made)) == len(made) - len(nothing)
    levels = hierarchy_levels(changed.products, changed.stores, ["department"])
    scores = score_backtest(made, changed.demand, levels, changed.products, changed.stores, season=7)
    assert scores.filter(pl.col("value").is_nan()).is_empty()


def test_a_group_is_known_for_what_is_known_of_it(retailer: Retailer) -> None:
    store = stores(retailer)[0]
    quiet = silent(retailer, store)
    series = quiet.demand.select("store_id", "product_id").unique()
    tables = group_tables(quiet.demand, series, quiet.plan, quiet.products, quiet.stores, Covariates())
    total = tables.demand.filter(pl.col("store_id") == "all", pl.col("date") > quiet.last_day - timedelta(days=14))
    heard = quiet.demand.filter(pl.col("store_id") != store).group_by("date").agg(pl.col("units").sum())
    sold = total.filter("open").join(heard, on="date", suffix="_heard")
    assert sold["units"].to_list() == pytest.approx(sold["units_heard"].to_list())
    assert sold["in_stock"].is_between(0.1, 0.9).all()
