"""Commits that change no row: what was noted with the rows, and their version, hold on."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from demand_forecast.domain.tables import now
from demand_forecast.lake.tables import Lake, LakeError
from demand_forecast_tests.commit_times import commit_at

DAYS = [date(2024, 3, day) for day in (1, 2, 3)]
NOTES = {"made_of": "raw_sales 7"}


def sales(*units: float) -> pl.DataFrame:
    return pl.DataFrame({"date": DAYS[: len(units)], "units": units}, schema={"date": pl.Date, "units": pl.Float64})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A table of three versions."""
    lake = Lake(tmp_path)
    for units in (1.0, 2.0, 3.0):
        lake.replace("forecast", sales(units, 9), NOTES)
    return lake


def files(lake: Lake) -> int:
    return len([*Path(lake.location("forecast")).glob("*.parquet")])


def vacuum(lake: Lake) -> None:
    """As it is years after the versions before were replaced."""
    for log in Path(lake.location("forecast"), "_delta_log").glob("*.json"):
        log.write_text(re.sub(r'"deletionTimestamp":\d+', '"deletionTimestamp":0', log.read_text()))
    lake.forget("forecast", timedelta(days=14))


def optimize(lake: Lake) -> None:
    lake._open("forecast").optimize.z_order(["units"])


def set_properties(lake: Lake) -> None:
    lake._open("forecast").alter.set_table_properties({"delta.appendOnly": "false"})


def checkpoint(lake: Lake) -> None:
    lake._open("forecast").create_checkpoint()


def test_versions_that_are_forgotten_leave_no_files_once_they_are_old(lake: Lake) -> None:
    lake.forget("forecast", timedelta(days=14))
    assert files(lake) == 3
    vacuum(lake)
    assert files(lake) == 1
    assert lake.read("forecast")["units"].to_list() == [3, 9]
    with pytest.raises(LakeError, match=r"version 0 is gone from the lake .* restore it from a backup"):
        lake.read("forecast", 0)


MAINTENANCE = [vacuum, optimize, set_properties, checkpoint]


@pytest.mark.parametrize("maintain", MAINTENANCE)
def test_maintenance_leaves_notes_and_version_as_they_were(lake: Lake, maintain: Callable[[Lake], None]) -> None:
    maintain(lake)
    maintain(lake)
    assert lake.notes("forecast") == NOTES
    assert lake.version("forecast") == 2
    assert lake.first_change("forecast", 2) is None


@pytest.mark.parametrize("maintain", [None, *MAINTENANCE])
def test_the_version_at_a_moment_is_the_newest_rows_then(lake: Lake, maintain: Callable[[Lake], None] | None) -> None:
    first = datetime(2024, 3, 1, 12, tzinfo=UTC)
    for version in range(3):
        commit_at(lake, "forecast", version, first + timedelta(days=version))
    if maintain:
        maintain(lake)
    assert lake.version_at("forecast", first - timedelta(milliseconds=1)) is None
    assert lake.version_at("forecast", first) == 0
    assert lake.version_at("forecast", (first + timedelta(hours=30)).astimezone(ZoneInfo("Asia/Tokyo"))) == 1
    assert lake.version_at("forecast", now()) == lake.version("forecast") == 2
    assert lake.version_at("nothing", now()) is None


def test_rows_that_were_restored_count_from_then_on(lake: Lake) -> None:
    before = now()
    lake._open("forecast").restore(0)
    assert (lake.version_at("forecast", before), lake.version_at("forecast", now())) == (2, 3)
    assert_frame_equal(lake.read("forecast", 3), lake.read("forecast", 0))


def test_a_version_is_kept_until_its_files_are_deleted(lake: Lake) -> None:
    assert [lake.keeps("forecast", version) for version in range(3)] == [True] * 3
    vacuum(lake)
    assert [lake.keeps("forecast", version) for version in range(3)] == [False, False, True]


@pytest.mark.parametrize("maintain", MAINTENANCE)
def test_equal_content_is_not_written_again_after_maintenance(lake: Lake, maintain: Callable[[Lake], None]) -> None:
    maintain(lake)
    before = lake._open("forecast").version()
    assert lake.replace("forecast", sales(3, 9), NOTES) == 2
    assert lake.replace_since("forecast", sales(3, 9)[1:], DAYS[1], notes=NOTES) == 2
    assert lake._open("forecast").version() == before


@pytest.mark.parametrize("maintain", MAINTENANCE)
def test_a_write_after_maintenance_counts(lake: Lake, maintain: Callable[[Lake], None]) -> None:
    maintain(lake)
    version = lake.replace_since("forecast", sales(3, 5)[1:], DAYS[1])
    assert version == lake.version("forecast") == lake._open("forecast").version() > 2
    assert lake.notes("forecast") == {}
    assert lake.first_change("forecast", 2) == DAYS[1]


def test_rows_stay_readable_by_their_version_when_files_from_before_a_compaction_are_gone(lake: Lake) -> None:
    lake.append("forecast", sales(4))
    version = lake.version("forecast")
    lake._open("forecast").optimize.compact()
    lake._open("forecast").vacuum(0, dry_run=False, enforce_retention_duration=False)
    lake.append("forecast", sales(5))
    assert lake.read("forecast", version)["units"].sort().to_list() == [3, 4, 9]


def test_what_was_appended_is_not_described_by_the_notes_of_the_rows_before(lake: Lake) -> None:
    lake.append("forecast", sales(4))
    assert (lake.version("forecast"), lake.notes("forecast")) == (3, {})


def test_rows_that_were_dropped_are_not_described_by_the_notes_of_what_was_there(lake: Lake) -> None:
    lake.drop_before("forecast", DAYS[1])
    assert (lake.version("forecast"), lake.notes("forecast")) == (3, {})
    assert lake.replace("forecast", sales(3, 9), NOTES) == 4


def test_a_version_that_was_restored_has_its_notes_again(lake: Lake) -> None:
    lake.replace("forecast", sales(8), {"made_of": "raw_sales 8"})
    lake._open("forecast").restore(2)
    assert (lake.version("forecast"), lake.notes("forecast")) == (4, NOTES)
    assert lake.notes("forecast", 3) == {"made_of": "raw_sales 8"}
    assert lake.replace("forecast", sales(3, 9), NOTES) == 4
    assert lake.first_change("forecast", 2) is None
    assert lake.first_change("forecast", 3) == DAYS[0]
