"""Five kills on every run of the tests; `make faults` makes fifty."""

import shutil
from pathlib import Path
from random import Random

import pytest

from demand_forecast_tests.behaviour.conftest import Shopkeeper
from demand_forecast_tests.faults.kills import NIGHTS, run_nights, undisturbed

pytestmark = pytest.mark.slow  # whole runs of a retailer in processes


def test_killed_anywhere_a_night_is_whole_or_absent_and_made_up_for(
    retailer: Shopkeeper, tmp_path: Path, first_run: Shopkeeper
) -> None:
    reference = Shopkeeper(tmp_path / "reference")
    shutil.copytree(first_run.folder, reference.folder)
    nights = NIGHTS[2:3]
    usual = undisturbed(reference, nights)
    verdict = run_nights(retailer, nights, 5, Random(7), usual, print)
    verdict.compare(retailer, reference)
    assert len(verdict.kills) == 5
    assert verdict.all_faults == [], verdict.table()
