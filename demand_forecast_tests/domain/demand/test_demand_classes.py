"""The class of a series against a loop over its days, and at the limits."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from demand_forecast.domain.demand.demand_classes import demand_classes

LAST = date(2024, 6, 30)
YEAR = 364


def history(
    units: list[float], *, in_stock: list[float | None] | None = None, opened: list[bool] | None = None
) -> pl.DataFrame:
    """One series with these units on the days up to LAST."""
    days = [LAST - timedelta(days=back) for back in reversed(range(len(units)))]
    known = {"in_stock": in_stock or [1.0] * len(units), "open": opened or [True] * len(units)}
    series = {"store_id": ["s"] * len(units), "product_id": ["p"] * len(units)}
    return pl.DataFrame({**series, "date": days, "units": units, **known}, schema_overrides={"in_stock": pl.Float32})


def class_of(demand: pl.DataFrame, origin: date = LAST) -> str:
    return demand_classes(demand, [origin])["demand_class"].item()


def loop_class(demand: pl.DataFrame, origin: date) -> str:
    """By the definitions, a day at a time."""
    rows = [row for row in demand.sort("date").iter_rows(named=True) if row["date"] <= origin]
    if (origin - rows[0]["date"]).days < 56:
        return "new"
    counting = [row for row in rows if row["open"] and row["in_stock"] >= 0.5 and (origin - row["date"]).days < YEAR]
    sizes = [row["units"] for row in counting if row["units"] > 0]
    if not sizes:
        return "dormant"
    seldom, unequal = len(counting) / len(sizes) > 1.32, (np.std(sizes) / np.mean(sizes)) ** 2 > 0.49
    return {(False, False): "smooth", (False, True): "erratic", (True, False): "intermittent", (True, True): "lumpy"}[
        bool(seldom), bool(unequal)
    ]


def test_every_class_is_that_of_a_plain_loop() -> None:
    rng = np.random.default_rng(4)
    frames = []
    for number in range(120):
        days = int(rng.integers(30, 900))
        rate, shape = rng.choice([0.0, 0.1, 0.8, 4.0]), rng.choice([0.3, 1.0, 30.0])
        units = rng.poisson(rng.gamma(shape, 1 / shape, days) * rate * 3) * (rng.random(days) < min(rate, 1))
        frame = history(
            units.astype(float).tolist(),
            in_stock=rng.choice([0.0, 0.5, 1.0], days).tolist(),
            opened=(rng.random(days) < 0.9).tolist(),
        )
        frames.append(frame.with_columns(product_id=pl.lit(f"p{number:03}")))
    demand = pl.concat(frames).sample(fraction=1, shuffle=True, seed=1)
    origins = [LAST - timedelta(days=40), LAST]
    found = demand_classes(demand, origins)
    expected = {
        (frame["product_id"][0], origin): loop_class(frame, origin)
        for frame in frames
        for origin in origins
        if frame["date"][0] <= origin
    }
    assert {
        (row["product_id"], row["forecast_origin"]): row["demand_class"] for row in found.iter_rows(named=True)
    } == expected
    assert set(expected.values()) == {"smooth", "erratic", "intermittent", "lumpy", "dormant", "new"}


def test_a_series_is_new_for_eight_weeks() -> None:
    assert class_of(history([1.0] * 56)) == "new"
    assert class_of(history([1.0] * 57)) == "smooth"


def test_a_series_that_has_not_sold_by_the_origin_has_no_class() -> None:
    assert demand_classes(history([1.0] * 5), [LAST - timedelta(days=5)]).is_empty()


def test_only_the_last_year_counts() -> None:
    assert class_of(history([5.0] * 300 + [0.0] * YEAR)) == "dormant"
    assert class_of(history([5.0] * 300 + [0.0] * (YEAR - 1))) == "intermittent"


@pytest.mark.parametrize(("gaps", "named"), [(32, "smooth"), (33, "intermittent")])
def test_the_limit_of_the_interval_is_still_often(gaps: int, named: str) -> None:
    assert class_of(history([1.0] * 100 + [0.0] * gaps)) == named


def test_days_without_goods_or_opening_say_nothing_of_demand() -> None:
    units = [2.0, 0.0] * 100
    sold = [bool(amount) for amount in units]
    assert class_of(history(units)) == "intermittent"
    assert class_of(history(units, in_stock=[float(there) for there in sold])) == "smooth"
    assert class_of(history(units, opened=sold)) == "smooth"
    assert class_of(history(units, in_stock=[1.0 if amount else None for amount in units])) == "smooth"
