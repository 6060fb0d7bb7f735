"""A small retailer with weekly season, a slow seller and three backtest origins, for every picture and report."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

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
        mean=pl.Series(mean.astype(np.float32)),
        **{name: pl.Series(values) for name, values in quantiles.items()},
    )


def make_metrics(backtest: pl.DataFrame) -> pl.DataFrame:
    """A plain reading of wape, rmsse (scaled by a constant) and fva_wape at three levels."""
    levels = {"series": SERIES, "store_id": ["store_id"], "total": []}
    frames = []
    for level, keys in levels.items():
        summed = backtest.group_by("model", "forecast_origin", "date", *keys).agg(pl.col("units", "mean").sum())
        error = (pl.col("mean") - pl.col("units")).abs()
        by_origin = summed.group_by("model", "forecast_origin").agg(
            wape=error.sum() / pl.col("units").sum(),
            bias=(pl.col("mean") - pl.col("units")).sum() / pl.col("units").sum(),
            rmsse=(error**2).mean().sqrt() / pl.col("units").std(),
        )
        naive = by_origin.filter(model="seasonal_naive").select("forecast_origin", naive="wape")
        by_origin = by_origin.join(naive, on="forecast_origin").with_columns(
            fva_wape=1 - pl.col("wape") / pl.col("naive")
        )
        long = by_origin.drop("naive").unpivot(index=["model", "forecast_origin"], variable_name="metric")
        frames.append(long.with_columns(level=pl.lit(level)))
    metrics = pl.concat(frames)
    metrics = pl.concat(
        [
            metrics,
            metrics.filter(level="series", metric="rmsse").with_columns(metric=pl.lit("wrmsse"), level=pl.lit("all")),
            metrics.filter(level="series", metric="fva_wape").with_columns(
                metric=pl.lit("fva_wrmsse"), level=pl.lit("all")
            ),
        ]
    )
    means = metrics.group_by("model", "level", "metric", maintain_order=True).agg(pl.col("value").mean())
    return pl.concat([metrics, means.with_columns(forecast_origin=pl.lit(None, pl.Date))], how="diagonal").select(
        "model", "forecast_origin", "level", "metric", "value"
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
def metrics(backtest: pl.DataFrame) -> pl.DataFrame:
    return make_metrics(backtest)


@pytest.fixture(scope="session")
def summary(metrics: pl.DataFrame) -> pl.DataFrame:
    means = metrics.filter(pl.col("forecast_origin").is_null(), level="series").pivot(
        "metric", index="model", values="value"
    )
    return means.with_columns(
        wrmsse=pl.col("rmsse") * 0.9,
        wql=pl.col("wape") * 0.7,
        coverage_80=pl.lit(0.81),
        calibration_error=pl.lit(0.02),
        fva_wrmsse=pl.col("fva_wape") * 0.9,
        fva_wql=pl.col("fva_wape") * 0.8,
    )


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
