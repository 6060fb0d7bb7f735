"""The serving package of the champion, and of a challenger on trial."""

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg
import polars as pl

from demand_forecast.defs.features.assets import own_features
from demand_forecast.defs.forecasts.assets import forecast_on_trial
from demand_forecast.defs.forecasts.kept import kept_because
from demand_forecast.defs.project import Project
from demand_forecast.domain.models import load_model
from demand_forecast.domain.models.training_rows import newest_origin
from demand_forecast.publishing.bento import build_bento
from demand_forecast.publishing.package import (
    PackageError,
    PackageInfo,
    Trial,
    current_name,
    point_trial,
    write_package,
)
from demand_forecast.tracking.ledger import PromotionLedger
from demand_forecast.tracking.registry import ModelVersion, RegistryError
from demand_forecast.tracking.trial import TrialChoice

SHOWN_PERIODS = 182  # of history, beside the forecast
HISTORY = ["store_id", "product_id", "date", "units", "price", "in_stock", "open"]


@dg.asset(
    deps=[
        *("demand_forecast", "promoted_model", "forecast_features", "series_overview", "daily_demand"),
        "published_forecasts",
    ],
    group_name="serving",
    kinds={"bentoml"},
    description="The champion with its published forecast as a serving package, which `bentoml serve` in the project's "
    "root serves, and the same package as a Bento that any machine can serve. Where `serving.trial` says so, a "
    "challenger's package beside it, tried out on live requests.",
)
def forecast_service(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    if why := kept_because(project.lake):
        package = project.home.serving / current_name(project.home.serving)
        context.log.info(f"package {package.name} stays, as the forecast in it")
        return dg.MaterializeResult(metadata={"kept": why, "package": dg.MetadataValue.path(package)})
    forecast = project.lake.read("demand_forecast")
    champion = project.tracking.version(forecast["model_version"][0])
    tables = _tables(project, newest_origin(forecast))
    # the challenger's package first, and pointed at last: a run that is killed leaves at most a trial of another
    # origin, which no server tries out
    choice, trial = _pack_challenger(project, tables)
    ledger = PromotionLedger(project.lake)
    info = _info(project, champion, forecast, ledger.last_promotion(), ledger.reservations())
    package = _pack(project, champion, forecast, info, tables)
    point_trial(project.home.serving, trial)
    tag = build_bento(package, project.home.bentoml)
    context.log.info(f"serving package {package.name}, Bento {tag}; {choice.text}")
    size = sum(file.stat().st_size for file in package.rglob("*") if file.is_file())
    return dg.MaterializeResult(
        metadata={
            "model_version": champion.version,
            "serve": dg.MetadataValue.md("`make serve`, or `bentoml serve` in the project's root"),
            "trial": f"{choice.text} ({trial.package})" if trial else choice.text,
            "package": dg.MetadataValue.path(package),
            "package_bytes": size,
            "bento": tag,
            "manifest": dg.MetadataValue.json(json.loads((package / "manifest.json").read_text(encoding="utf-8"))),
        }
    )


def _pack_challenger(project: Project, tables: dict[str, pl.DataFrame]) -> tuple[TrialChoice, Trial | None]:
    """The challenger on trial and its package; no package where it cannot be made: the champion is served anyway."""
    choice, forecast = forecast_on_trial(project)
    if choice.version is None or forecast is None:
        return choice, None
    info = _info(project, choice.version, forecast, PromotionLedger(project.lake).last_comparison())
    try:
        package = _pack(project, choice.version, forecast, info, tables, live=False)
    except (PackageError, RegistryError) as error:
        return TrialChoice(f"version {choice.version.version} cannot be packed: {error}"), None
    return choice, Trial(package=package.name, mode=choice.mode, share=project.settings.serving.trial.share)


def _pack(
    project: Project,
    version: ModelVersion,
    forecast: pl.DataFrame,
    info: PackageInfo,
    tables: dict[str, pl.DataFrame],
    live: bool = True,
) -> Path:
    with TemporaryDirectory() as folder:
        files = project.tracking.download(version.version, Path(folder))
        own = own_features(project, load_model(files).contract)
        if own is not None:
            tables = tables | {"features": own.rows, "planned": own.planned, "new_products": own.new_products}
        return write_package(
            project.home.serving, model_folder=files, forecast=forecast, info=info, tables=tables, live=live
        )


def _tables(project: Project, origin: date) -> dict[str, pl.DataFrame]:
    """The tables that the service reads beside the forecast."""
    lake = project.lake
    since = project.calendar.ahead(origin, -SHOWN_PERIODS)
    shown = pl.col("date").is_between(since, origin, closed="right")
    return {
        "features": lake.read("forecast_features"),
        "planned": lake.read("forecast_plan"),
        "new_products": lake.read("new_product_features"),
        "series": lake.read("series_overview"),
        "history": lake.scan("daily_demand").filter(shown).select(HISTORY).collect(),
    }


def _info(
    project: Project,
    version: ModelVersion,
    forecast: pl.DataFrame,
    decision: dict[str, Any] | None,
    reservations: Sequence[str] = (),
) -> PackageInfo:
    """The package's description; `decision`: the ledger's line about the version."""
    return PackageInfo(
        model=version.model,
        model_version=version.version,
        forecast_origin=newest_origin(forecast),
        trained_at=version.created_at,
        data_versions=version.data_versions,
        metrics=dict(project.tracking.proof(version.version).figures),
        promotion={name: str(value) for name, value in (decision or {}).items() if value is not None},
        reservations=[*reservations],
        frequency=project.frequency,
    )
