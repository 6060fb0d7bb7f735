"""A retailer after its first run and after the night that follows; what may change is a copy."""

import shutil
from pathlib import Path

import pytest

from demand_forecast_tests.behaviour.conftest import Shopkeeper
from demand_forecast_tests.conftest import Once
from demand_forecast_tests.faults.kills import NIGHTS, a_new_day, completed


@pytest.fixture(scope="session")
def first_run(once: Once) -> Shopkeeper:
    def make(folder: Path) -> None:
        NIGHTS[0].happens(Shopkeeper(folder))
        assert completed(Shopkeeper(folder), "run") == []

    return Shopkeeper(once("first_run", make))


@pytest.fixture(scope="session")
def undisturbed(once: Once, first_run: Shopkeeper) -> Shopkeeper:
    """After the night of one new day."""

    def make(folder: Path) -> None:
        shutil.copytree(first_run.folder, folder, dirs_exist_ok=True)
        a_new_day(Shopkeeper(folder))
        assert completed(Shopkeeper(folder), "night") == []

    return Shopkeeper(once("undisturbed", make))


@pytest.fixture
def retailer(first_run: Shopkeeper, tmp_path: Path) -> Shopkeeper:
    """A copy of the retailer after its first run."""
    shutil.copytree(first_run.folder, tmp_path / "retailer")
    return Shopkeeper(tmp_path / "retailer")
