"""Every series' overview beside a loop in plain Python, and attention for those that changed and no others."""

from collections.abc import Sequence
from datetime import date, timedelta
from statistics import fmean, median, variance
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from demand_forecast.domain.attention import (
    ERROR_RATIO,
    OVERVIEW,
    OVERVIEW_MEANING,
    REASONS,
    WEEKS,
    WEEKS_BEFORE,
    first_day,
    recent_days,
    series_overview,
)
from demand_forecast.domain.calendar import Frequency, calendar_of
from demand_forecast.domain.live_accuracy import newest_published
from demand_forecast.domain.quantiles import count_quantiles
from demand_forecast.domain.replenishment import reorder_plan
from demand_forecast.domain.tables import QUANTILE_COLUMNS, SERIES
from demand_forecast.settings import Replenishment

ORIGIN = date(2026, 10, 4)
DAYS = 7 * (WEEKS + WEEKS_BEFORE)
RECENT = slice(-7 * WEEKS, None)
SETTINGS = Replenishment()


class Shop:
    """Products p000, p001 … of one shop: what each sold on the days until ORIGIN, and what is expected of it a day."""

    def __init__(self, units: np.ndarray, expected: Sequence[float], frequency: Frequency = "daily") -> None:
        self.frequency, self.step = frequency, calendar_of(frequency).step
        self.origin = ORIGIN if self.step == 1 else ORIGIN - timedelta(days=6)
        self.ids = [f"p{number:03}" for number in range(len(expected))]
        periods = units.shape[1]
        days = [self.origin - timedelta(days=self.step * back) for back in reversed(range(periods))]
        self.demand = self._rows(days, len(units)).with_columns(
            units=pl.Series(units.ravel(), dtype=pl.Float32), in_stock=pl.lit(1.0), open=pl.lit(True)
        )
        self.forecast = self._forecast(np.asarray(expected))
        self.stock: pl.DataFrame | None = None
        self.published = self.forecasts_of_the_day_before(pl.col("units")).clear()

    def _rows(self, days: list[date], products: int) -> pl.DataFrame:
        ids = pl.DataFrame({"store_id": "s", "product_id": self.ids[:products]})
        return ids.join(pl.DataFrame({"date": days}, schema={"date": pl.Date}), how="cross")

    def _forecast(self, expected: np.ndarray, horizon: int = 14) -> pl.DataFrame:
        days = [self.origin + timedelta(days=self.step * (ahead + 1)) for ahead in range(horizon)]
        mean = np.repeat(expected, horizon)
        quantiles = count_quantiles(mean, mean).astype(np.float32)
        return self._rows(days, len(expected)).with_columns(
            pl.lit(self.origin).alias("forecast_origin"),
            pl.Series("horizon", np.tile(np.arange(1, horizon + 1, dtype=np.int32), len(expected))),
            pl.Series("mean", mean.astype(np.float32)),
            *(pl.Series(name, quantiles[:, number]) for number, name in enumerate(QUANTILE_COLUMNS)),
        )

    def forecasts_of_the_day_before(self, mean: pl.Expr) -> pl.DataFrame:
        """What was published of every day in `demand`."""
        made = {"forecast_origin": pl.col("date") - pl.duration(days=self.step), "role": pl.lit("champion")}
        return self.demand.select(*SERIES, "date", mean=mean, **made)

    def overview(self, products: pl.DataFrame | None = None, stores: pl.DataFrame | None = None) -> pl.DataFrame:
        products = pl.DataFrame({"product_id": self.ids}) if products is None else products
        stores = pl.DataFrame({"store_id": ["s"]}) if stores is None else stores
        plan = reorder_plan(self.forecast, self.stock, SETTINGS, self.frequency, products)
        newest = newest_published(self.published.lazy(), recent_days(self.origin))
        return series_overview(self.forecast, plan, self.demand, newest, products, stores, SETTINGS, self.frequency)


def poisson(levels: Sequence[float], days: int = DAYS, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).poisson(np.asarray(levels)[:, None], (len(levels), days)).astype(float)


def raised(overview: pl.DataFrame, reason: str) -> list[str]:
    return overview.filter(pl.col("reasons").list.contains(reason))["product_id"].to_list()


def drift_of(rows: list[dict[str, Any]], origin: date) -> dict[str, float | None]:
    """Level, level before, ratio and z of one series, week by week."""
    weeks: dict[int, list[float]] = {}
    for row in rows:
        if row["open"] and row["in_stock"] >= 0.5 and row["date"] >= first_day(origin):
            weeks.setdefault((origin - row["date"]).days // 7, []).append(row["units"])
    last, before = ([units for week, units in weeks.items() if (week < WEEKS) is now] for now in (True, False))
    n, n_before = sum(map(len, last)), sum(map(len, before))
    level, level_before = sum(map(sum, last)) / n, sum(map(sum, before)) / n_before
    of_weeks = variance(map(fmean, before)) * (1 / len(last) + 1 / len(before))
    counted = (level * n + level_before * n_before) / (n + n_before) * (1 / n + 1 / n_before)
    z = (level - level_before) / max(of_weeks, counted) ** 0.5
    return {"level": level, "level_before": level_before, "drift_ratio": level / level_before, "drift_z": z}


@pytest.mark.parametrize("frequency", ["daily", "weekly"])
def test_levels_and_drift_are_those_of_a_loop_over_the_days_that_count(frequency: Frequency) -> None:
    rng = np.random.default_rng(1)
    units = rng.negative_binomial(1, 0.1, (6, 260)) * rng.uniform(0.1, 3, (6, 1)).round(1)
    shop = Shop(units, [2.0] * 6, frequency)
    rows = len(shop.demand)
    shop.demand = shop.demand.with_columns(
        in_stock=pl.Series(rng.choice([0.4, 0.5, 1.0], rows, p=[0.1, 0.1, 0.8])), open=pl.Series(rng.random(rows) > 0.1)
    ).sample(fraction=1, shuffle=True, seed=4)
    for row in shop.overview().iter_rows(named=True):
        own = shop.demand.filter(pl.col("product_id") == row["product_id"]).to_dicts()
        expected = drift_of(own, shop.origin)
        assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-5)


def test_of_a_thousand_series_that_stay_as_they_are_hardly_one_drifts_and_those_that_change_do() -> None:
    levels = np.geomspace(0.05, 40, 1000)
    units = poisson(levels)
    assert len(raised(Shop(units, levels).overview(), "drift")) <= 1
    units[600, RECENT], units[700, RECENT], units[800, RECENT] = 3 * units[600, RECENT], 0, units[800, RECENT] // 3
    units[900, : RECENT.start] = 0
    changed = Shop(units, levels).overview()
    assert raised(changed, "drift") == ["p600", "p700", "p800", "p900"]
    words = changed[[600, 700, 800, 900]]["attention"].list.first().to_list()
    assert words[0] == f"sells {changed['drift_ratio'][600]:.1f} times what the 26 weeks before let expect"
    assert (words[1], words[3]) == ("has not sold for 4 weeks", "sells again after 26 weeks without a sale")
    assert "% of what the 26 weeks before let expect" in words[2]


def test_what_all_series_do_is_no_drift_but_to_stay_behind_is() -> None:
    units = poisson([20.0] * 40)
    units[:, RECENT] *= 2
    units[7, RECENT] /= 2
    overview = Shop(units, [20.0] * 40).overview()
    assert raised(overview, "drift") == ["p007"]
    assert overview["drift_ratio"][7] == pytest.approx(0.5, abs=0.05)


def test_an_error_is_large_beside_series_that_sell_as_much() -> None:
    """Slow sellers err by more of what they sell, which is usual; and one sale of theirs more or less says nothing."""
    levels = np.geomspace(0.05, 20, 400)
    expected = levels.copy()
    expected[350] *= 3
    shop = Shop(poisson(levels), levels)
    shop.published = shop.forecasts_of_the_day_before(pl.lit(pl.Series(expected.repeat(DAYS))))
    overview = shop.overview()
    assert overview["wape"][:50].median() > overview["wape"][350]  # type: ignore[operator]
    assert overview["error_ratio"][:100].max() > ERROR_RATIO  # type: ignore[operator]
    assert raised(overview, "error") == ["p350"]
    assert overview["error_ratio"][350] == pytest.approx(
        overview["wape"][350] / usual_error(overview, "p350"), rel=1e-5
    )
    assert overview["bias"][350] == pytest.approx(2, abs=0.5)
    shop.published = shop.published.filter(pl.col("date") > ORIGIN - timedelta(days=9))
    assert raised(shop.overview(), "error") == [], "nine days are too few"


def usual_error(overview: pl.DataFrame, product: str) -> float:
    """The median WAPE of the product's cohort: of the known ones by level, cut into as many as hold 50 or more."""
    known = sorted(
        (level, own, wape)
        for own, level, wape in overview.select("product_id", "level", "wape").drop_nulls().iter_rows()
    )
    cohorts = len(known) // 50
    cohort = {own: place * cohorts // len(known) for place, (_, own, _) in enumerate(known)}
    return median(wape for _, own, wape in known if cohort[own] == cohort[product])


def test_urgency_adds_up_what_is_at_stake() -> None:
    units = poisson([10.0] * 5)
    units[1, RECENT] = 30
    shop = Shop(units, [10.0] * 5)
    shop.stock = shop.forecast.filter(horizon=1).select(
        *SERIES, date=pl.lit(ORIGIN), on_hand=pl.Series([0.0, 24.0, 24.0, 200.0, None])
    )
    overview = shop.overview()
    assert overview["reasons"].to_list() == [["stock_out"], ["stock_out", "drift"], ["stock_out"], [], []]
    risk = overview["stock_out_risk"].to_list()
    assert (risk[0], risk[4]) == (1, None)
    assert overview["attention"][0].to_list() == ["is out of stock until an order arrives"]
    assert overview["attention"][1].to_list()[0] == f"may run out before an order arrives: {100 * risk[1]:.0f}%"
    drift = 30 - overview["level_before"][1]
    assert overview["urgency"].to_list() == pytest.approx([10, 10 * risk[1] + drift, 10 * risk[2], 0, 0])
    assert overview["expected_total"].to_list() == pytest.approx([140] * 5)


@pytest.mark.parametrize("frequency", ["daily", "weekly"])
def test_what_is_not_known_is_null_and_asks_for_no_attention(frequency: Frequency) -> None:
    """No stock, nothing published yet, one series that is only announced and one that began last week."""
    units = poisson([4.0] * 3, DAYS // calendar_of(frequency).step)
    shop = Shop(units[:2], [4.0] * 3, frequency)
    young = (pl.col("product_id") == "p001") & (pl.col("date") < shop.origin - timedelta(days=7))
    shop.demand = shop.demand.filter(~young)
    overview = shop.overview()
    assert overview.select(*OVERVIEW).schema == pl.Schema(OVERVIEW)
    assert overview["product_id"].to_list() == shop.ids
    assert overview["level"].is_null().to_list() == [False, False, True]
    assert overview["drift_z"].is_null().to_list() == [False, True, True]
    assert overview.select("stock_out_risk", "pairs", "wape", "error_ratio").null_count().row(0) == (3,) * 4
    assert overview["attention"].to_list() == [[]] * 3
    assert overview["urgency"].to_list() == [0] * 3


def test_text_attributes_are_shown_and_the_policies_of_products_apply() -> None:
    shop = Shop(poisson([4.0] * 2), [4.0] * 2)
    products = pl.DataFrame(
        {"product_id": ["p001"], "department": "dairy", "size": 1.5, "lead_time": "8", "level": "x"}
    )
    stores = pl.DataFrame({"store_id": ["s"], "region": "north"})
    overview = shop.overview(products, stores)
    assert overview.columns == [*SERIES, "department", "region", *OVERVIEW]
    assert overview.select("department", "region").rows() == [(None, "north"), ("dairy", "north")]
    assert overview["lead_time"].to_list() == [SETTINGS.lead_time, 8]
    assert overview["level"].dtype == pl.Float32


def test_order_of_rows_changes_nothing() -> None:
    levels = np.geomspace(0.5, 9, 120)
    shop = Shop(poisson(levels), levels)
    shop.published = shop.forecasts_of_the_day_before(pl.col("units") + 1)
    overview = shop.overview()
    for name in ("demand", "forecast", "published"):
        setattr(shop, name, getattr(shop, name).sample(fraction=1, shuffle=True, seed=2))
    assert_frame_equal(shop.overview(), overview)


def test_every_reason_is_of_its_own_name_and_every_column_is_explained() -> None:
    assert len({reason.name for reason in REASONS}) == len(REASONS)
    assert OVERVIEW_MEANING.keys() <= OVERVIEW.keys()
