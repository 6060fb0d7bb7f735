"""The retailer as the product meets it: CSV files and a configuration. And the truth, which the product never sees."""

import math
from pathlib import Path

import numpy as np
import polars as pl
import yaml

from benchmarks.known_demand.sellers import Retailer
from benchmarks.known_demand.shelf import Sales
from demand_forecast.domain.tables import series_key

COVER_DAYS = 7  # of expected demand that is on hand where goods are there
CONFIG_FILE = "config.yaml"
CONFIG = {
    "home": "home",
    "name": "known_demand",
    "source": {"kind": "files", **{name: {"path": f"{name}.csv"} for name in ("sales", "stock", "products", "stores")}},
    "covariates": {"static": ["department"]},
    "automation": {"settle_seconds": 0},  # the files are whole
    "promotion": {"max_bias": 10, "max_calibration_error": 1},  # so that a forecast is published whatever it is worth
}


def land(retailer: Retailer, sales: Sales, folder: Path) -> Path:
    """Writes the files into `folder` and gives the configuration's path. A day without a sale has no row of sales."""
    folder.mkdir(parents=True, exist_ok=True)
    days = by_day(retailer, units=sales.units, in_stock=sales.in_stock.round(4), on_hand=_on_hand(retailer, sales))
    days.filter(pl.col("units") > 0).select(*series_key(), "date", "units").write_csv(folder / "sales.csv")
    days.select(*series_key(), "date", "in_stock", "on_hand").write_csv(folder / "stock.csv")
    retailer.series.select("product_id", "department").unique(maintain_order=True).write_csv(folder / "products.csv")
    retailer.series.select("store_id").unique(maintain_order=True).write_csv(folder / "stores.csv")
    truth(retailer).write_parquet(folder / "truth.parquet")
    config = folder / CONFIG_FILE
    config.write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    return config


def truth(retailer: Retailer) -> pl.DataFrame:
    """`store_id, product_id, date, expected, demand` of the history and of the days ahead."""
    return by_day(retailer, expected=retailer.expected, demand=retailer.demand)


def by_day(retailer: Retailer, **values: np.ndarray) -> pl.DataFrame:
    """`store_id, product_id, date`, and a column for each of `values` (series, days), whose days are the first ones."""
    count = next(iter(values.values())).shape[1]
    days = pl.DataFrame({"date": retailer.days[:count]})
    rows = retailer.series.select(series_key()).join(days, how="cross", maintain_order="left_right")
    return rows.with_columns(pl.Series(name, value.ravel()) for name, value in values.items())


def _on_hand(retailer: Retailer, sales: Sales) -> np.ndarray:
    """Units in the evening: none where goods ran out or never came, else what a week needs."""
    usual = [math.ceil(COVER_DAYS * level) for level in retailer.expected.mean(axis=1)]
    return np.where(sales.in_stock < 1, 0, np.array(usual)[:, None])
