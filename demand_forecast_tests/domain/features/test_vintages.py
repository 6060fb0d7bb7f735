"""Rows of a backtest origin read the plan as it was known there; all other rows read today's."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from demand_forecast.domain.features import FeatureContract, Vintage
from demand_forecast_tests.domain.small_retailer import COVARIATES, Retailer, make_retailer, tiny_series

BASE = make_retailer(days=250, products=4)
EARLY, LATE = (BASE.last_day - timedelta(days=BASE.horizon * back) for back in (2, 1))
MATCH = pl.DataFrame({"date": [EARLY + timedelta(days=5)], "event": ["match"]})
CUT = (pl.col("product_id") == "P-01") & (pl.col("date") > EARLY + timedelta(days=3))
PRICED = BASE.plan.with_columns(price=pl.when(CUT).then(pl.lit(2.5, pl.Float32)).otherwise("price"))
NOW = replace(BASE, plan=pl.concat([PRICED, MATCH], how="diagonal"))
ORIGINS = [EARLY, LATE, NOW.last_day]
KEYS = ["store_id", "product_id", "date"]
OUTCOME = ["units", "exposure"]


def ahead(features: pl.DataFrame, *origins: object) -> pl.DataFrame:
    return features.filter(~pl.col("training"), pl.col("forecast_origin").is_in(origins or ORIGINS))


def without_news(retailer: Retailer) -> pl.DataFrame:
    """The plan before anything was planned after EARLY: no event, promotions unknown, the last price goes on."""
    later = pl.col("date") > EARLY
    known = retailer.plan.filter(~later | pl.col("product_id").is_not_null())
    return known.with_columns(promo=pl.when(~later).then("promo"), price=pl.when(~later).then("price"))


@pytest.fixture(scope="module")
def today() -> tuple[pl.DataFrame, FeatureContract]:
    return NOW.features(ORIGINS)


def test_what_was_planned_after_an_origin_is_not_in_its_rows(today: tuple[pl.DataFrame, FeatureContract]) -> None:
    features, contract = NOW.features(ORIGINS, vintages=[Vintage(without_news(NOW), (EARLY,))])
    assert contract == today[1]
    rows = ahead(features, EARLY)
    assert len(rows) == len(ahead(today[0], EARLY))
    assert set(rows["promo"]) == {None}
    assert rows["event"].null_count() == len(rows)
    asked = NOW.plan.filter(pl.col("date") == EARLY).select("product_id", asked="price")
    both = rows.join(asked, on="product_id", maintain_order="left")
    assert both["price"].equals(both["asked"])
    planned = ahead(today[0], EARLY)
    assert planned["promo"].max() == 1
    assert planned["event"].null_count() < len(planned)
    assert set(planned.filter(CUT)["price"]) == {2.5}
    assert 2.5 not in rows["price"]
    tomorrow = ahead(features, NOW.last_day)
    assert set(tomorrow.filter(CUT)["price"]) == {2.5}
    assert tomorrow["promo"].max() == 1


def test_all_other_rows_and_every_outcome_are_those_of_todays_plan(today: tuple[pl.DataFrame, FeatureContract]) -> None:
    features, _ = NOW.features(ORIGINS, vintages=[Vintage(without_news(NOW), (EARLY,))])
    other = pl.col("training") | (pl.col("forecast_origin") != EARLY)
    assert features.filter(other).equals(today[0].filter(other))
    assert features.select(*KEYS, *OUTCOME, "weight", "base_level").equals(
        today[0].select(*KEYS, *OUTCOME, "weight", "base_level")
    )


def test_the_rows_are_those_of_the_night_that_was(today: tuple[pl.DataFrame, FeatureContract]) -> None:
    plan = without_news(NOW)
    features, contract = NOW.features(ORIGINS, vintages=[Vintage(plan, (EARLY,))])
    night = replace(NOW, plan=plan).until(EARLY).ahead(contract).rows
    assert_frame_equal(ahead(features, EARLY).drop(OUTCOME), night.drop(OUTCOME), rel_tol=1e-6)


def test_the_same_plan_makes_the_same_bits(today: tuple[pl.DataFrame, FeatureContract]) -> None:
    assert NOW.features(ORIGINS, vintages=[])[0].equals(today[0])
    assert NOW.features(ORIGINS, vintages=[Vintage(NOW.plan, (EARLY, LATE))])[0].equals(today[0])


def test_every_origin_reads_its_own_plan(today: tuple[pl.DataFrame, FeatureContract]) -> None:
    dearer = NOW.plan.with_columns(price=pl.col("price") * 2)
    vintages = [Vintage(dearer, (LATE,)), Vintage(without_news(NOW), (EARLY,))]
    features, _ = NOW.features(ORIGINS, vintages=vintages)
    assert ahead(features, LATE)["price"].equals(ahead(today[0], LATE)["price"] * 2)
    assert ahead(features, EARLY).equals(ahead(NOW.features(ORIGINS, vintages=vintages[1:])[0], EARLY))


UNFAMILIAR: dict[str, pl.DataFrame] = {
    "no plan at all": NOW.plan.clear(),
    "no column of it": NOW.plan.select("date", "store_id", "product_id"),
    "text in a number": NOW.plan.with_columns(promo=pl.lit("n/a")),
    "numbers in a category": NOW.plan.with_columns(event=pl.lit(3.0)),
    "an event that was called off": NOW.plan.with_columns(event=pl.lit("circus")),
    "a 2 among 0 and 1": NOW.plan.with_columns(promo=pl.col("promo") * 2),
    "a column that nobody declares any more": NOW.plan.with_columns(wind=pl.lit("strong")),
}


@pytest.mark.parametrize("what", UNFAMILIAR)
def test_what_the_training_does_not_know_is_unknown(today: tuple[pl.DataFrame, FeatureContract], what: str) -> None:
    features, contract = NOW.features(ORIGINS, vintages=[Vintage(UNFAMILIAR[what], (EARLY,))])
    assert contract == today[1]
    assert features.schema == today[0].schema
    same = ["store_id", "product_id", "forecast_origin", "horizon", "training", *OUTCOME]
    assert features.select(same).equals(today[0].select(same))
    rows = ahead(features, EARLY)
    assert rows["price"].null_count() == 0
    assert set(rows["promo"]) <= {None, 0.0, 1.0}
    known = len(contract.categories["event"])
    assert (rows["event"].drop_nulls() < known).all()


def launch(plan: pl.DataFrame, days: int) -> pl.DataFrame:
    """The plan with P-03 on sale in North from so many days after EARLY on."""
    row = {"date": [EARLY + timedelta(days=days)], "store_id": ["North"], "product_id": ["P-03"], "price": [5.0]}
    return pl.concat([plan, pl.DataFrame(row).cast({"price": pl.Float32})], how="diagonal")


def launching() -> Retailer:
    """P-03 first sold in North twelve days after EARLY; the plan had it on sale two days before."""
    sold = (pl.col("product_id") != "P-03") | (pl.col("store_id") != "North")
    first = pl.col("date") >= EARLY + timedelta(days=12)
    plan = NOW.plan.filter(pl.col("product_id").ne_missing("P-03"))
    return replace(NOW, demand=NOW.demand.filter(sold | first), plan=launch(plan, 10))


@pytest.mark.parametrize("plan", [NOW.plan.filter(product_id="P-00"), launch(NOW.plan.filter(product_id="P-00"), 5)])
def test_a_launch_that_was_planned_otherwise_keeps_its_rows_and_outcomes(plan: pl.DataFrame) -> None:
    retailer = launching()
    today, _ = retailer.features(ORIGINS)
    features, _ = retailer.features(ORIGINS, vintages=[Vintage(plan, (EARLY,))])
    assert features.select(*KEYS, *OUTCOME).equals(today.select(*KEYS, *OUTCOME))
    new = {"store_id": "North", "product_id": "P-03"}
    rows, before = (ahead(frame, EARLY).filter(**new).sort("horizon") for frame in (features, today))
    assert len(rows) == NOW.horizon
    announced = plan.filter(product_id="P-03")
    if announced.is_empty():  # nobody would have forecast it: its rows are today's
        assert rows.equals(before)
    else:
        assert rows["age_then"].to_list() == [max(0, horizon - 5) for horizon in range(1, 15)]
        assert before["age_then"].to_list() == [max(0, horizon - 10) for horizon in range(1, 15)]


def test_a_series_that_only_the_plan_of_then_announced_is_no_row_today() -> None:
    never = pl.DataFrame({"date": [EARLY + timedelta(days=3)], "store_id": ["North"], "product_id": ["P-99"]})
    plan = pl.concat([NOW.plan.drop("price"), never], how="diagonal")
    retailer = replace(NOW, plan=NOW.plan.drop("price"), covariates=unpriced())
    features, _ = retailer.features(ORIGINS, vintages=[Vintage(plan, (EARLY,))])
    assert features.select(KEYS).equals(retailer.features(ORIGINS)[0].select(KEYS))


def unpriced() -> Any:
    return COVARIATES.model_copy(update={"known_future": ["promo", "event"]})


def test_weeks_are_read_so_too() -> None:
    weekly = tiny_series([float(3 + week % 4) for week in range(120)], weekly=True)
    weekly = replace(weekly, covariates=unpriced().model_copy(update={"static": [], "past_only": []}))
    origin = weekly.last_day - timedelta(weeks=4)
    days = [origin + timedelta(days=day) for day in range(-70, 56)]
    plan = pl.DataFrame({"date": days, "promo": [1.0] * len(days), "event": ["fair"] * len(days)})
    none = plan.with_columns(promo=pl.when(pl.col("date") <= origin + timedelta(days=6)).then("promo"))
    features, _ = replace(weekly, plan=plan).features([origin], vintages=[Vintage(none, (origin,))])
    assert ahead(features, origin)["promo"].to_list() == [0.0] * 4
    assert replace(weekly, plan=plan).features([origin])[0].filter(~pl.col("training"))["promo"].to_list() == [1.0] * 4
