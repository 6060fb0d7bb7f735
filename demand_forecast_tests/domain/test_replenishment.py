"""Orders against simulated demand: a level that each series' days share, and noise of each day."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy.stats import gamma, poisson

from demand_forecast.domain.protection import EXCESS_CORRELATION, daily_variance
from demand_forecast.domain.quantiles import count_quantiles
from demand_forecast.domain.replenishment import PLAN_COLUMNS, reorder_plan
from demand_forecast.domain.tables import QUANTILE_COLUMNS, QUANTILE_LEVELS
from demand_forecast.settings import Replenishment

ORIGIN = date(2025, 3, 2)
HORIZON = 14
SETTINGS = Replenishment()
PROTECTION = SETTINGS.lead_time + SETTINGS.review_period
WEEK = np.array([0.8, 0.8, 0.9, 1.0, 1.2, 1.4, 0.9] * 2)  # a shop's week, twice


def forecast(mean: np.ndarray, quantiles: np.ndarray, product: str = "p", step: int = 1) -> pl.DataFrame:
    """`demand_forecast` of one series: `mean` is (horizon,), `quantiles` (horizon, 9)."""
    horizon = np.arange(1, len(mean) + 1, dtype=np.int32)
    columns = {column: quantiles[:, number].astype(np.float32) for number, column in enumerate(QUANTILE_COLUMNS)}
    return pl.DataFrame(
        {
            "store_id": ["s"] * len(mean),
            "product_id": [product] * len(mean),
            "date": [ORIGIN + timedelta(days=int(h) * step) for h in horizon],
            "forecast_origin": [ORIGIN] * len(mean),
            "horizon": horizon,
            "mean": mean.astype(np.float32),
            **columns,
        }
    )


def poisson_forecast(daily: float, product: str = "p", horizon: int = HORIZON, step: int = 1) -> pl.DataFrame:
    mean = np.full(horizon, daily)
    return forecast(mean, count_quantiles(mean, mean), product, step)


def plan_row(plan: pl.DataFrame, product: str = "p") -> dict[str, Any]:
    return plan.row(by_predicate=pl.col("product_id") == product, named=True)


def stock_report(days_ago: int, on_hand: float | None, product: str = "p") -> pl.DataFrame:
    row = {"date": ORIGIN - timedelta(days=days_ago), "store_id": "s", "product_id": product, "on_hand": on_hand}
    return pl.DataFrame([row], schema_overrides={"on_hand": pl.Float32})


def _simulated_level(shape: float, days: int, draws: int = 30_000) -> np.ndarray:
    """Gamma levels with mean 1 and variance 1/shape, (draws, days), correlated between days."""
    rng = np.random.default_rng(17)
    shared = rng.gamma(EXCESS_CORRELATION * shape, size=(draws, 1))
    own = rng.gamma((1 - EXCESS_CORRELATION) * shape, size=(draws, days))
    return (shared + own) / shape


@pytest.mark.parametrize("daily", [0.3, 2.0, 15.0, 80.0])
@pytest.mark.parametrize("ratio", [1.5, 3.0])
@pytest.mark.parametrize("service_level", [0.8, 0.95])
def test_target_stock_keeps_the_service_level_in_simulation(daily: float, ratio: float, service_level: float) -> None:
    shape, mean = daily / (ratio - 1), daily * WEEK
    quantiles = count_quantiles(mean, mean + mean**2 / shape)
    settings = Replenishment(service_level=service_level)
    row = plan_row(reorder_plan(forecast(mean, quantiles), None, settings, "daily"))
    level = _simulated_level(shape, PROTECTION)
    demand = np.random.default_rng(4).poisson(mean[:PROTECTION] * level).sum(axis=1)
    spare = (demand == row["target_stock"]).mean()
    assert service_level - 0.03 <= (demand <= row["target_stock"]).mean() <= service_level + 0.03 + spare
    assert row["service_level"] == pytest.approx((demand <= row["target_stock"]).mean(), abs=0.03)
    assert row["expected_demand"] == pytest.approx(mean[:PROTECTION].sum(), rel=1e-5)
    assert row["target_stock"] == round(row["target_stock"])


@pytest.mark.parametrize("variation", [0.2, 0.6])
def test_goods_sold_by_weight_follow_a_gamma(variation: float) -> None:
    shape, mean = variation**-2, np.full(HORIZON, 3.7)
    quantiles = np.tile(gamma.ppf(QUANTILE_LEVELS, shape, scale=3.7 / shape), (HORIZON, 1))
    row = plan_row(reorder_plan(forecast(mean, quantiles), None, SETTINGS, "daily"))
    demand = 3.7 * _simulated_level(shape, PROTECTION).sum(axis=1)
    assert row["target_stock"] == pytest.approx(np.quantile(demand, 0.95), rel=0.03)
    assert row["order_quantity"] == np.ceil(row["target_stock"])


@pytest.mark.parametrize("daily", [0.05, 0.7, 6.0])
def test_poisson_days_add_up_to_a_poisson(daily: float) -> None:
    mean = daily * WEEK
    row = plan_row(reorder_plan(forecast(mean, count_quantiles(mean, mean)), None, SETTINGS, "daily"))
    assert row["target_stock"] == pytest.approx(poisson.ppf(0.95, mean[:PROTECTION].sum()), abs=1)


def test_quantiles_of_days_are_not_added_up() -> None:
    mean = 2.0 * WEEK
    row = plan_row(reorder_plan(forecast(mean, count_quantiles(mean, mean)), None, SETTINGS, "daily"))
    assert row["target_stock"] < 0.7 * poisson.ppf(0.95, mean[:PROTECTION]).sum()
    medians = plan_row(reorder_plan(forecast(0.05 * WEEK, np.zeros((HORIZON, 9))), None, SETTINGS, "daily"))
    assert medians["target_stock"] > 0


@pytest.mark.parametrize("ratio", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("daily", [0.5, 3.0, 20.0, 400.0])
def test_the_variance_of_days_is_found_again_in_their_quantiles(daily: float, ratio: float) -> None:
    mean = daily * WEEK
    found = daily_variance(np.zeros(14, np.int64), mean, count_quantiles(mean, ratio * mean), np.array([True]))
    assert found.sum() == pytest.approx((ratio * mean).sum(), rel=0.25)


def test_only_what_is_missing_is_ordered() -> None:
    demand = pl.concat([poisson_forecast(2.0, product) for product in ("full", "short", "unknown")])
    stock = pl.concat([stock_report(0, 100, "full"), stock_report(0, 12, "short"), stock_report(0, None, "unknown")])
    plan = reorder_plan(demand, stock, SETTINGS, "daily")
    full, short, unknown = (plan_row(plan, product) for product in ("full", "short", "unknown"))
    target = unknown["target_stock"]
    assert (full["order_quantity"], full["stock_known"]) == (0, True)
    assert full["expected_stock"] == pytest.approx(80)
    assert full["service_level"] > 0.999
    assert short["order_quantity"] == target - 12
    assert short["expected_stock"] == pytest.approx(target - 20)
    assert (unknown["order_quantity"], unknown["on_hand"], unknown["stock_known"]) == (target, 0, False)


def test_units_on_order_count_as_stock() -> None:
    stock = stock_report(1, 5).with_columns(on_order=pl.lit(8.0))
    row = plan_row(reorder_plan(poisson_forecast(2.0), stock, SETTINGS, "daily"))
    assert row["on_order"] == 8
    assert row["order_quantity"] == row["target_stock"] - 13


def test_the_last_report_until_the_origin_counts() -> None:
    reports = [stock_report(3, 50), stock_report(1, 7), stock_report(0, None), stock_report(-1, 90)]
    row = plan_row(reorder_plan(poisson_forecast(2.0), pl.concat(reports), SETTINGS, "daily"))
    assert row["on_hand"] == 7


@pytest.mark.parametrize("stock", [None, pl.DataFrame(), stock_report(0, 3).clear()])
def test_without_stock_reports_everything_is_ordered(stock: pl.DataFrame | None) -> None:
    row = plan_row(reorder_plan(poisson_forecast(2.0), stock, SETTINGS, "daily"))
    assert (row["stock_known"], row["order_quantity"]) == (False, row["target_stock"])


def test_products_may_have_their_own_policy() -> None:
    demand = pl.concat([poisson_forecast(2.0, product) for product in ("own", "wrong", "other")])
    products = pl.DataFrame(
        {
            "product_id": ["own", "wrong"],
            "lead_time": ["1", "soon"],
            "review_period": [2.0, 0.0],
            "service_level": [0.8, 1.5],
        }
    )
    plan = reorder_plan(demand, None, SETTINGS, "daily", products)
    own, wrong, other = (plan_row(plan, product) for product in ("own", "wrong", "other"))
    same = Replenishment(lead_time=1, review_period=2, service_level=0.8)
    assert own == plan_row(reorder_plan(poisson_forecast(2.0, "own"), None, same, "daily"), "own")
    assert own["protection_days"] == 3
    assert {**wrong, "product_id": "other"} == other


def test_a_forecast_shorter_than_the_protection_period_says_so() -> None:
    plan = reorder_plan(poisson_forecast(2.0, horizon=7), None, SETTINGS, "daily")
    row = plan_row(plan)
    assert (row["protection_days"], row["protection_cut"]) == (7, True)
    assert row["expected_demand"] == pytest.approx(14)
    assert not plan_row(reorder_plan(poisson_forecast(2.0), None, SETTINGS, "daily"))["protection_cut"]


def test_weeks_are_covered_in_part() -> None:
    row = plan_row(reorder_plan(poisson_forecast(14.0, horizon=4, step=7), None, SETTINGS, "weekly"))
    assert row["protection_days"] == PROTECTION
    assert row["expected_demand"] == pytest.approx(20)
    assert row["target_stock"] == pytest.approx(poisson.ppf(0.95, 20), abs=1)


def test_a_closed_shop_orders_nothing() -> None:
    row = plan_row(reorder_plan(poisson_forecast(0.0), None, SETTINGS, "daily"))
    assert (row["expected_demand"], row["order_quantity"], row["service_level"]) == (0, 0, 1)


def test_order_of_rows_changes_nothing_and_every_origin_has_its_plan() -> None:
    later = poisson_forecast(5.0).with_columns(pl.col("date", "forecast_origin").dt.offset_by("1d"))
    demand = pl.concat([poisson_forecast(2.0), poisson_forecast(9.0, "q"), later])
    plan = reorder_plan(demand, stock_report(0, 7), SETTINGS, "daily")
    assert plan["expected_demand"].to_list() == pytest.approx([20, 50, 90])
    shuffled = reorder_plan(demand.sample(fraction=1, shuffle=True, seed=3), stock_report(0, 7), SETTINGS, "daily")
    assert_frame_equal(plan, shuffled)


def test_columns_are_those_of_the_table_and_always_known() -> None:
    plan = reorder_plan(poisson_forecast(2.0), None, SETTINGS, "daily")
    assert plan.schema == pl.Schema(PLAN_COLUMNS)
    assert sum(plan.null_count().row(0)) == 0
