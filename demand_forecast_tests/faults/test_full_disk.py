"""A disk that is full while tables are written."""

import pytest

from demand_forecast_tests.behaviour.conftest import Shopkeeper
from demand_forecast_tests.faults.kills import a_new_day, completed, differences, inspect
from demand_forecast_tests.small_disk import Mount, fill

pytestmark = pytest.mark.slow  # whole runs of a retailer in processes


@pytest.mark.parametrize(
    ("disk", "spare", "words"),
    [
        ("home/lake", 30_000, ["not written to the lake", "No space left on device", "its last version is untouched"]),
        ("home", 100_000, ["home: the disk is full; free space there and run again"]),
    ],
    ids=["under the tables", "under everything"],
)
def test_a_full_disk_fails_the_night_and_costs_nothing(
    retailer: Shopkeeper, on_a_small_disk: Mount, undisturbed: Shopkeeper, disk: str, spare: int, words: list[str]
) -> None:
    on_a_small_disk(retailer.folder / disk)
    ballast = fill(retailer.folder / disk, spare)
    a_new_day(retailer)
    retailer.run("night").failed_with(*words)
    assert inspect(retailer)[1] == []
    ballast.unlink()
    assert completed(retailer, "night") == []
    assert not any(differences(retailer, undisturbed).values())
