"""Orders against simulated demand: a level that each series' days share, and noise of each day."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy.stats import gamma, nbinom, norm, poisson

from demand_forecast.domain.models.distribution import count_quantiles
from demand_forecast.domain.models.proof import CORRELATION
from demand_forecast.domain.models.spread import KINDS
from demand_forecast.domain.replenishment.policy import (
    PLAN,
    PLAN_KEY,
    STOCK_OUT,
    error_correlation,
    reorder_plan,
    stock_out_risk,
)
from demand_forecast.domain.tables import QUANTILE_COLUMNS, QUANTILE_LEVELS, schema_of
from demand_forecast.settings import Replenishment

ORIGIN = date(2025, 3, 2)
HORIZON = 14
SETTINGS = Replenishment()
PROTECTION = SETTINGS.lead_time + SETTINGS.review_period
WEEK = np.array([0.8, 0.8, 0.9, 1.0, 1.2, 1.4, 0.9] * 2)  # a shop's week, twice


def forecast(
    mean: np.ndarray,
    variance: np.ndarray,
    product: str = "p",
    step: int = 1,
    quantiles: np.ndarray | None = None,
    correlation: float = CORRELATION,
) -> pl.DataFrame:
    """`demand_forecast` of one series: `mean` and `variance` are (horizon,), `quantiles` (horizon, 9), by default those
    of counts."""
    quantiles = count_quantiles(mean, variance) if quantiles is None else quantiles
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
            "variance": variance.astype(np.float32),
            "correlation": np.full(len(mean), correlation, np.float32),
        }
    )


def poisson_forecast(daily: float, product: str = "p", horizon: int = HORIZON, step: int = 1) -> pl.DataFrame:
    mean = np.full(horizon, daily)
    return forecast(mean, mean, product, step)


def plan_row(plan: pl.DataFrame, product: str = "p") -> dict[str, Any]:
    return plan.row(by_predicate=pl.col("product_id") == product, named=True)


def stock_report(days_ago: int, on_hand: float | None, product: str = "p") -> pl.DataFrame:
    row = {"date": ORIGIN - timedelta(days=days_ago), "store_id": "s", "product_id": product, "on_hand": on_hand}
    return pl.DataFrame([row], schema_overrides={"on_hand": pl.Float32})


Quantiles = Callable[[np.ndarray], np.ndarray]


def _alike(quantiles: Quantiles, correlation: float, draws: int = 30_000, days: int = PROTECTION) -> np.ndarray:
    """Demand of the days of a protection period, (draws, days), any two of them alike: a Gaussian copula."""
    rng = np.random.default_rng(17)
    shared, own = rng.normal(size=(draws, 1)), rng.normal(size=(draws, days))
    chance = norm.cdf(correlation**0.5 * shared + (1 - correlation) ** 0.5 * own)
    return quantiles(np.clip(chance, 1e-12, 1 - 1e-12))


def _counts(mean: np.ndarray, ratio: float) -> Quantiles:
    """Quantiles of the negative binomials with these means and this variance to mean, read from a table of their
    distribution: SciPy's own `ppf` takes twenty times as long."""
    family = nbinom(mean / (ratio - 1), 1 / ratio)
    table = family.cdf(np.arange(int(family.ppf(1 - 1e-12).max()) + 1)[:, None])
    return lambda chance: np.column_stack([np.searchsorted(*day) for day in zip(table.T, chance.T, strict=True)])


def _between(days: np.ndarray) -> float:
    """The mean correlation between two days (columns)."""
    found = np.corrcoef(days, rowvar=False)
    return float(found[~np.eye(len(found), dtype=bool)].mean())


@pytest.mark.parametrize("daily", [0.3, 2.0, 15.0, 80.0])
@pytest.mark.parametrize("ratio", [1.5, 3.0])
@pytest.mark.parametrize("service_level", [0.8, 0.95])
@pytest.mark.parametrize("correlation", [0.0, 0.3])
def test_target_stock_keeps_the_service_level_in_simulation(
    daily: float, ratio: float, service_level: float, correlation: float
) -> None:
    mean = daily * WEEK
    settings = Replenishment(service_level=service_level)
    row = plan_row(reorder_plan(forecast(mean, ratio * mean, correlation=correlation), None, settings, "daily"))
    demand = _alike(_counts(mean[:PROTECTION], ratio), correlation).sum(axis=1)
    spare = (demand == row["target_stock"]).mean()
    assert service_level - 0.03 <= (demand <= row["target_stock"]).mean() <= service_level + 0.03 + spare
    assert row["service_level"] == pytest.approx((demand <= row["target_stock"]).mean(), abs=0.03)
    assert row["expected_demand"] == pytest.approx(mean[:PROTECTION].sum(), rel=1e-5)
    assert row["target_stock"] == round(row["target_stock"])


@pytest.mark.parametrize("variation", [0.2, 0.6])
def test_goods_sold_by_weight_follow_a_gamma(variation: float) -> None:
    shape, mean = variation**-2, np.full(HORIZON, 3.7)
    quantiles = np.tile(gamma.ppf(QUANTILE_LEVELS, shape, scale=3.7 / shape), (HORIZON, 1))
    weighed = forecast(mean, (variation * mean) ** 2, quantiles=quantiles)
    row = plan_row(reorder_plan(weighed, None, SETTINGS, "daily"))
    demand = _alike(gamma(np.full(PROTECTION, shape), scale=3.7 / shape).ppf, CORRELATION).sum(axis=1)
    assert row["target_stock"] == pytest.approx(np.quantile(demand, 0.95), rel=0.03)
    assert row["order_quantity"] == np.ceil(row["target_stock"])


@pytest.mark.parametrize("daily", [0.05, 0.7, 6.0])
def test_independent_poisson_days_add_up_to_a_poisson(daily: float) -> None:
    mean = daily * WEEK
    demand = forecast(mean, mean, correlation=0.0)
    row = plan_row(reorder_plan(demand, None, SETTINGS, "daily"))
    assert row["target_stock"] == pytest.approx(poisson.ppf(0.95, mean[:PROTECTION].sum()), abs=1)


def backtest(
    correlation: float, daily: float, series: int = 400, model: str = "ours", kind: str = "smooth"
) -> pl.DataFrame:
    """What a perfect forecast of each day would have left, where days are alike."""
    mean = daily * WEEK
    sold = _alike(_counts(mean[:PROTECTION], 2.0), correlation, series)
    return pl.concat(
        forecast(mean, 2 * mean, f"p{number}")
        .head(PROTECTION)
        .with_columns(
            units=pl.Series(sold[number], dtype=pl.Float32),
            exposure=pl.lit(1.0),
            kind=pl.lit(kind),
            model=pl.lit(model),
        )
        for number in range(series)
    )


def learned(rows: pl.DataFrame, kind: str = "smooth") -> float:
    found = error_correlation(rows, "ours", SETTINGS, "daily")
    assert found is not None
    return found[KINDS.index(kind)]


def test_kinds_of_demand_have_their_own_correlation_and_one_that_is_rare_that_of_all() -> None:
    rows = pl.concat(
        [
            backtest(0.4, 5.0),
            backtest(0.0, 5.0, kind="lumpy").with_columns(product_id="q" + pl.col("product_id")),
            backtest(0.0, 5.0, 2, kind="erratic").with_columns(product_id="r" + pl.col("product_id")),
        ]
    )
    assert learned(rows) > 0.25
    assert learned(rows, "lumpy") < 0.1
    assert learned(rows, "erratic") == pytest.approx(learned(rows, "intermittent"), abs=0.02)
    assert 0.1 < learned(rows, "intermittent") < 0.25


def test_orders_of_one_plan_count_the_correlation_of_each_series() -> None:
    mean = 5.0 * WEEK
    plan = reorder_plan(
        pl.concat(
            [forecast(mean, 2 * mean, "apart", correlation=0.0), forecast(mean, 2 * mean, "alike", correlation=0.4)]
        ),
        None,
        SETTINGS,
        "daily",
    )
    for product, correlation in (("apart", 0.0), ("alike", 0.4)):
        alone = reorder_plan(forecast(mean, 2 * mean, product, correlation=correlation), None, SETTINGS, "daily")
        assert plan_row(plan, product) == plan_row(alone, product)
    assert plan_row(plan, "alike")["target_stock"] > plan_row(plan, "apart")["target_stock"]


@pytest.mark.parametrize("daily", [0.5, 20.0])
@pytest.mark.parametrize("correlation", [0.0, 0.1, 0.4])
def test_the_correlation_of_errors_is_found_in_the_backtest(daily: float, correlation: float) -> None:
    ours = backtest(correlation, daily)
    alike = _between(ours["units"].to_numpy().reshape(-1, PROTECTION))
    rows = pl.concat([ours, backtest(0.9, daily, 20, "other")])
    assert learned(rows) == pytest.approx(alike, abs=0.09)  # the tail of 400 sums


def test_what_the_backtest_taught_keeps_the_promise_and_orders_more() -> None:
    """With days much alike a plan that takes them as independent promises too much."""
    rows = backtest(0.4, 5.0)
    sold = rows.group_by("product_id").agg(pl.col("units").sum())["units"]
    independent, honest = (
        plan_row(reorder_plan(rows.with_columns(correlation=pl.lit(rho)), None, SETTINGS, "daily"), "p0")
        for rho in (0.0, learned(rows))
    )
    assert (sold <= independent["target_stock"]).mean() < 0.9
    assert (sold <= honest["target_stock"]).mean() == pytest.approx(0.95, abs=0.02)


def test_beside_slow_sellers_the_least_correlation_that_will_do_is_found_and_not_the_largest() -> None:
    """At 0.8 a slow seller whose days are taken as all alike keeps less: its distribution is mass at zero, and a
    tail.
    """
    rows = pl.concat(
        [backtest(0.1, 5.0, 100), backtest(0.1, 0.05, 500).with_columns(product_id="q" + pl.col("product_id"))]
    )
    assert learned(rows) < 0.3


@pytest.mark.parametrize("rows", [backtest(0.1, 2.0, 2, "other"), backtest(0.1, 2.0, 2).head(1)])
def test_a_backtest_may_not_tell(rows: pl.DataFrame) -> None:
    assert error_correlation(rows, "ours", SETTINGS, "daily") is None


def test_quantiles_of_days_are_not_added_up() -> None:
    mean = 2.0 * WEEK
    row = plan_row(reorder_plan(forecast(mean, mean), None, SETTINGS, "daily"))
    assert row["target_stock"] < 0.7 * poisson.ppf(0.95, mean[:PROTECTION]).sum()
    medians = plan_row(reorder_plan(poisson_forecast(0.05), None, SETTINGS, "daily"))
    assert medians["target_stock"] > 0


def test_a_lumpy_slow_seller_keeps_what_its_plan_says() -> None:
    """One order in ten days, ten units each: the nine quantiles of a day are zeros but for the last."""
    mean, variance = np.full(HORIZON, 1.0), np.full(HORIZON, 19.0)
    row = plan_row(reorder_plan(forecast(mean, variance, correlation=0.0), None, SETTINGS, "daily"))
    demand = _alike(_counts(mean[:PROTECTION], 19.0), 0.0).sum(axis=1)
    assert row["service_level"] == pytest.approx((demand <= row["target_stock"]).mean(), abs=0.01)


@pytest.mark.parametrize("share", [0.2, *(pytest.param(one, marks=pytest.mark.slow) for one in (0.05, 0.1, 0.4))])
def test_days_out_of_stock_hide_nothing_of_how_alike_errors_are(share: float) -> None:
    """Half of them wholly, half of them partly out: what is sold is thinned."""
    rng = np.random.default_rng(1)
    full = backtest(0.33, 5.0, 1_500)
    out = rng.random(len(full)) < share
    exposure = np.where(out, np.where(rng.random(len(full)) < 0.5, 0.0, rng.uniform(0.2, 0.9, len(full))), 1.0)
    sold = rng.binomial(full["units"].to_numpy().astype(int), exposure)
    censored = full.with_columns(units=pl.Series(sold, dtype=pl.Float32), exposure=pl.Series(exposure))
    whole, cut = learned(full), learned(censored)
    assert cut == pytest.approx(whole, abs=0.05)


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
    assert plan.schema == pl.Schema(schema_of(PLAN))
    assert sum(plan.null_count().row(0)) == 0


def risk_row(demand: pl.DataFrame, stock: pl.DataFrame | None, settings: Replenishment, **given: Any) -> dict[str, Any]:
    plan = reorder_plan(demand, stock, settings, given.get("frequency", "daily"))
    risk = stock_out_risk(demand, plan, settings, given.pop("frequency", "daily"), **given)
    assert risk.columns == [*PLAN_KEY, *schema_of(STOCK_OUT)]
    assert risk.drop(PLAN_KEY).schema == pl.Schema(schema_of(STOCK_OUT))
    return plan_row(risk)


@pytest.mark.parametrize("daily", [0.3, 4.0])
@pytest.mark.parametrize("days_of_stock", [0, 3, 4])
def test_the_risk_to_run_out_is_that_of_the_lead_time_in_simulation(daily: float, days_of_stock: int) -> None:
    mean, stock = daily * WEEK, round(daily * days_of_stock)
    days = _alike(_counts(mean[: SETTINGS.lead_time], 2.0), 0.3, draws=5_000, days=SETTINGS.lead_time)
    row = risk_row(forecast(mean, 2 * mean, correlation=_between(days)), stock_report(0, stock), SETTINGS)
    assert row["stock_out_risk"] == pytest.approx((days.sum(axis=1) > stock).mean(), abs=0.03)


def test_the_risk_is_that_of_each_products_own_policy_and_counts_what_is_on_order() -> None:
    products = pl.DataFrame({"product_id": ["p"], "lead_time": ["9"], "service_level": ["never"]})
    stock, demand = stock_report(0, 8), poisson_forecast(2.0)
    own = risk_row(demand, stock, SETTINGS, overrides=products)
    asked = own["lead_time"], own["review_period"], own["service_level_asked"]
    assert asked == pytest.approx((9, SETTINGS.review_period, SETTINGS.service_level))
    assert own["stock_out_risk"] == pytest.approx(poisson.sf(8, 18), abs=0.05)
    usual, ordered = (risk_row(demand, one, SETTINGS) for one in (stock, stock.with_columns(on_order=pl.lit(12.0))))
    assert usual["stock_out_risk"] == pytest.approx(poisson.sf(8, 6), abs=0.05)
    assert ordered["stock_out_risk"] < 0.001


@pytest.mark.parametrize(("reported", "lead_time", "risk"), [(None, 3, None), (0, 0, 0.0), (0, 3, 1.0)])
def test_the_risk_where_nothing_is_known_awaited_or_left(reported: float | None, lead_time: int, risk: Any) -> None:
    mean = np.full(HORIZON, 50.5)
    quantiles = np.tile(gamma.ppf(QUANTILE_LEVELS, 25, scale=2.02), (HORIZON, 1))
    weighed = forecast(mean, mean**2 / 25, quantiles=quantiles)
    row = risk_row(weighed, stock_report(0, reported), Replenishment(lead_time=lead_time))
    assert row["stock_out_risk"] == risk


def test_weeks_are_awaited_in_part() -> None:
    mean = np.full(HORIZON, 14.0)
    weeks = forecast(mean, mean, step=7, correlation=0.0)
    row = risk_row(weeks, stock_report(0, 6), SETTINGS, frequency="weekly")
    assert row["stock_out_risk"] == pytest.approx(poisson.sf(6, 6), abs=0.01)


def test_a_plan_of_another_forecast_is_refused() -> None:
    plan = reorder_plan(poisson_forecast(2.0), None, SETTINGS, "daily")
    later = poisson_forecast(2.0).with_columns(pl.col("date", "forecast_origin").dt.offset_by("1d"))
    with pytest.raises(ValueError, match="make reorder_plan again"):
        stock_out_risk(later, plan, SETTINGS, "daily")
