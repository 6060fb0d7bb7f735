"""What the product would order at several service levels, from the tables of one finished run."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from demand_forecast.domain.replenishment.policy import reorder_plan
from demand_forecast.domain.tables import series_key
from demand_forecast.settings import Settings

LEVELS = (0.8, 0.9, 0.95, 0.98)
ROUNDING = 1e-3


def orders_at(lake: Path, settings: Settings, levels: Sequence[float] = LEVELS) -> pl.DataFrame:
    """`asked, store_id, product_id, expected_demand, stock, promised`, a row per level and series.

    `stock` is the plan's target in whole units, all of which is to be ordered; `promised` the plan's own service level
    with it. Raises ValueError where the level of `settings` does not give the targets of the run's own plan.
    """
    plans = {level: _plan(lake, settings, level) for level in levels}
    _require_same_targets(_plan(lake, settings, settings.replenishment.service_level), read(lake, "reorder_plan"))
    return pl.concat(
        plan.select(
            *series_key(), "expected_demand", asked=pl.lit(level), stock="order_quantity", promised="service_level"
        )
        for level, plan in plans.items()
    )


def _plan(lake: Path, settings: Settings, level: float) -> pl.DataFrame:
    forecast = read(lake, "demand_forecast")
    policy = settings.replenishment.model_copy(update={"service_level": level})
    return reorder_plan(forecast, None, policy, settings.frequency)


def _require_same_targets(made: pl.DataFrame, published: pl.DataFrame) -> None:
    both = made.join(published, on=series_key(), suffix="_published")
    apart = both.filter((pl.col("target_stock") - pl.col("target_stock_published")).abs() > ROUNDING)
    if len(apart) or len(both) != len(published):
        raise ValueError(
            f"reorder_plan: {len(apart)} of {len(published)} series have another target than in the run; make the plan "
            "here as the asset reorder_plan makes it"
        )


def read(lake: Path, table: str) -> pl.DataFrame:
    return pl.read_delta(str(lake / table))
