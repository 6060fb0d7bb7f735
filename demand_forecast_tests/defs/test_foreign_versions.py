"""Versions in the registry that training here did not make: registered by hand, or by an earlier release."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import dagster as dg
import polars as pl
import pytest
from rich.console import Console

from demand_forecast.cli.reproduce import reproduce_version
from demand_forecast.defs.evaluation.assets import _candidates
from demand_forecast.defs.models.group_model import level_of
from demand_forecast.defs.monitoring.decisions import newest_row, retrain_decision
from demand_forecast.defs.project import Project
from demand_forecast.domain.evaluation.roles import CHAMPION
from demand_forecast.tracking.registry import RegistryError
from demand_forecast_tests.defs.registered import promote, register
from demand_forecast_tests.domain.small_retailer import DECLARED, make_retailer

DAY = date(2026, 3, 20)


@pytest.fixture(scope="module")
def features() -> Any:
    retailer = make_retailer(products=2)
    return retailer.features([retailer.last_day])


@pytest.fixture
def retailer(project_of: Callable[..., Project]) -> Project:
    """A retailer with a day of demand, whose registry is empty."""
    project = project_of(covariates=DECLARED)
    project.tracking.prepare()
    series = {"store_id": ["S1"], "product_id": ["P1"], "date": [DAY], "units": [1.0]}
    project.lake.replace("daily_demand", pl.DataFrame(series))
    return project


def by_hand(project: Project, features: Any, mark: str) -> str:
    """A model that serves, whose version nobody tagged."""
    version = register(project, features, DAY, mark)
    for tag in ("forecast_origin", "model"):
        project.tracking._client.delete_model_version_tag(project.tracking.name, version, tag)
    return version


def trained(project: Project) -> date | None:
    assert dg.materialize([retrain_decision], resources={"project": project}, raise_on_error=False).success
    row = newest_row(project, "retrain_decision")
    assert row
    return row["last_training"]


def test_the_last_training_is_that_of_the_versions_that_say_when_they_were_trained(
    retailer: Project, features: Any
) -> None:
    by_hand(retailer, features, "foreign")
    assert trained(retailer) is None
    register(retailer, features, DAY - timedelta(days=5), "ours")
    assert trained(retailer) == DAY - timedelta(days=5)


def test_a_champion_that_may_have_seen_the_days_is_backtested_by_its_recipe(retailer: Project, features: Any) -> None:
    promote(retailer, by_hand(retailer, features, "foreign"))
    defending = _candidates(retailer, features[1])[CHAMPION](DAY + timedelta(days=300))
    assert (defending.name, defending.is_fitted) == ("seasonal_naive", False)


@pytest.mark.parametrize("tag", ["forecast_origin", "code_version", "data_versions"])
def test_a_version_that_cannot_be_made_again_is_named_with_what_it_lacks(
    retailer: Project, features: Any, tag: str
) -> None:
    version = register(retailer, features, DAY, f"lacks {tag}")
    have = {"forecast_origin": str(DAY), "code_version": "c", "data_versions": '{"demand_features": 0}'}
    for name, value in have.items():
        retailer.tracking._client.set_model_version_tag(retailer.tracking.name, version, name, value)
    retailer.tracking._client.delete_model_version_tag(retailer.tracking.name, version, tag)
    with pytest.raises(RegistryError, match=rf"version {version} .*has no tag {tag}.*demand-forecast run"):
        reproduce_version(retailer.settings, version, Console(quiet=True))


def test_a_model_of_groups_without_its_level_is_named_with_its_repair(retailer: Project, features: Any) -> None:
    version = retailer.tracking.version(register(retailer, features, DAY, "groups"))
    with pytest.raises(RegistryError, match=rf"version {version.version} .*has no tag level"):
        level_of(version)
