"""Two processes that run the same night at the same time."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from demand_forecast_tests.behaviour.conftest import Shopkeeper, outcome_of
from demand_forecast_tests.faults.kills import a_correction_and_a_new_day, a_new_day, completed, differences, inspect

pytestmark = pytest.mark.slow  # whole runs of a retailer in processes


@pytest.mark.parametrize("happens", [a_new_day, a_correction_and_a_new_day], ids=lambda happens: happens.__name__)
def test_two_at_once_are_as_good_as_one(
    retailer: Shopkeeper, undisturbed: Shopkeeper, tmp_path: Path, happens: Callable[[Shopkeeper], None]
) -> None:
    reference = undisturbed
    if happens is not a_new_day:
        reference = Shopkeeper(tmp_path / "reference")
        shutil.copytree(retailer.folder, reference.folder)
        happens(reference)
        assert completed(reference, "night") == []
    happens(retailer)
    for outcome in [outcome_of(process) for process in [retailer.start("night"), retailer.start("night")]]:
        assert "Traceback" not in outcome.said, outcome.said
        assert outcome.status == 0 or "✗" in outcome.said, outcome.said
        print(outcome.status, outcome.said)
    assert inspect(retailer)[1] == []
    assert not any(differences(retailer, reference).values())
