"""What is planned of every day and ends before the horizon is unknown and told; a list of events is no such column."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from demand_forecast.domain.alignment.groups import group_tables
from demand_forecast.domain.features import FeatureContract
from demand_forecast.domain.models import create
from demand_forecast.domain.models.training_rows import training_rows
from demand_forecast.settings import Covariates
from demand_forecast_tests.domain.small_retailer import Retailer, make_retailer


@pytest.fixture(scope="module")
def retailer() -> Retailer:
    """Temperature is planned of every day, promotions are 0 or 1 of every day, a fair is listed once a week."""
    whole = make_retailer(days=300, products=3)
    days = pl.DataFrame({"date": [whole.last_day + timedelta(days=number) for number in range(-299, 30)]})
    number = pl.int_range(pl.len())
    plan = days.with_columns(
        heat=15 + 10 * (number / 40).sin(),
        promo=(number % 9 == 0).cast(pl.Float32),
        fair=pl.when(number % 7 == 3).then(pl.lit(1.0, pl.Float32)),
    )
    return replace(whole, plan=plan, covariates=Covariates(known_future=["heat", "promo", "fair"]))


@pytest.fixture(scope="module")
def trained(retailer: Retailer) -> tuple[pl.DataFrame, FeatureContract]:
    return retailer.features([retailer.last_day])


def ending(retailer: Retailer, *names: str, days: int = 4) -> Retailer:
    known = pl.col("date") <= retailer.last_day + timedelta(days=days)
    return replace(retailer, plan=retailer.plan.with_columns(pl.when(known).then(name).alias(name) for name in names))


def test_a_plan_that_reaches_the_horizon_is_told_nothing_of(
    retailer: Retailer, trained: tuple[pl.DataFrame, FeatureContract]
) -> None:
    assert trained[1].inputs.future_dense == ("promo",)
    assert retailer.ahead(trained[1]).ends == ()


def test_columns_that_end_are_named_and_unknown_from_there_on(
    retailer: Retailer, trained: tuple[pl.DataFrame, FeatureContract]
) -> None:
    night = ending(retailer, "heat", "promo").ahead(trained[1])
    last = retailer.last_day + timedelta(days=4)
    assert night.ends == tuple(
        f"{name}: the plan ends on {last}, unknown on 10 of 14 periods ahead for 6 of 6 series"
        for name in ("heat", "promo")
    )
    later = pl.col("date") > last
    for name in ("heat", "promo"):
        assert night.rows.filter(later)[name].null_count() == 6 * 10
        assert night.rows.filter(~later)[name].null_count() == 0
    assert night.rows.filter(later)["fair"].max() == 1  # no fair is no fair


def test_a_list_of_events_that_ends_early_is_named_and_says_none(
    retailer: Retailer, trained: tuple[pl.DataFrame, FeatureContract]
) -> None:
    night = ending(retailer, "fair", days=0).ahead(trained[1])
    (line,) = night.ends
    assert line.startswith("fair: the plan names no day after ")
    assert set(night.rows["fair"]) == {0.0}


@pytest.mark.parametrize("name", ["lightgbm", "gradient_boosting"])
def test_an_unknown_temperature_is_a_usual_one_and_not_zero(
    retailer: Retailer, trained: tuple[pl.DataFrame, FeatureContract], name: str
) -> None:
    """Of days that grow hot all that is unknown is the heat: the forecast is that of a usual day."""
    features, contract = trained
    rng = np.random.default_rng(4)
    rows = training_rows(features, retailer.last_day)
    rows = rows.with_columns(units=pl.Series(rng.poisson(rows["heat"].to_numpy()).astype(np.float32)))
    model = create(name, threads=1).fit(rows, contract)
    ahead = features.filter(~pl.col("training"), pl.col("expected_open") > 0)
    means = {
        label: model.expected(ahead.with_columns(heat=pl.lit(heat, pl.Float32))).mean()
        for label, heat in (("unknown", None), ("usual", float(rows["heat"].median())), ("cold", 5.0))  # type: ignore[arg-type]
    }
    assert means["unknown"] == pytest.approx(means["usual"])
    assert means["cold"] < 0.8 * means["usual"]


def test_a_number_known_of_some_shops_of_a_group_is_that_of_the_known_ones(retailer: Retailer) -> None:
    stores = retailer.stores["store_id"].to_list()
    days = [retailer.last_day + timedelta(days=number) for number in range(-299, 15)]
    rows = [(store, day, 20.0) for store in stores for day in days if store == stores[0] or day <= days[-5]]
    plan = pl.DataFrame(rows, schema={"store_id": pl.String, "date": pl.Date, "heat": pl.Float32}, orient="row")
    series = retailer.demand.select("store_id", "product_id").unique()
    covariates = Covariates(known_future=["heat"])
    groups = group_tables(retailer.demand, series, plan, retailer.products, retailer.stores, covariates)
    assert set(groups.plan["heat"]) == {20.0}
