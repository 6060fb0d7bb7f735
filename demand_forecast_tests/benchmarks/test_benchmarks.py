"""The benchmark of accuracy: what contenders are given holds no future, and they are scored alike."""

import json
import sys
from pathlib import Path

import polars as pl
import pytest

from benchmarks.accuracy.contenders import CONTENDERS, OURS
from benchmarks.accuracy.results import as_backtest, score, to_markdown
from benchmarks.accuracy.retailer import Retailer
from benchmarks.accuracy.task import Task
from benchmarks.process import run_alone
from demand_forecast.domain.demand.hierarchy import SERIES_LEVEL, TOTAL
from demand_forecast.settings import load_settings
from demand_forecast_tests.domain.small_retailer import make_retailer

CONFIG = """
horizon: 14
source: {kind: m5, path: nowhere}
covariates: {static: [department, size], known_future: [promo, event, price], past_only: [visitors]}
training: {window: 400, max_rows: 5000}
"""


@pytest.fixture(scope="module")
def retailer(tmp_path_factory: pytest.TempPathFactory) -> Retailer:
    """The small retailer as a finished run leaves it."""
    home = tmp_path_factory.mktemp("home")
    small = make_retailer()
    tables = (small.demand, small.plan, small.products, small.stores)
    for name, table in zip(("daily_demand", "clean_plan", "clean_products", "clean_stores"), tables, strict=True):
        table.write_delta(str(home / "lake" / name))
    (home / "config.yaml").write_text(CONFIG, encoding="utf-8")
    return Retailer(load_settings(home / "config.yaml"), home / "lake")


@pytest.fixture(scope="module")
def task(retailer: Retailer, tmp_path_factory: pytest.TempPathFactory) -> Task:
    return retailer.task(retailer.newest_origin(), tmp_path_factory.mktemp("cache"))


def forecast_of(outcome: pl.DataFrame, value: float) -> pl.DataFrame:
    return outcome.select("store_id", "product_id", "date", mean=pl.lit(value))


def test_a_contender_is_given_no_sale_after_the_origin_and_every_day_to_forecast(retailer: Retailer, task: Task):
    panel = pl.read_parquet(task.folder / "panel.parquet")
    ahead = panel.filter(pl.col("date") > task.origin)
    assert ahead["units"].null_count() == len(ahead) == len(retailer.outcome(task.origin))
    assert pl.read_parquet(task.folder / "daily_demand.parquet")["date"].max() == task.origin
    assert ahead["price"].null_count() == 0
    assert {"promo", "event", "department", "size"} <= {*task.future, *task.static}


def test_a_task_is_written_once_and_again_where_the_data_differ(retailer: Retailer, task: Task):
    assert retailer.task(task.origin, task.folder.parent) == task
    other = Retailer(retailer.settings, retailer.lake)
    other.tables["daily_demand"] = other.demand.with_columns(pl.col("units") + 1)
    assert other.task(task.origin, task.folder.parent).folder != task.folder


@pytest.mark.slow
def test_ours_forecasts_in_a_process_of_its_own(retailer: Retailer, task: Task, tmp_path: Path):
    contender = next(c for c in CONTENDERS if c.name == f"{OURS}lightgbm")
    made = tmp_path / "forecast.parquet"
    arguments = [contender.recipe, str(task.folder), str(made)]
    cost = json.loads(run_alone(Path(sys.executable), "benchmarks.accuracy.child", arguments))
    outcome = retailer.outcome(task.origin)
    backtest = as_backtest(pl.read_parquet(made), pl.DataFrame(), outcome, contender.name)
    assert len(backtest) == len(outcome)
    assert 0 < cost["cpu_seconds"] < 120
    assert 50 < cost["peak_mb"] < 5000


def test_peers_name_series_by_number_and_below_zero_is_zero(retailer: Retailer, task: Task):
    outcome = retailer.outcome(task.origin)
    series = pl.read_parquet(task.folder / "series.parquet")
    numbered = forecast_of(outcome, -1.0).join(series, on=["store_id", "product_id"]).select("series", "date", "mean")
    assert as_backtest(numbered, series, outcome, "peer")["mean"].to_list() == [0.0] * len(outcome)


def test_a_forecast_with_a_missing_day_is_refused(retailer: Retailer, task: Task):
    outcome = retailer.outcome(task.origin)
    with pytest.raises(ValueError, match=f"peer: no forecast for 1 of {len(outcome)}"):
        as_backtest(forecast_of(outcome, 1.0).head(-1), pl.DataFrame(), outcome, "peer")


def test_scores_are_those_of_the_product_and_quantiles_may_be_missing(retailer: Retailer, task: Task):
    outcome = retailer.outcome(task.origin)
    backtest = as_backtest(forecast_of(outcome, 2.0), pl.DataFrame(), outcome, "flat")
    tables = retailer.tables
    levels = [TOTAL, SERIES_LEVEL]
    scored = score(backtest, retailer.demand, levels, tables["clean_products"], tables["clean_stores"], "daily")
    counted = outcome.filter(pl.col("exposure") > 0)
    expected = 2 * counted["exposure"].cast(pl.Float64)
    error, sold = (counted["units"] - expected).abs().sum(), counted["units"].sum()
    assert scored["WAPE"].item() == pytest.approx(error / sold)
    assert scored["bias"].item() == pytest.approx(expected.sum() / sold - 1)
    assert scored["WQL"].item() is None
    assert scored["coverage 80%"].item() is None
    text = to_markdown(scored.with_columns(pl.lit(1.0).alias("CPU-s"), pl.lit(2.0).alias("peak MB")), [task.origin])
    assert f"| flat | {scored['WRMSSE'].item():.3f} | – |" in text
