"""Published forecasts against actuals: every sum and ratio beside a loop in plain Python."""

from collections import defaultdict
from datetime import date, timedelta
from itertools import product
from math import sqrt
from typing import Any

import numpy as np
import polars as pl
import pytest

from demand_forecast.domain.demand.hierarchy import SERIES_LEVEL, TOTAL, Level
from demand_forecast.domain.tables import QUANTILE_COLUMNS, QUANTILE_LEVELS
from demand_forecast.domain.watching.live_accuracy import (
    SCORES,
    Window,
    accuracy_over,
    actuals_by_day,
    first_day_to_score,
    in_windows,
    newest_published,
    of_frequency,
    score_published,
    series_accuracy,
    series_scores,
    windows_until,
)

FIRST = date(2026, 3, 2)
SERIES = [(store, sku) for store in ("north", "south") for sku in ("apple", "bread", "new")]
STORES = pl.DataFrame({"store_id": ["north", "south"], "region": ["up", "down"]})
PRODUCTS = pl.DataFrame({"product_id": ["apple", "bread", "new"]})
LEVELS = [TOTAL, Level("region", ("region",)), SERIES_LEVEL]
CLASSES = pl.DataFrame(
    [
        ("north", "apple", "smooth"),
        ("south", "apple", "lumpy"),
        ("north", "bread", "smooth"),
        ("south", "bread", "lumpy"),
    ],
    schema=["store_id", "product_id", "demand_class"],
    orient="row",
)


def make_demand(days: int, step: int = 1) -> pl.DataFrame:
    """`new` sells first on the fourth day; a closed day, a day without stock, one half in stock, one unknown."""
    rng = np.random.default_rng(5)
    rows: list[dict[str, Any]] = []
    for (store, sku), day in product(SERIES, range(days)):
        if sku == "new" and day < 3:
            continue
        state = {
            ("apple", 4): (1.0, False),
            ("bread", 5): (0.2, True),
            ("apple", 5): (0.5, True),
            ("bread", 6): (None,) * 2,
        }
        in_stock, is_open = state.get((sku, day), (1.0, True))
        rows.append(
            {
                "store_id": store,
                "product_id": sku,
                "date": FIRST + timedelta(days=day * step),
                "units": float(rng.poisson(6)),
                "in_stock": in_stock,
                "open": is_open,
            }
        )
    return pl.DataFrame(rows, schema_overrides={"units": pl.Float32, "in_stock": pl.Float32})


def make_published(
    origins: int, horizon: int, step: int = 1, roles: tuple[str, ...] = ("champion", "baseline")
) -> pl.DataFrame:
    rng = np.random.default_rng(8)
    rows = []
    for (store, sku), origin, ahead, role in product(SERIES, range(origins), range(1, horizon + 1), roles):
        quantiles = np.sort(rng.gamma(4, 1.5, len(QUANTILE_COLUMNS)))
        rows.append(
            {
                "store_id": store,
                "product_id": sku,
                "date": FIRST + timedelta(days=(origin + ahead) * step),
                "forecast_origin": FIRST + timedelta(days=origin * step),
                "horizon": ahead,
                "mean": rng.gamma(4, 1.5),
                **dict(zip(QUANTILE_COLUMNS, quantiles, strict=True)),
                "model": {"baseline": "seasonal_naive"}.get(role, "lightgbm"),
                "model_version": {"champion": "2", "previous": "1", "baseline": "", "challenger": "3"}[role],
                "role": role,
            }
        )
    return pl.DataFrame(rows).cast(
        {"horizon": pl.Int32, "mean": pl.Float32, pl.selectors.matches("^q[0-9]"): pl.Float32}
    )


def counting(published: pl.DataFrame, demand: pl.DataFrame) -> list[dict[str, Any]]:
    """The pairs that count, one by one."""
    actual = {(row["store_id"], row["product_id"], row["date"]): row for row in demand.to_dicts()}
    first = {key[:2]: min(day for *series, day in actual if tuple(series) == key[:2]) for key in actual}
    pairs = []
    for row in published.to_dicts():
        sold = actual.get((row["store_id"], row["product_id"], row["date"]))
        if sold is None or sold["open"] is False or sold["in_stock"] is None:
            continue
        if row["forecast_origin"] >= first[row["store_id"], row["product_id"]]:
            could = {name: row[name] * sold["in_stock"] for name in ("mean", *QUANTILE_COLUMNS)}
            pairs.append(row | could | {"units": sold["units"]})
    return pairs


def oracle(published: pl.DataFrame, demand: pl.DataFrame) -> dict[tuple[Any, ...], dict[str, float]]:
    region = dict(STORES.iter_rows())
    classes = {(store, sku): name for store, sku, name in CLASSES.iter_rows()}
    nodes: dict[tuple[Any, ...], dict[Any, list[float]]] = defaultdict(lambda: defaultdict(lambda: [0.0, 0.0, 0.0]))
    for row in counting(published, demand):
        series = (row["store_id"], row["product_id"])
        loss = 0.0
        for name, level in zip(QUANTILE_COLUMNS, QUANTILE_LEVELS, strict=True):
            short = row["units"] - row[name]
            loss += 2 * max(level * short, (level - 1) * short) / len(QUANTILE_COLUMNS)
        places = {("total", "all"): "all", ("region", "all"): region[row["store_id"]]}
        places |= {("series", "all"): series, ("series", classes.get(series, "new")): series}
        for place, node in places.items():
            sums = nodes[row["date"], row["forecast_origin"], row["role"], *place][node]
            for i, value in enumerate((row["units"], row["mean"], loss)):
                sums[i] += value
    return {key: summed(list(cells.values())) for key, cells in nodes.items()}


def summed(cells: list[list[float]]) -> dict[str, float]:
    errors = [forecast - units for units, forecast, _ in cells]
    return {
        "pairs": len(cells),
        "units": sum(cell[0] for cell in cells),
        "forecast": sum(cell[1] for cell in cells),
        "error": sum(errors),
        "absolute_error": sum(map(abs, errors)),
        "squared_error": sum(error**2 for error in errors),
        "quantile_loss": sum(cell[2] for cell in cells),
    }


@pytest.fixture(scope="module", params=[1, 7], ids=["daily", "weekly"])
def world(request: pytest.FixtureRequest) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    demand = make_demand(10, request.param)
    published = make_published(8, 4, request.param, ("champion", "previous", "baseline"))
    return demand, published, score_published(published, demand, LEVELS, PRODUCTS, STORES, CLASSES)


def test_every_sum_is_the_one_of_the_loop(world: tuple[pl.DataFrame, ...]) -> None:
    demand, published, scores = world
    expected = oracle(published, demand)
    assert dict(scores.schema) == SCORES
    assert len(scores) == len(expected)
    for row in scores.iter_rows(named=True):
        sums = expected[row["date"], row["forecast_origin"], row["role"], row["level"], row["demand_class"]]
        if row["level"] != "series":
            assert row["quantile_loss"] is None
            sums = sums | {"quantile_loss": None}
        assert {name: row[name] for name in sums} == pytest.approx(sums), row


def test_days_that_have_not_come_are_not_scored(world: tuple[pl.DataFrame, ...]) -> None:
    demand, published, scores = world
    assert scores["date"].max() == demand["date"].max() < published["date"].max()


def test_metrics_are_ratios_of_sums_over_any_window(world: tuple[pl.DataFrame, ...]) -> None:
    demand, published, scores = world
    (row,) = accuracy_over(series_scores(scores).filter(role="champion")).to_dicts()
    pairs = [pair for pair in counting(published, demand) if pair["role"] == "champion"]
    sums = summed([[pair["units"], pair["mean"], 0.0] for pair in pairs])
    assert row["pairs"] == len(pairs)
    assert row["wape"] == pytest.approx(sums["absolute_error"] / sums["units"])
    assert row["bias"] == pytest.approx(sums["error"] / sums["units"])
    assert row["rmse"] == pytest.approx(sqrt(sums["squared_error"] / len(pairs)))
    assert row["fva_wape"] is None


def test_value_added_is_over_the_pairs_that_both_have(world: tuple[pl.DataFrame, ...]) -> None:
    _, _, scores = world
    newest = scores["forecast_origin"].max()
    partly = series_scores(scores).filter((pl.col("role") != "previous") | (pl.col("forecast_origin") < newest))
    shared = {row["role"]: row for row in accuracy_over(partly.filter(pl.col("forecast_origin") < newest)).to_dicts()}
    found = {row["role"]: row for row in accuracy_over(partly).to_dicts()}
    for metric in ("wape", "wql"):
        against = 1 - shared["champion"][metric] / shared["previous"][metric]
        assert found["champion"][f"fva_{metric}_previous"] == pytest.approx(against)
        naive = 1 - found["champion"][metric] / found["baseline"][metric]
        assert found["champion"][f"fva_{metric}"] == pytest.approx(naive)
    assert found["champion"]["wql"] != pytest.approx(shared["champion"]["wql"])


def test_an_origin_published_twice_is_not_counted_twice(world: tuple[pl.DataFrame, ...]) -> None:
    scores = series_scores(world[2])
    twice = scores.filter(role="previous").with_columns(model_version=pl.lit("0"), quantile_loss=pl.lit(1e9))
    fva = [accuracy_over(frame).filter(role="champion")["fva_wql_previous"] for frame in (scores, scores.vstack(twice))]
    assert fva[0].item() == pytest.approx(fva[1].item())


def test_levels_and_classes_are_never_added_up(world: tuple[pl.DataFrame, ...]) -> None:
    _, _, scores = world
    found = accuracy_over(scores, ["horizon"])
    assert found.select("role", "level", "demand_class", "horizon").is_unique().all()
    assert found.filter(pl.col("level") != "series")["wql"].null_count() == len(
        found.filter(pl.col("level") != "series")
    )


def test_windows_end_at_the_newest_day_and_gaps_stay_gaps() -> None:
    newest = date(2026, 3, 31)
    assert windows_until(newest, 7, 2) == [
        Window(date(2026, 3, 18), date(2026, 3, 24)),
        Window(date(2026, 3, 25), newest),
    ]
    days = pl.DataFrame({"date": [date(2026, 3, 17), date(2026, 3, 18), date(2026, 3, 25), newest]})
    assert in_windows(days, newest, 7)["window"].to_list() == [date(2026, 3, 17), date(2026, 3, 24), newest, newest]


def test_only_days_whose_actuals_changed_are_scored_again() -> None:
    week = make_demand(7)
    demand = week.filter(pl.col("date") < FIRST + timedelta(days=6))
    before = actuals_by_day(demand)
    assert first_day_to_score(before, actuals_by_day(demand.reverse())) is None
    assert first_day_to_score({}, before) == FIRST
    assert first_day_to_score(before, actuals_by_day(week)) == FIRST + timedelta(days=6)
    corrected = demand.with_columns(
        units=pl.when(pl.col("date") == FIRST + timedelta(days=2)).then(99.0).otherwise("units")
    )
    assert first_day_to_score(before, actuals_by_day(corrected)) == FIRST + timedelta(days=2)
    one_gone = demand.filter(pl.col("date") != FIRST + timedelta(days=4))
    assert first_day_to_score(before, actuals_by_day(one_gone)) == FIRST + timedelta(days=4)
    assert first_day_to_score(before, {}) is None


@pytest.mark.parametrize("step", [1, 7])
def test_each_series_newest_forecasts_against_what_it_sold(step: int) -> None:
    demand, published = make_demand(12, step), make_published(9, 4, step)
    window = Window(FIRST + timedelta(days=4 * step), FIRST + timedelta(days=11 * step))
    newest: dict[Any, dict[str, Any]] = {}
    for row in counting(published, demand):
        if row["role"] == "champion" and row["date"] in newest_days(published, window, row["forecast_origin"]):
            newest[row["store_id"], row["product_id"], row["date"]] = row
    found = series_accuracy(newest_published(published.lazy(), window), demand)
    assert {row[:2] for row in found.iter_rows()} == {key[:2] for key in newest}
    for store, sku, *measured in found.iter_rows():
        rows = [row for key, row in newest.items() if key[:2] == (store, sku)]
        errors = [row["mean"] - row["units"] for row in rows]
        sold, forecast = (sum(row[name] for row in rows) for name in ("units", "mean"))
        assert measured == pytest.approx([len(rows), sold, forecast, sum(map(abs, errors)) / sold, sum(errors) / sold])


def newest_days(published: pl.DataFrame, window: Window, origin: date) -> set[date]:
    """The days of `window` of which no later origin than `origin` says anything."""
    said = {(day, made) for day, made in published.select("date", "forecast_origin").iter_rows()}
    days = {day for day, _ in said if window.first <= day <= window.last}
    return {day for day in days if origin == max(made for other, made in said if other == day)}


def test_an_error_is_no_share_of_nothing() -> None:
    demand = make_demand(9).with_columns(units=pl.lit(0.0))
    found = series_accuracy(newest_published(make_published(3, 4).lazy(), Window(FIRST, FIRST + timedelta(9))), demand)
    assert found["wape"].to_list() == found["bias"].to_list() == [None] * len(found)
    assert found["pairs"].min() > 0  # type: ignore[operator]


def test_a_forecast_of_another_frequency_is_none_of_todays() -> None:
    ahead = [("daily", 1, 1), ("daily", 7, 7), ("weekly", 7, 1), ("weekly", 56, 8)]
    rows = [(name, FIRST, FIRST + timedelta(days=days), horizon) for name, days, horizon in ahead]
    columns = ["frequency", "forecast_origin", "date", "horizon"]
    published = pl.DataFrame(rows, schema=columns, orient="row").cast({"horizon": pl.Int32})
    assert published.filter(of_frequency("daily"))["frequency"].to_list() == ["daily", "daily"]
    assert published.filter(of_frequency("weekly"))["frequency"].to_list() == ["weekly", "weekly"]
