"""Notes of the feature tables: contract, versions of their inputs, how they were built, what was unfamiliar."""

import json
from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Any

from demand_forecast.domain.features import FeatureContract, ForecastFeatures
from demand_forecast.lake.tables import Lake
from demand_forecast.settings import Covariates, Training


def feature_notes(
    contract: FeatureContract,
    inputs: Mapping[str, int],
    how: Mapping[str, Any],
    plans: Mapping[date, int] = MappingProxyType({}),
) -> dict[str, str]:
    """`contract`, `inputs` (table versions), `how` (arguments of `build_demand_features`) and `plans` (versions of
    clean_plan by the backtest origin that reads them) as JSON.
    """
    lines = {"inputs": dict(inputs), "how": _plain(how), "plans": {str(day): plans[day] for day in plans}}
    return {"contract": contract.to_json()} | {name: json.dumps(value) for name, value in lines.items()}


def _plain(how: Mapping[str, Any]) -> dict[str, Any]:
    days = [str(day) for day in how["origins"]]
    sections = {name: how[name].model_dump(mode="json") for name in ("covariates", "training")}
    return {**how, **sections, "origins": days}


def read_how(notes: Mapping[str, str]) -> dict[str, Any]:
    """The keyword arguments of `build_demand_features` in these notes. Raises KeyError where they have none."""
    how = json.loads(notes["how"])
    made = {"covariates": Covariates(**how["covariates"]), "training": Training(**how["training"])}
    return {**how, **made, "origins": [*map(date.fromisoformat, how["origins"])]}


def read_plans(notes: Mapping[str, str]) -> dict[date, int]:
    """The version of clean_plan by the backtest origin that reads it; others, and those of earlier releases, read the
    one among the inputs.
    """
    return {date.fromisoformat(day): version for day, version in json.loads(notes.get("plans", "{}")).items()}


def read_contract(lake: Lake, version: int | None = None) -> FeatureContract:
    """The contract of demand_features, current or at `version`. Raises LakeError without that table."""
    return FeatureContract.from_json(lake.notes("demand_features", version)["contract"])


def night_notes(made: ForecastFeatures, inputs: Mapping[str, int]) -> dict[str, str]:
    """Notes of forecast_features: its contract, the versions of its inputs, and the lines about what is unfamiliar."""
    lines = {"inputs": dict(inputs), "unfamiliar": made.unfamiliar, "ends": made.ends}
    return {"contract": made.contract.to_json()} | {name: json.dumps(value) for name, value in lines.items()}


def read_unfamiliar(lake: Lake) -> tuple[str, ...]:
    """What models did not know of the newest forecast_features. Raises LakeError without that table."""
    return tuple(json.loads(lake.notes("forecast_features").get("unfamiliar", "[]")))


def read_ends(lake: Lake) -> tuple[str, ...]:
    """Which columns of the plan end before the newest forecast_features. Raises LakeError without that table."""
    return tuple(json.loads(lake.notes("forecast_features").get("ends", "[]")))


def data_versions(lake: Lake) -> dict[str, int]:
    """The versions of demand_features and of its inputs. Raises LakeError without that table."""
    inputs: dict[str, int] = json.loads(lake.notes("demand_features")["inputs"])
    return inputs | lake.versions(["demand_features"])
