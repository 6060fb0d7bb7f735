"""The plan read again against the builder given the other plan."""

from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from demand_forecast.domain.features import ContractError, FeatureContract, ForecastFeatures, read_plan_again
from demand_forecast.domain.tables import SERIES
from demand_forecast_tests.domain.small_retailer import Retailer, make_retailer

RETAILER = make_retailer(days=200, products=3)
LAST = RETAILER.last_day
SOON, LATE, BEYOND = (LAST + timedelta(days=days) for days in (4, 14, 18))  # the horizon is 14
Made = tuple[ForecastFeatures, FeatureContract]


@pytest.fixture(scope="module")
def made() -> Made:
    _, contract = RETAILER.features([LAST])
    return RETAILER.ahead(contract), contract


def planning(*rows: tuple[date, str | None, str | None, str, object]) -> Retailer:
    """The retailer whose plan says, in rows of (day, store, product, column, value), otherwise."""
    plan = RETAILER.plan.with_columns(open=pl.lit(None, pl.Float32))
    said = [dict(zip(["date", *SERIES, row[3]], [*row[:3], row[4]], strict=True)) for row in rows]
    both = pl.concat([plan, pl.DataFrame(said, schema_overrides=plan.schema)], how="diagonal")
    return replace(RETAILER, plan=both.group_by("date", *SERIES).agg(pl.all().drop_nulls().last()))


DEARER = [(SOON + timedelta(days=n), None, "P-01", "price", 9.99) for n in range(60)]
P1, NORTH = pl.col("product_id") == "P-01", pl.col("store_id") == "North"
CHANGES = {
    "a price from a day on": (planning(*DEARER), "price", P1 & (pl.col("date") >= SOON), 9.99),
    "a promotion": (planning((SOON, None, "P-01", "promo", 1.0)), "promo", P1 & (pl.col("date") == SOON), 1.0),
    "an event": (planning((SOON, None, None, "event", "match")), "event", pl.col("date") == SOON, "match"),
    "an event after": (planning((BEYOND, None, None, "event", "fair")), "event", pl.col("date") == BEYOND, "fair"),
    "a closed day": (
        planning((LATE, "North", None, "open", 0.0)),
        "open_planned",
        NORTH & (pl.col("date") == LATE),
        0.0,
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_it_is_what_the_builder_makes_of_the_other_plan(made: Made, what: str) -> None:
    (ahead, contract), (other, column, where, value) = made, CHANGES[what]
    changed = ahead.planned.with_columns(pl.when(where).then(pl.lit(value)).otherwise(column).alias(column))
    found = read_plan_again(ahead.rows, ahead.planned, changed, contract)
    expected = other.ahead(contract)
    assert_frame_equal(found, expected.rows, rel_tol=1e-6)
    assert_frame_equal(changed.cast(ahead.planned.schema), expected.planned)
    differs = pl.any_horizontal(pl.col(name).ne_missing(ahead.rows[name]) for name in ahead.rows.columns)
    assert 0 < found.select(differs.sum()).item() < len(found)
    again = read_plan_again(found, changed, ahead.planned, contract)
    assert_frame_equal(again, ahead.rows, rel_tol=1e-6)


def test_what_reads_the_same_is_kept_to_the_bit_whatever_it_is(made: Made) -> None:
    ahead, contract = made
    odd = ahead.rows.with_columns(price_to_usual=pl.lit(0.123, pl.Float32), event=pl.lit(77, pl.Int32))
    assert read_plan_again(odd, ahead.planned, ahead.planned.sample(fraction=1, shuffle=True), contract).equals(odd)
    dearer = pl.when(P1).then(9.5).otherwise("price").cast(pl.Float32).alias("price")
    found = read_plan_again(odd, ahead.planned, ahead.planned.with_columns(dearer), contract)
    assert found.filter(~P1).equals(odd.filter(~P1))
    assert found.filter(P1)["price_to_usual"].min() > 1  # type: ignore[operator]
    assert set(found["event"]) == {77}


def test_part_of_the_series_reads_as_all(made: Made) -> None:
    ahead, contract = made
    changed = ahead.planned.with_columns(promo=pl.lit(1.0))
    whole = read_plan_again(ahead.rows, ahead.planned, changed, contract)
    rows, planned, other = (frame.filter(P1, NORTH) for frame in (ahead.rows, ahead.planned, changed))
    part = read_plan_again(rows, planned, other, contract)
    assert part.equals(whole.filter(P1, NORTH))


def test_what_cannot_be_read_is_named(made: Made) -> None:
    ahead, contract = made
    with pytest.raises(ContractError, match="event: circus is not known; known are fair, match"):
        read_plan_again(ahead.rows, ahead.planned, ahead.planned.with_columns(event=pl.lit("circus")), contract)
    with pytest.raises(ContractError, match="every planned day of the series once"):
        read_plan_again(ahead.rows, ahead.planned, ahead.planned[1:], contract)
    north = ahead.planned.filter(NORTH)
    with pytest.raises(ContractError, match=r"P-00 in South: .* is not among the planned days"):
        read_plan_again(ahead.rows, north, north.with_columns(promo=pl.lit(1.0)), contract)
