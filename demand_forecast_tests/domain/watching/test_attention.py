"""Every series' overview beside a loop in plain Python, and attention for those that changed and no others."""

from datetime import date, timedelta
from statistics import fmean, median, variance
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from demand_forecast.domain.demand.calendar import Frequency, calendar_of
from demand_forecast.domain.tables import SERIES, schema_of
from demand_forecast.domain.watching.attention import ERROR_RATIO, OVERVIEW, REASONS, WEEKS, first_day
from demand_forecast_tests.domain.planned_shop import DAYS, ORIGIN, SETTINGS, Shop, poisson

RECENT = slice(-7 * WEEKS, None)


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
    """The median WAPE of the tenth of the series that are nearest in rank of level, half on each side."""
    known = sorted((row["level"], row["product_id"], row["wape"]) for row in overview.drop_nulls("wape").to_dicts())
    place = [own for _, own, _ in known].index(product)
    near = len(known) // 10
    return median(wape for _, _, wape in known[place - near // 2 :][:near])


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
    assert overview.drop(SERIES).schema == pl.Schema(schema_of(OVERVIEW))
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
    assert overview.columns == [*SERIES, "department", "region", *schema_of(OVERVIEW)]
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
    assert all(column.meaning for column in OVERVIEW)
