"""The overview on a small lake: it says what the domain says, and shows who needs attention."""

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

from demand_forecast.defs.forecasts.overview import series_overview
from demand_forecast.defs.project import Project
from demand_forecast_tests.domain.planned_shop import ORIGIN, Shop, poisson


def test_who_needs_attention_is_shown_and_the_same_night_twice_changes_nothing(
    project_of: Callable[..., Project], tmp_path: Path
) -> None:
    levels = np.linspace(2, 30, 30)
    units = poisson(levels)
    units[4, -28:] = 0
    shop = Shop(units, levels)
    shop.stock = shop.demand.filter(date=ORIGIN).select("store_id", "product_id", "date", on_hand=pl.lit(50.0))
    shop.published = shop.forecasts_of_the_day_before(1.2 * pl.col("units"))
    project = project_of()
    made = tmp_path / "made"
    made.mkdir()
    with project.tracking.run("lightgbm") as run:
        tags = {"model": "lightgbm", "fingerprint": "one"}
        version = project.tracking.register(run.run_id, made, tags)
    tables = {
        "demand_forecast": shop.forecast.with_columns(model=pl.lit("lightgbm"), model_version=pl.lit(version)),
        "reorder_plan": shop.plan(),
        "published_forecasts": shop.published.with_columns(horizon=pl.lit(1)),
        "daily_demand": shop.demand,
        "clean_products": pl.DataFrame({"product_id": shop.ids}),
        "clean_stores": pl.DataFrame({"store_id": ["s"]}),
    }
    for name, frame in tables.items():
        project.lake.replace(name, frame)
    runs = [dg.materialize([series_overview], resources={"project": project}) for _ in range(2)]
    assert_frame_equal(project.lake.read("series_overview").sort("product_id"), shop.overview())
    first, second = (run.asset_materializations_for_node("series_overview")[0].metadata for run in runs)
    assert first["lake_version"] == second["lake_version"]
    short = shop.overview().filter(pl.col("stock_out_risk") >= 0.6).height
    assert short > 5
    assert [first[name].value for name in ("need_attention", "stock_out", "error", "drift")] == [short + 1, short, 0, 1]
    shown = str(first["most_urgent"].value).splitlines()
    assert shown[2].startswith("|s|p029|may run out before an order arrives: ")
    assert any("|p004|has not sold for 4 weeks|" in line for line in shown)
