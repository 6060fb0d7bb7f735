"""Two models on the same pairs: figures beside loops in plain Python, error rates by simulation."""

from collections import defaultdict
from datetime import date, timedelta
from math import isnan, sqrt
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import t

from demand_forecast.domain.evaluation.difference import (
    Difference,
    backtest_losses,
    by_series_and_day,
    compare,
    side_by_side,
)
from demand_forecast_tests.domain.evaluation.test_metrics import BACKTEST, ORIGINS

SIGNIFICANCE = 0.05


def simulate(
    rng: np.random.Generator, series: int, days: int, better: float = 0.0, shocks: tuple[float, ...] = (0.1, 0.1, 0.3)
) -> pl.DataFrame:
    """Cells in which a day, a series and chance move the difference between the models (`shocks`, as shares of the
    level), a day's shock the most; the challenger's loss is lower by `better` of the units."""
    level = rng.gamma(2, 5, series)[:, None]
    units = rng.poisson(level, (series, days)).astype(float)
    sizes = (days, (series, 1), (series, days))
    day, own, chance = (rng.normal(0, shock, size) for shock, size in zip(shocks, sizes, strict=True))
    loss = 0.4 * units
    other = loss + level * (day + own + chance) - better * units
    names = np.repeat([f"p{number:03}" for number in range(series)], days)
    dates = [date(2026, 3, 2) + timedelta(days=number) for number in range(days)]
    cells = {"store_id": "s", "product_id": names, "date": dates * series, "pairs": 1, "units": units.ravel()}
    for name in ("quantile_loss", "absolute_error"):
        cells |= {name: loss.ravel(), f"{name}_challenger": other.ravel()}
    return pl.DataFrame(cells)


def oracle(cells: pl.DataFrame) -> tuple[float, float, float, float]:
    """Difference, standard error, p-value and degrees of freedom of WQL, cell by cell."""
    rows = cells.to_dicts()
    units = sum(row["units"] for row in rows)
    gaps = [row["quantile_loss_challenger"] - row["quantile_loss"] for row in rows]
    difference = sum(gaps) / units
    variance, counts = {}, {}
    for by in (("product_id",), ("date",), ("product_id", "date")):
        clusters: dict[Any, float] = defaultdict(float)
        for row, gap in zip(rows, gaps, strict=True):
            clusters[tuple(row[name] for name in by)] += (gap - difference * row["units"]) / units
        counts[by] = len(clusters)
        variance[by] = sum(one**2 for one in clusters.values()) * len(clusters) / (len(clusters) - 1)
    series, day, both = variance.values()
    error = sqrt(max(series + day - both, series, day))
    spread = series**2 / (counts["product_id",] - 1) + day**2 / (counts["date",] - 1)
    free = (series + day) ** 2 / spread
    return difference, error, 2 * t.sf(abs(difference) / error, free), free


def test_the_standard_error_is_clustered_by_series_and_by_day() -> None:
    cells = simulate(np.random.default_rng(4), 7, 20, better=0.05).sample(fraction=0.8, seed=1)
    found = compare(cells, "quantile_loss")
    assert found[2:] == pytest.approx(oracle(cells))
    assert found.challenger - found.champion == pytest.approx(found.difference)


def test_equal_models_are_told_apart_as_seldom_as_promised_and_independent_pairs_would_not_do() -> None:
    rng, runs = np.random.default_rng(1), 150
    clustered, independent = 0, 0
    for _ in range(runs):
        cells = simulate(rng, 40, 28)
        clustered += compare(cells, "quantile_loss").p_value < 0.05
        alone = cells.with_row_index("row").with_columns(pl.col("row").cast(pl.String).alias("product_id"), date="row")
        independent += compare(alone, "quantile_loss").p_value < 0.05
    assert 1 <= clustered <= 18, "5% of 150 is 7.5; these bounds are missed once in a thousand times"
    assert independent > 45


def found_better(series: int, better: float, runs: int = 100) -> int:
    """How many of `runs` backtests of 84 days find the challenger better; series do not differ in what it gains."""
    rng = np.random.default_rng(series)
    cells = (simulate(rng, series, 84, better, shocks=(0.05, 0.0, 0.3)) for _ in range(runs))
    return sum(compare(one, "quantile_loss").p_better < SIGNIFICANCE for one in cells)


@pytest.mark.parametrize("series", [1, 2, 3, 5])
def test_a_few_series_that_agree_are_enough_and_equal_models_stay_equal(series: int) -> None:
    assert found_better(series, 0.0) <= 13, "5 of 100 are expected; these bounds are missed once in a thousand times"
    assert found_better(series, 0.15) >= 90


def test_a_single_series_is_clustered_by_day() -> None:
    cells = simulate(np.random.default_rng(3), 1, 30, better=0.1)
    gaps = (cells["quantile_loss_challenger"] - cells["quantile_loss"]).to_numpy()
    units, difference = cells["units"].to_numpy(), gaps.sum() / cells["units"].sum()
    error = sqrt((((gaps - difference * units) / units.sum()) ** 2).sum() * 30 / 29)
    assert compare(cells, "quantile_loss")[2:] == pytest.approx(
        (difference, error, 2 * t.sf(abs(difference) / error, 29), 29)
    )


def test_a_single_day_tells_nothing_and_no_sale_less() -> None:
    assert compare(simulate(np.random.default_rng(3), 50, 1, better=0.3), "quantile_loss").p_value == 1
    unsold = simulate(np.random.default_rng(3), 5, 20).with_columns(units=pl.lit(0.0))
    assert compare(unsold, "quantile_loss") is None


def test_the_same_forecasts_do_not_differ_and_a_missing_one_proves_nothing() -> None:
    cells = simulate(np.random.default_rng(3), 5, 20, better=0.3)
    same = compare(cells.with_columns(quantile_loss_challenger="quantile_loss"), "quantile_loss")
    assert (same.difference, same.p_value) == (0, 1)
    missing = pl.when(pl.int_range(pl.len()) > 3).then("quantile_loss_challenger").otherwise(float("nan"))
    assert not compare(cells.with_columns(quantile_loss_challenger=missing), "quantile_loss").p_better < SIGNIFICANCE


@pytest.mark.parametrize("difference", [-0.02, 0.02])
def test_one_sided_is_half_of_two_sided_on_the_side_of_the_challenger(difference: float) -> None:
    found = Difference(0.4, 0.4 + difference, difference, 0.01, float(2 * t.sf(2, 30)), 30)
    assert found.p_better == pytest.approx(t.cdf(difference / 0.01, 30))


def test_the_least_improvement_is_the_one_that_just_tests_as_better() -> None:
    found = compare(simulate(np.random.default_rng(4), 40, 84, better=0.01), "quantile_loss")
    least = found.least_improvement(SIGNIFICANCE) * found.champion
    just = 2 * t.sf(least / found.standard_error, found.degrees_of_freedom)
    assert found._replace(difference=-least, p_value=just).p_better == pytest.approx(SIGNIFICANCE)
    assert isnan(found._replace(degrees_of_freedom=0.0).least_improvement(SIGNIFICANCE))


def test_losses_are_of_the_days_that_the_backtest_scores() -> None:
    """Against loops: days without goods do not count, of one partly in stock the forecast for that part does."""
    empty = (pl.col("product_id") == "a") & (pl.col("date") > ORIGINS[1])
    share = pl.when(empty).then(0.0).when(pl.col("product_id") == "b").then(0.5).otherwise("exposure")
    backtest = BACKTEST.with_columns(exposure=share, horizon=1)
    losses = backtest_losses(backtest)
    expected = backtest.filter(~empty)
    assert losses.height == expected.height
    keys = ["model", "store_id", "product_id", "forecast_origin", "date"]
    for found, row in zip(losses.sort(keys).to_dicts(), expected.sort(keys).to_dicts(), strict=True):
        short = {tenth: row["units"] - row["exposure"] * row[f"q{10 * tenth}"] for tenth in range(1, 10)}
        pinball = [max(tenth / 10 * gap, (tenth / 10 - 1) * gap) for tenth, gap in short.items()]
        assert found["quantile_loss"] == pytest.approx(2 * sum(pinball) / 9)
        assert found["absolute_error"] == pytest.approx(abs(row["exposure"] * row["mean"] - row["units"]))
    models = losses.partition_by("model", as_dict=True)
    both = side_by_side(models["seasonal_naive",], models["gradient_boosting",])
    assert both.height == losses.height / 2
    assert compare(by_series_and_day(both), "quantile_loss").p_better < SIGNIFICANCE
