"""One asset per candidate: trained, tracked as an MLflow run, registered as a model version."""

import json
from collections.abc import Collection, Mapping
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import dagster as dg
import polars as pl

from demand_forecast.defs.features.contract import data_versions, read_contract
from demand_forecast.defs.metadata import Metadata, picture
from demand_forecast.defs.project import SETTINGS, Project, code_version
from demand_forecast.domain.features import FeatureContract
from demand_forecast.domain.models import ForecastModel, create, family, learners, load_model
from demand_forecast.domain.models.training_rows import newest_origin, training_rows
from demand_forecast.tracking.registry import ModelVersion


def fingerprint(model: ForecastModel, versions: Mapping[str, int]) -> str:
    """Equal for the same recipe on the same features by the same code."""
    made_of = [model.name, model.parameters, versions["demand_features"], code_version()]
    return sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:32]


def registered_candidates(project: Project) -> dict[str, ModelVersion]:
    """The registered version of each candidate that was trained on the features as they are now."""
    settings, versions = project.settings, data_versions(project.lake)
    found = {
        name: project.tracking.find(fingerprint(create(name, seed=settings.seed), versions))
        for name in settings.training.candidates
    }
    return {name: version for name, version in found.items() if version is not None}


def read_features(project: Project) -> tuple[pl.DataFrame, FeatureContract]:
    return project.lake.read("demand_features"), read_contract(project.lake)


def model_asset(name: str, candidates: Collection[str]) -> dg.AssetsDefinition:
    """The asset of one of the `candidates`, which follows those of them that it is made of."""
    members = [member for member in family(name).members() if member in candidates]

    @dg.asset(
        name=name,
        deps=["demand_features", *members],
        group_name="models",
        kinds={"mlflow", *(library.replace("-", "") for library in learners(name))},
        description=f"{family(name).text} Tracked as an MLflow run, registered with the versions of the tables it "
        "saw. The same recipe on the same tables is not trained twice.",
    )
    def model(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
        project.tracking.prepare()
        versions = data_versions(project.lake)
        recipe = create(name, seed=project.settings.seed)
        found = project.tracking.find(fingerprint(recipe, versions))
        if found:
            context.log.info(f"version {found.version} was trained on the same tables by the same code")
        version, seconds = (found, 0.0) if found else _train(context, project, recipe, versions)
        return dg.MaterializeResult(metadata=_shown(project, version, recipe) | {"fit_seconds": round(seconds, 2)})

    return model


def _train(
    context: dg.AssetExecutionContext, project: Project, model: ForecastModel, versions: dict[str, int]
) -> tuple[ModelVersion, float]:
    """The version registered, and the seconds that its fit took."""
    from demand_forecast.reports.charts.accuracy import feature_importance

    features, contract = read_features(project)
    origin = newest_origin(features)
    rows = training_rows(features, origin)
    tags = {"dagster_run_id": context.run_id, "dagster_asset_key": model.name}
    with project.tracking.run(f"{model.name} {origin}", tags) as run, TemporaryDirectory() as folder:
        model.adopt(_registered_members(project, model, Path(folder)))
        started = perf_counter()
        model.fit(rows, contract)
        seconds = perf_counter() - started
        model.save(Path(folder) / "model")
        if (importance := model.importance()) is not None:
            run.log_figure(feature_importance(importance), "feature_importance")
        run.log_params({"model": model.name, **model.parameters, "training_rows": len(rows), "forecast_origin": origin})
        version = project.tracking.register(
            run.run_id,
            Path(folder) / "model",
            {
                "model": model.name,
                "fingerprint": fingerprint(model, versions),
                "data_versions": versions,
                "forecast_origin": str(origin),
                "code_version": code_version(),
                "dagster_run_id": context.run_id,
            },
        )
    context.log.info(f"{model.name} trained on {len(rows):,} rows, registered as version {version}")
    return project.tracking.version(version), seconds


def _registered_members(project: Project, model: ForecastModel, folder: Path) -> dict[str, ForecastModel]:
    """The models that `model` is made of, as registered for the tables as they are now."""
    registered = registered_candidates(project) if model.members() else {}
    return {
        name: load_model(project.tracking.download(registered[name].version, folder / name))
        for name in model.members()
        if name in registered
    }


def _shown(project: Project, version: ModelVersion, model: ForecastModel) -> Metadata:
    from demand_forecast.reports.charts.accuracy import feature_importance

    shown: dict[str, Any] = {
        "model_version": version.version,
        "mlflow_run_id": version.run_id,
        "forecast_origin": version.tag("forecast_origin"),
        "data_versions": dg.MetadataValue.json(version.data_versions),
    }
    if not model.is_fitted:
        with TemporaryDirectory() as folder:
            model = load_model(project.tracking.download(version.version, Path(folder)))
    importance = model.importance()
    return shown if importance is None else shown | {"importance": picture(feature_importance(importance))}


models = [model_asset(name, SETTINGS.training.candidates) for name in SETTINGS.training.candidates]
