"""The replenishment benchmark on curves and days that can be counted by hand."""

from datetime import date, timedelta

import polars as pl
import pytest

from benchmarks.replenishment.__main__ import starting_stock
from benchmarks.replenishment.curve import equal_service, promises, speed_names, trade_off
from benchmarks.replenishment.forecasts import Window
from benchmarks.replenishment.picture import trade_off_picture
from benchmarks.replenishment.policies import by_normal_error
from demand_forecast.settings import Replenishment

START = date(2025, 3, 2)
KEY = {"store_id": "s", "product_id": "p"}
WINDOW = Window(START, review=7, lead_time=3, cycles=2)


def days(first: int, last: int) -> list[date]:
    return [START + timedelta(days=number) for number in range(first, last + 1)]


def demand(units: float) -> pl.DataFrame:
    return pl.DataFrame({**KEY, "date": days(-27, 17), "units": units, "price": 2.0})


def targets(level: float) -> pl.DataFrame:
    """20 units at a level of a half, 40 at one."""
    plan = pl.DataFrame({**KEY, "forecast_origin": WINDOW.reviews, "target_stock": 40 * level})
    order = pl.col("target_stock")
    return plan.with_columns(order_quantity=order, expected_demand=pl.lit(20.0), service_level=pl.lit(level))


def curve_of(policy: str, stock: list[float]) -> pl.DataFrame:
    points = {"asked": [0.8, 0.9, 0.99], "fill_rate": [0.88, 0.94, 1.0], "cycle_service": [0.8, 0.9, 0.96]}
    return pl.DataFrame({"policy": policy, **points, "stock_units": stock, "stock_value": stock, "cover_days": stock})


def test_the_last_cycle_ends_on_the_last_day() -> None:
    window = Window.until(START + timedelta(days=17), review=7, lead_time=3, cycles=2)
    assert window == WINDOW
    assert window.reviews == [START, START + timedelta(days=7)]
    assert window.backtest_origins(28, 2) == [START - timedelta(days=56), START - timedelta(days=28)]


def test_stock_at_equal_service_lies_between_the_points() -> None:
    curve = pl.concat([curve_of("ours", [100, 130, 190]), curve_of("other", [200, 260, 380])])
    table = equal_service(curve, "ours")
    at = table.filter(pl.col("service") == "fill_rate", pl.col("achieved") == 0.95)
    assert at["stock_units"].to_list() == pytest.approx([140, 280])
    assert at["saving_units"].to_list() == pytest.approx([0, 0.5])
    beyond = table.filter(pl.col("service") == "cycle_service", pl.col("achieved") == 0.98)
    assert beyond["stock_units"].to_list() == [None, None]


def test_more_target_buys_more_service_and_more_stock() -> None:
    """Four a day and a review each seven: 28 a cycle, all of which a target of 40 serves. The 12 units that everyone
    starts with are the lowest target, so that its first order is nothing and its second 12.
    """
    stock = starting_stock(demand(4.0).filter(pl.col("date") <= START), 3)
    assert stock["on_hand"].to_list() == [12]
    curve = trade_off({"ours": targets}, demand(4.0), stock, 3, "lost").sort("asked")
    assert curve["fill_rate"].is_sorted()
    assert curve["stock_units"].is_sorted()
    assert curve["fill_rate"][0] == pytest.approx(12 / 56)
    assert curve.row(-1, named=True)["cycle_service"] == 1
    assert trade_off_picture(curve, equal_service(curve, "ours"), "test").startswith(b"\x89PNG")


def test_a_promise_is_kept_where_the_target_covers_the_protection_period() -> None:
    stock = starting_stock(demand(3.8).filter(pl.col("date") <= START), 3)
    kept = promises(targets, demand(3.8), stock, 3, WINDOW.protection).filter(pl.col("speed") == "all")
    assert kept["kept"].to_list() == [0, 0, 1, 1, 1]  # 38 units against 32, 36, 38, 39.2 and 39.6
    assert kept["promised"].to_list() == pytest.approx([0.8, 0.9, 0.95, 0.98, 0.99])


def test_a_speed_is_in_the_class_that_names_it() -> None:
    slow = promises(targets, demand(1.0), starting_stock(demand(1.0), 3), 3, WINDOW.protection)
    assert slow["speed"].unique().sort().to_list() == ["1 to 3", "all"]  # the plan expects two a day
    assert speed_names()[0] == "below 0.1"


def test_the_textbook_adds_z_sigma_root_of_the_protection_period() -> None:
    forecast = pl.DataFrame({**KEY, "forecast_origin": START, "date": days(1, 10), "mean": 2.0})
    backtest = pl.DataFrame({**KEY, "mean": 2.0, "units": [0.0, 4.0] * 14})  # errors of two units
    plan = by_normal_error(forecast, backtest, Replenishment())(0.95)
    assert plan["target_stock"].item() == pytest.approx(20 + 1.6449 * 2 * 10**0.5, rel=1e-4)
