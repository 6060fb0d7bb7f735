"""Rare sales of many units: their mean is neither forgotten nor learned by heart."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from demand_forecast.domain.models import create
from demand_forecast.domain.models.training_rows import training_rows
from demand_forecast.settings import Training
from demand_forecast_tests.domain.small_retailer import FIRST_DAY, Retailer, tiny_series

DAYS, HORIZON, SERIES = 400, 28, 80
LUMPY = 0.9  # units a day: a sale of 6 units on average in every seventh


def steady_and_lumpy() -> Retailer:
    """As many products that sell 5 units a day as such that sell LUMPY at rare times."""
    rng = np.random.default_rng(5)
    sales = rng.poisson(LUMPY / 6, (SERIES // 2, DAYS))
    lumpy = sales + rng.poisson(rng.gamma(sales, 5.0))
    units = np.concatenate([rng.poisson(5.0, (SERIES // 2, DAYS)), lumpy])
    rows = pl.DataFrame(
        {
            "store_id": "North",
            "product_id": [f"P-{number:02d}" for number in range(SERIES)],
            "date": [[FIRST_DAY + timedelta(days=day) for day in range(DAYS)]] * SERIES,
            "units": units.astype(np.float32).tolist(),
        }
    ).explode("date", "units")
    known = {"price": pl.lit(None, pl.Float32), "in_stock": pl.lit(1.0, pl.Float32), "open": pl.lit(True)}
    sold = rows.with_columns(pl.col("units").cast(pl.Float32), **known)
    first = sold.filter(pl.col("units") > 0).group_by("product_id").agg(first=pl.col("date").min())
    sold = sold.join(first, on="product_id").filter(pl.col("date") >= pl.col("first")).drop("first")
    products = sold.select("product_id").unique(maintain_order=True)
    return replace(tiny_series([1.0]), demand=sold, products=products, horizon=HORIZON)


@pytest.mark.parametrize("name", ["lightgbm", pytest.param("gradient_boosting", marks=pytest.mark.slow)])
def test_lumpy_sellers_are_forecast_at_what_they_sell(name: str) -> None:
    retailer = steady_and_lumpy()
    origins = [retailer.last_day - timedelta(days=HORIZON * back) for back in (3, 2, 1)]
    features, contract = retailer.features(origins, training=Training(max_rows=60_000))
    lumpy = features.filter(~pl.col("training"), pl.col("product_id") >= f"P-{SERIES // 2}")
    expected = [
        create(name, seed=7)
        .fit(training_rows(features, origin), contract)
        .expected(lumpy.filter(pl.col("forecast_origin") == origin))
        for origin in origins
    ]
    assert np.mean(expected) == pytest.approx(LUMPY, rel=0.1)
