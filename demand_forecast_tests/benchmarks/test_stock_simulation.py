"""The simulation of stock against a loop by day that a child could follow."""

import math
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from benchmarks.replenishment.stock_simulation import Unmet, service_figures, simulate_stock
from demand_forecast.domain.replenishment.policy import reorder_plan
from demand_forecast.domain.tables import QUANTILE_COLUMNS
from demand_forecast.settings import Replenishment

START = date(2025, 3, 2)
KEY = {"store_id": "s", "product_id": "p"}
REVIEWS = 5
REVIEW = 7
LAST = REVIEWS * REVIEW + 3


def day(number: int) -> date:
    return START + timedelta(days=number)


def targets_of(values: list[float], product: str = "p") -> pl.DataFrame:
    origins = [day(REVIEW * number) for number in range(len(values))]
    return pl.DataFrame({**KEY, "product_id": product, "forecast_origin": origins, "target_stock": values})


def demand_of(units: list[float], product: str = "p") -> pl.DataFrame:
    days = [day(number + 1) for number in range(len(units))]
    return pl.DataFrame({**KEY, "product_id": product, "date": days, "units": units})


def stock_of(units: float, product: str = "p") -> pl.DataFrame:
    return pl.DataFrame({**KEY, "product_id": product, "on_hand": units})


def by_hand(
    targets: list[float], demand: list[float], stock: float, lead_time: int, unmet: Unmet
) -> list[tuple[float, ...]]:
    """(opening, served, closing, ordered) of each day, with the orders in a list of (evening, units)."""
    orders: list[tuple[int, float]] = []
    rows = []
    for today in range(len(demand) + 1):
        opening = stock
        asked = demand[today - 1] if today else 0.0
        served = min(max(stock, 0.0), asked)
        stock -= served if unmet == "lost" else asked
        closing, ordered = stock, 0.0
        if today % REVIEW == 0 and today // REVIEW < len(targets):
            on_order = sum(units for evening, units in orders if evening >= today)
            ordered = max(math.ceil(targets[today // REVIEW] - stock - on_order), 0)
            orders.append((today + lead_time, ordered))
        stock += sum(units for evening, units in orders if evening == today)
        rows.append((opening, served, closing, ordered))
    return rows[1:]


@pytest.mark.parametrize("lead_time", [0, 3, 9])
@pytest.mark.parametrize("unmet", ["lost", "backordered"])
def test_it_is_the_loop_by_day(lead_time: int, unmet: Unmet) -> None:
    rng = np.random.default_rng(5)
    frames, expected = [], []
    for product in ("a", "b", "c"):
        targets = rng.integers(0, 40, REVIEWS) + rng.choice([0, 0.5], REVIEWS)
        demand = rng.poisson(2.5, LAST).astype(float)
        frames.append((targets_of(list(targets), product), demand_of(list(demand), product), stock_of(9, product)))
        expected += by_hand(list(targets), list(demand), 9, lead_time, unmet)
    columns = zip(*frames, strict=True)
    targets, demands, stocks = (pl.concat(parts).sample(fraction=1, shuffle=True, seed=1) for parts in columns)
    simulated = simulate_stock(targets, demands, stocks, lead_time=lead_time, unmet=unmet)
    assert simulated.select("opening", "served", "closing", "ordered").rows() == expected
    assert (simulated["served"] < simulated["units"]).any()
    assert (simulated["closing"] < 0).any() == (unmet == "backordered")


def test_its_orders_are_those_of_the_reorder_plan() -> None:
    """The plan, given the stock that the simulation says is there and under way, orders what the simulation orders."""
    quantiles = {name: 4.0 + number // 3 for number, name in enumerate(QUANTILE_COLUMNS)}
    forecast = pl.concat(
        pl.DataFrame(
            {**KEY, "date": [day(origin + h) for h in range(1, 15)], "forecast_origin": day(origin)}
        ).with_columns(
            horizon=pl.int_range(1, 15, dtype=pl.Int32),
            mean=pl.lit(5.0),
            variance=pl.lit(5.0),
            correlation=pl.lit(0.1),
            **quantiles,
        )
        for origin in range(0, REVIEWS * REVIEW, REVIEW)
    )
    policy = Replenishment()
    units = [float(units) for units in np.random.default_rng(1).poisson(5, LAST)]
    targets = reorder_plan(forecast, None, policy, "daily")
    simulated = simulate_stock(targets, demand_of(units), stock_of(20), lead_time=policy.lead_time)
    evenings = simulated.filter(pl.col("date").is_in(targets["forecast_origin"].implode()))
    reports = evenings.select("date", *KEY, on_hand="closing", on_order=0.0)
    plan = reorder_plan(forecast.filter(pl.col("forecast_origin") > START), reports, policy, "daily")
    assert plan["order_quantity"].to_list() == evenings["ordered"].to_list()
    assert plan["order_quantity"].min() > 0


def test_figures_of_a_case_counted_by_hand() -> None:
    """Ten units arrive every seventh evening and three a day are asked for: the fourth day sells one, the rest none."""
    units = [3.0] * 14
    simulated = simulate_stock(targets_of([10, 10]), demand_of(units), stock_of(0), lead_time=0)
    figures = service_figures(simulated, pl.DataFrame({**KEY, "price": 2.0}))
    assert figures.fill_rate == pytest.approx(20 / 42)
    assert figures.cycle_service == 0
    week = [10, 7, 4, 1, 0, 0, 0, 0]
    held = sum(week[:7] + week[1:]) / 14
    assert figures.stock_units == pytest.approx(held)
    assert figures.stock_value == pytest.approx(2 * held)
    assert figures.cover_days == pytest.approx(held / 3)


def test_days_before_the_first_delivery_do_not_count_and_a_full_cycle_does() -> None:
    units = [5.0] * 3 + [1.0] * 7
    simulated = simulate_stock(targets_of([8]), demand_of(units), stock_of(0), lead_time=3)
    assert simulated["cycle"].to_list() == [0] * 3 + [1] * 7
    figures = service_figures(simulated, pl.DataFrame({**KEY, "price": 2.0}))
    assert (figures.fill_rate, figures.cycle_service) == (1, 1)


def test_a_missing_day_is_an_error() -> None:
    with pytest.raises(ValueError, match="one for every series and day"):
        simulate_stock(
            targets_of([8]),
            pl.concat([demand_of([1.0] * 9), demand_of([1.0], "q")]),
            pl.concat([stock_of(0), stock_of(1, "q")]),
            lead_time=3,
        )
