"""The champion and its forecast, packed for a server."""

import json
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
import polars as pl

from demand_forecast.defs.forecasts.assets import learned_correlation
from demand_forecast.defs.project import Project
from demand_forecast.domain.backtest import newest_origin
from demand_forecast.domain.calendar import calendar_of
from demand_forecast.domain.scoring import summary_table
from demand_forecast.tracking.bento import build_bento
from demand_forecast.tracking.ledger import PromotionLedger
from demand_forecast.tracking.package import PackageInfo, write_package
from demand_forecast.tracking.registry import ModelVersion

SHOWN_PERIODS = 182  # of history, beside the forecast
HISTORY = ["store_id", "product_id", "date", "units", "price", "in_stock", "open"]


@dg.asset(
    deps=["demand_forecast", "promoted_model", "forecast_features", "series_overview", "daily_demand"],
    group_name="serving",
    kinds={"bentoml"},
    description="The champion with its published forecast as a serving package, which `bentoml serve` in the project's "
    "root serves, and the same package as a Bento that any machine can serve.",
)
def forecast_service(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    forecast = project.lake.read("demand_forecast")
    champion = project.tracking.version(forecast["model_version"][0])
    with TemporaryDirectory() as folder:
        package = write_package(
            project.home.serving,
            model_folder=project.tracking.download(champion.version, Path(folder)),
            forecast=forecast,
            info=_info(project, champion, forecast),
            tables=_tables(project, newest_origin(forecast)),
        )
    tag = build_bento(package, project.home.bentoml)
    context.log.info(f"serving package {package.name}, Bento {tag}")
    size = sum(file.stat().st_size for file in package.rglob("*") if file.is_file())
    return dg.MaterializeResult(
        metadata={
            "bento": tag,
            "model_version": champion.version,
            "package": dg.MetadataValue.path(package),
            "package_bytes": size,
            "serve": dg.MetadataValue.md("`make serve`, or `bentoml serve` in the project's root"),
            "manifest": dg.MetadataValue.json(json.loads((package / "manifest.json").read_text(encoding="utf-8"))),
        }
    )


def _tables(project: Project, origin: date) -> dict[str, pl.DataFrame]:
    """What the service answers from beside the forecast."""
    lake = project.lake
    days = timedelta(days=SHOWN_PERIODS * calendar_of(project.settings.frequency).step)
    shown = pl.col("date").is_between(origin - days, origin, closed="right")
    return {
        "features": lake.read("forecast_features"),
        "planned": lake.read("forecast_plan"),
        "new_products": lake.read("new_product_features"),
        "series": lake.read("series_overview"),
        "history": lake.scan("daily_demand").filter(shown).select(HISTORY).collect(),
    }


def _info(project: Project, champion: ModelVersion, forecast: pl.DataFrame) -> PackageInfo:
    scores = summary_table(project.lake.read("backtest_metrics"))
    figures = {row.pop("model"): row for row in scores.to_dicts()}
    promotion = PromotionLedger(project.lake).last_promotion() or {}
    return PackageInfo(
        model=champion.model,
        model_version=champion.version,
        forecast_origin=newest_origin(forecast),
        trained_at=champion.created_at,
        data_versions=champion.data_versions,
        metrics=figures.get("champion") or figures.get(champion.model) or {},
        promotion={name: str(value) for name, value in promotion.items() if value is not None},
        frequency=project.settings.frequency,
        error_correlation=learned_correlation(project.lake, forecast),
    )
