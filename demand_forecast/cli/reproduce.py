"""Trains a registered model again from its recorded inputs and compares the forecasts."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import polars as pl
from rich.console import Console

from demand_forecast.defs.features.assets import ATTRIBUTE_TABLES
from demand_forecast.defs.features.contract import read_contract, read_how, read_plans
from demand_forecast.defs.features.vintages import read_vintages
from demand_forecast.defs.project import Project, code_version
from demand_forecast.domain.features import FeatureContract, build_demand_features
from demand_forecast.domain.models import ForecastModel, family, load_model
from demand_forecast.domain.models.training_rows import newest_origin, training_rows
from demand_forecast.lake.tables import Lake
from demand_forecast.settings import Settings
from demand_forecast.tracking.registry import ModelVersion


def reproduce_version(settings: Settings, version: str, out: Console) -> bool:
    """Rebuilds the features of a registered version from the recorded versions of its tables, trains the same recipe on
    them and compares both models' forecasts of the next days; True if features and forecasts are equal.

    Nothing is written. Raises LakeError where a recorded table version is gone, RegistryError where there is no such
    version, or it does not say what it was trained on.
    """
    project = Project(config=str(settings.path))
    registered = project.tracking.version(version)
    versions, code = json.loads(registered.tag("data_versions")), registered.tag("code_version")
    _print_fact(out, f"version {version}", f"{registered.model}, trained for {registered.tag('forecast_origin')}")
    same_code = code == code_version()
    was = "" if same_code else f" (then {code}: check out that code if models differ)"
    _print_fact(out, "code", f"{code_version()}, {'the same' if same_code else 'another'}{was}")
    recorded, contract = _recorded(project.lake, versions["demand_features"])
    rebuilt = _rebuilt(project.lake, versions, contract)
    made_of = _made_of(project.lake, versions)
    equal_features = rebuilt.equals(recorded)
    _print_fact(out, "features", f"{len(rebuilt):,} rows from {made_of}: {'equal' if equal_features else 'NOT equal'}")
    started = perf_counter()
    again, before = _both(project, registered, rebuilt, contract)
    _print_fact(out, "training", f"{perf_counter() - started:.1f} s")
    rows = rebuilt.filter(~pl.col("training") & (pl.col("forecast_origin") == newest_origin(rebuilt)))
    first, second = before.forecast(rows), again.proven(before.proof).forecast(rows)
    apart = float((first["mean"] - second["mean"]).abs().max() or 0.0)  # type: ignore[arg-type]
    equal = first.equals(second)
    verdict = "equal to the last bit" if equal else f"NOT equal, means differ by up to {apart:g}"
    _print_fact(out, "forecasts", f"{len(rows):,} rows of mean and nine quantiles: {verdict}")
    return equal_features and equal


def _print_fact(out: Console, what: str, found: str) -> None:
    out.print(f"{what:<11} {found}", highlight=False, markup=False, soft_wrap=True)


def _recorded(lake: Lake, version: int) -> tuple[pl.DataFrame, FeatureContract]:
    return lake.read("demand_features", version), read_contract(lake, version)


def _made_of(lake: Lake, versions: dict[str, int]) -> str:
    plans = read_plans(lake.notes("demand_features", versions["demand_features"]))
    then = (f"clean_plan {number} at {origin}" for origin, number in plans.items())
    return ", ".join([*(f"{table} {number}" for table, number in versions.items()), *then])


def _rebuilt(lake: Lake, versions: dict[str, int], contract: FeatureContract) -> pl.DataFrame:
    demand, plan, *others = (lake.read(table, versions[table]) for table in ("daily_demand", *ATTRIBUTE_TABLES))
    notes = lake.notes("demand_features", versions["demand_features"])
    vintages = read_vintages(lake, read_plans(notes), plan)
    return build_demand_features(demand, plan, *others, **read_how(notes), previous=contract, vintages=vintages)[0]


def _both(
    project: Project, registered: ModelVersion, features: pl.DataFrame, contract: FeatureContract
) -> tuple[ForecastModel, ForecastModel]:
    """The model trained now, and the one that was registered."""
    with TemporaryDirectory() as folder:
        before = load_model(project.tracking.download(registered.version, Path(folder)))
    again = family(before.name)(**before.parameters)
    return again.fit(training_rows(features, newest_origin(features)), contract), before
