"""Forecasts of groups: effects are found again, the future changes nothing, the same data gives the same bits."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from demand_forecast.domain.alignment.calendar_regression import regress
from demand_forecast.domain.alignment.group_forecast import backtest_groups, forecast_groups
from demand_forecast.domain.alignment.groups import alignment_level, membership
from demand_forecast.domain.demand.calendar import DAILY
from demand_forecast.domain.demand.hierarchy import Level
from demand_forecast.domain.features import PanelInputs, Vintage
from demand_forecast.domain.models import ForecastModel, load_model
from demand_forecast.domain.tables import SERIES
from demand_forecast_tests.domain.small_retailer import SMALL, Retailer, make_retailer

HORIZON = 28


def panel(days: int, noise: float = 0.05) -> tuple[pl.DataFrame, np.ndarray]:
    """A group with a weekly rhythm, growth, a yearly event with a day of fever before it, and its expected units."""
    rng = np.random.default_rng(1)
    span = [date(2020, 1, 1) + timedelta(days=d) for d in range(days + HORIZON)]
    feast = np.array([day.month == 6 and day.day == 10 for day in span])
    eve = np.roll(feast, -1)
    rhythm = np.array([1.0, 1.0, 1.1, 1.2, 1.5, 1.9, 0.7])[[day.weekday() for day in span]]
    mean = 200 * rhythm * 1.1 ** (np.arange(len(span)) / 365) * np.where(feast, 0.2, 1) * np.where(eve, 1.8, 1)
    units = mean * np.exp(rng.normal(0, noise, len(span)))
    names = [("feast" if one else None) for one in feast]
    frame = pl.DataFrame({"date": span, "units": units, "exposure": [1.0] * len(span), "event": names})
    return frame, mean


def test_the_regression_finds_rhythm_growth_and_event() -> None:
    last = (date(2024, 5, 31) - date(2020, 1, 1)).days + 1  # the event and its eve lie in the horizon
    frame, mean = panel(last)
    found = regress(frame, PanelInputs("daily", future_category=("event",)), DAILY, last, HORIZON)
    assert found == pytest.approx(mean[last:], rel=0.15)
    assert found.sum() == pytest.approx(mean[last:].sum(), rel=0.03)


def test_the_regression_knows_nothing_after_the_origin_and_nothing_of_closed_days() -> None:
    frame, _ = panel(800)
    inputs = PanelInputs("daily", future_category=("event",))
    known = regress(frame, inputs, DAILY, 700, HORIZON)
    row = pl.int_range(pl.len())
    spoiled = frame.with_columns(
        units=pl.when(row >= 700).then(9e9).when(row == 300).then(9e9).otherwise("units"),
        exposure=(row != 300).cast(pl.Float64),
    )
    closed = frame.with_columns(exposure=(row != 300).cast(pl.Float64))
    assert (
        regress(spoiled, inputs, DAILY, 700, HORIZON).tolist() == regress(closed, inputs, DAILY, 700, HORIZON).tolist()
    )
    assert regress(frame.with_columns(units=pl.lit(0.0)), inputs, DAILY, 700, HORIZON).tolist() == [0.0] * HORIZON
    assert known.min() > 0


def tables(retailer: Retailer) -> tuple[Any, ...]:
    series = retailer.demand.select(SERIES).unique()
    level = alignment_level(series, retailer.products, retailer.stores, retailer.covariates.static)
    return retailer.demand, retailer.plan, retailer.products, retailer.stores, level


def trained(retailer: Retailer, origins: list[date], **options: Any) -> tuple[pl.DataFrame, ForecastModel]:
    return backtest_groups(
        *tables(retailer),
        covariates=retailer.covariates,
        frequency=retailer.frequency,
        horizon=retailer.horizon,
        origins=origins,
        training=SMALL,
        seed=7,
        **options,
    )


def forecast(retailer: Retailer, origins: list[date], **options: Any) -> pl.DataFrame:
    return trained(retailer, origins, **options)[0]


def test_groups_are_forecast_at_every_origin_from_what_was_known_there() -> None:
    retailer = make_retailer(days=400)
    origin = retailer.last_day - timedelta(days=14)
    both = forecast(retailer, [origin, retailer.last_day])
    assert both.group_by("forecast_origin").len()["len"].unique().to_list() == [retailer.horizon]
    early = both.filter(pl.col("forecast_origin") == origin)
    sold = (
        retailer.demand.join(early.select("date"), on="date").group_by("date").agg(pl.col("units").sum()).sort("date")
    )
    assert early["mean"].sum() == pytest.approx(sold["units"].sum(), rel=0.25)
    tripled = pl.when(pl.col("date") > origin).then(3 * pl.col("units")).otherwise("units")
    other = forecast(
        Retailer(**{**vars(retailer), "demand": retailer.demand.with_columns(units=tripled)}),
        [origin, retailer.last_day],
    )
    assert other.filter(pl.col("forecast_origin") == origin).equals(early)
    assert not other.equals(both)


def test_groups_read_the_plan_as_it_was_known_at_the_origin() -> None:
    retailer = make_retailer(days=150, products=2)
    origin = retailer.last_day - timedelta(days=14)
    both = [origin, retailer.last_day]
    today = forecast(retailer, both)
    assert forecast(retailer, both, vintages=[Vintage(retailer.plan, (origin,))]).equals(today)
    later = pl.col("date") > origin
    for known in (
        retailer.plan.with_columns(promo=pl.when(later).then(0).otherwise("promo")),  # planned since
        retailer.plan.drop("promo").with_columns(event=pl.lit(3.0)),
        retailer.plan.clear(),
    ):
        made = forecast(retailer, both, vintages=[Vintage(known, (origin,))])
        at = pl.col("forecast_origin") == origin
        assert made.filter(~at).equals(today.filter(~at))
        assert made.drop("mean").equals(today.drop("mean"))
        assert not made.filter(at).equals(today.filter(at))


@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_same_bits_again(threads: int) -> None:
    retailer = make_retailer(days=250, products=3)
    once, again = (forecast(retailer, [retailer.last_day], threads=threads) for _ in range(2))
    assert once.equals(again)


def test_a_night_forecasts_as_the_model_was_trained(tmp_path: Path) -> None:
    retailer = make_retailer(days=400)
    made, model = trained(retailer, [retailer.last_day])
    model.save(tmp_path)
    read = {"covariates": retailer.covariates, "frequency": "daily"}
    series = retailer.demand.select(SERIES).unique()
    demand, *rest = tables(retailer)
    assert_frame_equal(forecast_groups(load_model(tmp_path), demand, series, *rest, **read), made)
    night = retailer.until(retailer.last_day - timedelta(days=3))
    later = forecast_groups(model, night.demand, series, *rest, **read)
    assert later["forecast_origin"].unique().to_list() == [night.last_day]
    assert later["mean"].sum() == pytest.approx(made["mean"].sum(), rel=0.2)


def others(retailer: Retailer) -> dict[str, Retailer]:
    """The same retailer on nights whose tables look otherwise."""
    digits = pl.col("department").str.strip_prefix("D").cast(pl.Float32)
    plan = retailer.plan
    return {
        "a second shop": retailer,
        "a 2 among 0 and 1": replace(retailer, plan=plan.with_columns(promo=pl.col("promo") * 2)),
        "text in a number": replace(retailer, plan=plan.with_columns(pl.col("promo").cast(pl.String).fill_null("n/a"))),
        "no text": replace(retailer, plan=plan.with_columns(event=pl.lit(None, pl.Float32))),
        "no column in the plan": replace(retailer, plan=plan.drop("event")),
        "departments of digits": replace(retailer, products=retailer.products.with_columns(digits)),
        "no departments": replace(retailer, products=retailer.products.drop("department")),
    }


@pytest.fixture(scope="module")
def of_one_shop() -> tuple[Retailer, Level, ForecastModel]:
    """A retailer of twenty products, its level and model when South was its only shop."""
    both = make_retailer(days=250, products=20)
    south = replace(both, demand=both.demand.filter(pl.col("store_id") == "South"))
    return both, tables(south)[-1], trained(south, [south.last_day])[1]


@pytest.mark.parametrize("what", others(make_retailer(days=20, products=1)))
def test_a_night_that_looks_otherwise_is_forecast_by_groups_too(
    of_one_shop: tuple[Retailer, Level, ForecastModel], what: str
) -> None:
    retailer, level, model = of_one_shop
    assert level.columns
    night = others(retailer)[what]
    series = night.demand.select(SERIES).unique()
    made = forecast_groups(
        *(model, night.demand, series, night.plan, night.products, night.stores, level),
        covariates=night.covariates,
        frequency="daily",
    )
    members = membership(series, level, night.products, night.stores)
    expected = members.select("store_group", "product_group").unique()
    assert made.select("store_group", "product_group").unique().sort(pl.all()).equals(expected.sort(pl.all()))
    assert made["mean"].is_finite().all()
    assert len(made) == len(expected) * night.horizon
