"""An order far beyond all that a series ever sold is an exception; promotions, seasons and new levels are not."""

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from demand_forecast.domain.demand.exceptions import exceptions, without_exceptions
from demand_forecast.domain.demand.exposure import exposure

FIRST = date(2023, 1, 2)
ORDER = 300  # the day of an order


def demand(*series: Sequence[float | None], step: int = 1) -> pl.DataFrame:
    """daily_demand of products P0, P1 …, all in stock."""
    rows = [
        ("S", f"P{number}", FIRST + timedelta(days=step * day), value, 1.0, True)
        for number, units in enumerate(series)
        for day, value in enumerate(units)
    ]
    schema = {"store_id": pl.String, "product_id": pl.String, "date": pl.Date, "units": pl.Float32}
    return pl.DataFrame(rows, schema=schema | {"in_stock": pl.Float32, "open": pl.Boolean}, orient="row")


def steady(level: float, days: int = 400, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).poisson(level, days).astype(float)


def odd_days(table: pl.DataFrame, step: int = 1) -> list[tuple[str, date]]:
    marked = without_exceptions(table, step)
    assert marked.drop("in_stock").equals(table.drop("in_stock"))
    return marked.filter(pl.col("in_stock").is_null()).select("product_id", "date").rows()


@pytest.mark.parametrize("level", [0.5, 1, 4, 20, 1500])
def test_one_order_of_180_times_the_usual_day_is_kept_out_of_levels(level: float) -> None:
    units = steady(level)
    units[ORDER] = 180 * level
    table = without_exceptions(demand(units), 1)
    assert table.filter(exposure() == 0)["date"].to_list() == [FIRST + timedelta(days=ORDER)]
    (odd,) = exceptions(table, FIRST).iter_rows(named=True)
    assert odd["units"] == pytest.approx(180 * level)
    assert odd["usual"] == pytest.approx(level, rel=0.3)


def test_what_a_series_may_do_is_no_exception() -> None:
    rng, days = np.random.default_rng(3), 730
    promoted, christmas, lumpy, rare, level, launched = (steady(4, days, seed) for seed in range(6))
    promoted[400:410] *= 5
    christmas[-12:-2] *= 8
    lumpy[:] = np.where(rng.random(days) < 0.05, rng.geometric(1 / 12, days), 0)
    rare[:] = np.where(rng.random(days) < 0.02, 50, 0)
    level[500:] *= 180
    launched[:30], launched[30:] = steady(0.2, 30), steady(60, days - 30)
    found = odd_days(demand(promoted, christmas, lumpy, rare, level, launched))
    assert found == [("P4", FIRST + timedelta(days=500))]  # a level that lasts is one from its second day on


def test_where_many_series_rise_together_it_is_an_event() -> None:
    series = [steady(4, seed=seed) for seed in range(10)]
    series[0][ORDER] = 900
    assert len(odd_days(demand(*series))) == 1
    for units in series[1:4]:
        units[ORDER] = 50
    assert odd_days(demand(*series)) == []


def test_a_series_that_is_hardly_known_has_no_exceptions() -> None:
    for known in (steady(4, 40), np.array([0.0] * 90 + [1, 0, 2])):
        assert odd_days(demand([*known, 900.0])) == []


def test_weeks_are_judged_as_days_are() -> None:
    weeks = steady(7, 60)
    weeks[50] = 1260
    assert odd_days(demand(weeks, step=7), step=7) == [("P0", FIRST + timedelta(weeks=50))]


@pytest.mark.parametrize("since", [30, ORDER - 1, ORDER, ORDER + 1])
def test_the_newest_days_are_judged_as_among_all(since: int) -> None:
    odd, event = [steady(4, seed=seed) for seed in range(8)], ORDER + 40
    odd[0][ORDER] = 900
    odd[1][ORDER : ORDER + 5] = 700
    odd[2][:ORDER] = None
    for units in odd[3:8]:
        units[event] = 600
    table = demand(*([None if np.isnan(value) else value for value in units] for units in odd))
    whole, day = without_exceptions(table, 1), FIRST + timedelta(days=since)
    before = whole.filter(pl.col("date") < day)
    newest = without_exceptions(table.filter(pl.col("date") >= day), 1, before.lazy())
    assert_frame_equal(newest, whole.filter(pl.col("date") >= day))
    assert whole["in_stock"].null_count() == 2
