"""A small retailer with weekly season, a slow seller and three backtest origins, for every picture and report."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from demand_forecast.domain.demand.hierarchy import SERIES_LEVEL, TOTAL, Level
from demand_forecast.domain.evaluation.scoring import score_backtest, summary_table
from demand_forecast.domain.tables import QUANTILE_COLUMNS, QUANTILE_LEVELS

LAST_DAY = date(2024, 6, 30)
HORIZON, ORIGINS = 28, 3
SPREAD = {"lightgbm": 0.05, "gradient_boosting": 0.15, "seasonal_naive": 0.35}
SERIES = ["store_id", "product_id"]


def make_demand(days: int = 420) -> pl.DataFrame:
    rng = np.random.default_rng(3)
    dates = [LAST_DAY - timedelta(days=days - 1 - i) for i in range(days)]
    week = 1 + 0.35 * np.sin(2 * np.pi * np.arange(days) / 7)
    year = 1 + 0.25 * np.sin(2 * np.pi * np.arange(days) / 365)
    frames = []
    for s, store in enumerate(["Harbour", "Market Square", "Old Town"]):
        for p in range(20):
            level = 22.0 * 0.72**p * (1 + 0.3 * s)
            expected = level * week * year
            frames.append(
                pl.DataFrame(
                    {
                        "store_id": store,
                        "product_id": f"P-{p:03d}",
                        "date": dates,
                        "units": rng.negative_binomial(4, 4 / (4 + expected)).astype(np.float32),
                        "expected": expected,
                    }
                )
            )
    return pl.concat(frames).with_columns(
        price=pl.lit(9.5, pl.Float32), in_stock=pl.lit(1.0, pl.Float32), open=pl.lit(True)
    )


def make_forecast(demand: pl.DataFrame, origin: date, spread: float, seed: int) -> pl.DataFrame:
    from scipy.stats import nbinom

    future = demand.filter(pl.col("date").is_between(origin + timedelta(days=1), origin + timedelta(days=HORIZON)))
    rng = np.random.default_rng(seed)
    mean = future["expected"].to_numpy() * np.exp(rng.normal(0, spread, future.height))
    quantiles = {
        name: nbinom.ppf(level, 4, 4 / (4 + mean)).astype(np.float32)
        for name, level in zip(QUANTILE_COLUMNS, QUANTILE_LEVELS, strict=True)
    }
    return future.select(
        *SERIES,
        "date",
        "units",
        forecast_origin=pl.lit(origin),
        horizon=(pl.col("date") - origin).dt.total_days().cast(pl.Int32),
        exposure=pl.lit(1.0, pl.Float32),
        mean=pl.Series(mean.astype(np.float32)),
        pit_low=pl.Series(nbinom.cdf(future["units"].to_numpy() - 1, 4, 4 / (4 + mean)).astype(np.float32)),
        pit_high=pl.Series(nbinom.cdf(future["units"].to_numpy(), 4, 4 / (4 + mean)).astype(np.float32)),
        **{name: pl.Series(values) for name, values in quantiles.items()},
    )


@pytest.fixture(scope="session")
def demand() -> pl.DataFrame:
    return make_demand()


@pytest.fixture(scope="session")
def backtest(demand: pl.DataFrame) -> pl.DataFrame:
    origins = [LAST_DAY - timedelta(days=HORIZON * (ORIGINS - i)) for i in range(ORIGINS)]
    frames = [
        make_forecast(demand, origin, spread, seed).with_columns(model=pl.lit(model))
        for model, spread in SPREAD.items()
        for seed, origin in enumerate(origins)
    ]
    return pl.concat(frames)


@pytest.fixture(scope="session")
def metrics(backtest: pl.DataFrame, demand: pl.DataFrame) -> pl.DataFrame:
    levels = [TOTAL, Level("store_id", ("store_id",)), SERIES_LEVEL]
    return score_backtest(backtest, demand, levels, pl.DataFrame(), pl.DataFrame(), season=7)


@pytest.fixture(scope="session")
def summary(metrics: pl.DataFrame) -> pl.DataFrame:
    return summary_table(metrics)


@pytest.fixture(scope="session")
def reorder_plan(demand: pl.DataFrame) -> pl.DataFrame:
    rates = demand.group_by(SERIES, maintain_order=True).agg(expected_demand=pl.col("units").mean() * 10)
    stock = np.random.default_rng(1).uniform(0, 1.4, rates.height)
    return rates.with_columns(
        target_stock=pl.col("expected_demand") * 1.5, on_hand=pl.col("expected_demand") * pl.Series(stock)
    ).with_columns(
        on_order=pl.lit(2.0), order_quantity=(pl.col("target_stock") - pl.col("on_hand") - 2).clip(0).round()
    )


@pytest.fixture(scope="session")
def ledger() -> pl.DataFrame:
    start = datetime(2024, 1, 7, 3, tzinfo=UTC)
    decisions = ["promoted", "kept", "refused", "promoted", "kept", "kept"]
    champion = [None, 0.80, 0.80, 0.79, 0.74, 0.75]
    challenger = [0.80, 0.81, 0.70, 0.74, 0.75, 0.745]
    return pl.DataFrame(
        {
            "decided_at": [start + timedelta(weeks=i) for i in range(6)],
            "decision": decisions,
            "metric": ["wrmsse"] * 6,
            "champion_value": champion,
            "challenger_value": challenger,
        }
    )
