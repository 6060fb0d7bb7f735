"""A retailer after its first run and after the night that follows, each made once; what may change is a copy."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from demand_forecast_tests.behaviour.conftest import Shopkeeper
from demand_forecast_tests.faults.kills import NIGHTS, a_new_day, completed


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """A small retailer's models are not faster with more, and on a busy machine far slower."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


Make = Callable[[str, Callable[[Path], None]], Shopkeeper]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Make:
    """`once(name, make)`: the retailer in the folder that `make` fills, whichever of the test processes is first."""
    base = tmp_path_factory.getbasetemp()
    place = base if worker_id == "master" else base.parent

    def made(name: str, make: Callable[[Path], None]) -> Shopkeeper:
        folder = place / name
        with folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                make(folder)
        return Shopkeeper(folder)

    return made


@pytest.fixture(scope="session")
def first_run(once: Make) -> Shopkeeper:
    def make(folder: Path) -> None:
        NIGHTS[0].happens(Shopkeeper(folder))
        assert completed(Shopkeeper(folder), "run") == []

    return once("first_run", make)


@pytest.fixture(scope="session")
def undisturbed(once: Make, first_run: Shopkeeper) -> Shopkeeper:
    """After the night of one new day."""

    def make(folder: Path) -> None:
        shutil.copytree(first_run.folder, folder)
        a_new_day(Shopkeeper(folder))
        assert completed(Shopkeeper(folder), "night") == []

    return once("undisturbed", make)


@pytest.fixture
def retailer(first_run: Shopkeeper, tmp_path: Path) -> Shopkeeper:
    """A copy of the retailer after its first run."""
    shutil.copytree(first_run.folder, tmp_path / "retailer")
    return Shopkeeper(tmp_path / "retailer")
