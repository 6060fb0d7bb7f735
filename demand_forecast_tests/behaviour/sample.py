"""The sample retailer's tables, and what only the tests know of it."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from demand_forecast.domain.cleaning.inputs import InputReading, clean_plan, clean_products, clean_stock, clean_stores
from demand_forecast.settings import Settings, load_settings
from demand_forecast.sources.collecting.inputs import collect_inputs
from demand_forecast.sources.configured import date_readings, decimals
from demand_forecast.sources.delivery import InputTable

ROOT = Path(__file__).parents[2]
TRUTH = ROOT / "demand_forecast_tests" / "data"
LATER = datetime(2026, 12, 1, tzinfo=UTC)


def sample_attributes() -> tuple[Settings, dict[str, pl.DataFrame]]:
    """The settings, and products, stores, plan and stock as the assets clean them."""
    settings = load_settings(ROOT / "config.yaml")
    cleaners = {"products": clean_products, "stores": clean_stores, "plan": clean_plan, "stock": clean_stock}

    def read(table: InputTable) -> pl.DataFrame:
        formats, marks = date_readings(settings, table), decimals(settings, table)
        reading = InputReading(settings.covariates, settings.cleaning, marks, formats)
        return cleaners[table](collect_inputs(settings, table, LATER), reading)

    return settings, {table: read(table) for table in cleaners}  # type: ignore[arg-type]
