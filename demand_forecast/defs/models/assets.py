"""One asset per candidate: trained, tracked as an MLflow run, registered as a model version."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg

from demand_forecast.defs.metadata import markdown_table, picture
from demand_forecast.defs.project import SETTINGS, Project
from demand_forecast.domain.features import FeatureContract
from demand_forecast.domain.models import create, describe

INPUT_TABLES = ["raw_sales", "clean_sales", "daily_demand", "demand_features"]


def _model_asset(name: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=name,
        deps=["demand_features"],
        group_name="models",
        kinds={"mlflow", *describe(name).kinds},
        description=describe(name).text,
    )
    def model(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
        versions = project.lake.versions(INPUT_TABLES)
        forecaster = create(name, seed=project.settings.seed)
        recipe = fingerprint(forecaster, versions)
        registered = project.tracking.find(recipe)
        if registered is None:
            registered = _train(context, project, forecaster, recipe, versions)
        else:
            context.log.info(f"version {registered.version} was trained on the same tables: nothing to train")
        return dg.MaterializeResult(metadata=_shown(project, registered))

    return model
