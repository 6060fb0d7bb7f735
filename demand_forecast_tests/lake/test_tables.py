from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Barrier

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from demand_forecast.lake.tables import Lake, LakeError
from demand_forecast_tests.small_disk import Mount, fill


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def sales(*units: float) -> pl.DataFrame:
    days = [date(2024, 2, 27 + i) if i < 3 else date(2024, 3, i) for i in range(len(units))]
    return pl.DataFrame(
        {
            "date": days,
            "store_id": pl.Series(["S1"] * len(units), dtype=pl.String),
            "units": pl.Series(units, dtype=pl.Float32),
            "arrived_at": pl.Series([datetime(2024, 3, 1, tzinfo=UTC)] * len(units), dtype=pl.Datetime("us", "UTC")),
        }
    )


def test_what_is_written_is_read_with_its_types(lake: Lake) -> None:
    lake.replace("clean_sales", sales(1, 2.5, 0))
    assert_frame_equal(lake.read("clean_sales"), sales(1, 2.5, 0))


def test_equal_content_keeps_the_version_and_other_content_makes_one(lake: Lake) -> None:
    assert lake.replace("clean_sales", sales(1, 2)) == 0
    assert lake.replace("clean_sales", sales(1, 2)) == 0
    assert lake.replace("clean_sales", sales(1, 3)) == 1


def test_notes_are_kept_with_the_version_they_were_written_with(lake: Lake) -> None:
    lake.replace("demand_features", sales(1), notes={"contract": "{}"})
    assert lake.replace("demand_features", sales(1), notes={"contract": "[1]"}) == 1
    assert lake.notes("demand_features") == {"contract": "[1]"}


def test_an_earlier_version_stays_readable(lake: Lake) -> None:
    lake.replace("clean_sales", sales(1))
    lake.replace("clean_sales", sales(2).with_columns(price=pl.lit(3.0)))
    assert_frame_equal(lake.read("clean_sales", version=0), sales(1))
    assert lake.versions(["clean_sales", "raw_sales"]) == {"clean_sales": 1}


def test_appended_frames_are_one_commit(lake: Lake) -> None:
    assert lake.append("raw_sales", (sales(i) for i in range(5))) == 5
    assert lake.version("raw_sales") == 0
    assert lake.read("raw_sales")["units"].sort().to_list() == [0, 1, 2, 3, 4]


def test_nothing_to_append_is_no_commit_but_makes_the_table(lake: Lake) -> None:
    assert lake.append("raw_sales", sales()) == 0
    assert lake.read("raw_sales").schema == sales().schema
    lake.append("raw_sales", sales())
    assert lake.version("raw_sales") == 0


def test_a_new_column_widens_the_table(lake: Lake) -> None:
    lake.append("raw_sales", sales(1))
    lake.append("raw_sales", sales(2).with_columns(invoice=pl.lit("A1")))
    assert lake.read("raw_sales").sort("units")["invoice"].to_list() == [None, "A1"]


def test_a_failure_while_appending_leaves_the_last_version(lake: Lake) -> None:
    lake.append("raw_sales", sales(1))

    def broken() -> object:
        yield sales(2)
        raise OSError("source went away")

    with pytest.raises(Exception, match="source went away"):
        lake.append("raw_sales", broken())  # type: ignore[arg-type]
    assert lake.read("raw_sales")["units"].to_list() == [1]


def test_a_full_disk_leaves_the_last_version_and_with_room_again_it_is_written(
    lake: Lake, tmp_path: Path, on_a_small_disk: Mount
) -> None:
    rows = pl.DataFrame({"units": range(100_000)})
    lake.append("units", [rows])
    on_a_small_disk(tmp_path / "lake")
    ballast = fill(tmp_path / "lake", 30_000)
    for write in (lambda: lake.append("units", [rows]), lambda: lake.replace("units", rows.reverse())):
        with pytest.raises(LakeError, match=r"units: not written to the lake .* last version is untouched.*No space"):
            write()
    assert_frame_equal(lake.read("units"), rows)
    ballast.unlink()
    lake.append("units", [rows])
    assert lake.read("units").height == 200_000


def test_a_missing_table_is_named_with_its_repair(lake: Lake) -> None:
    with pytest.raises(LakeError, match=r"clean_sales.*materialise the asset clean_sales"):
        lake.read("clean_sales")


def test_the_days_since_are_replaced_and_those_before_stay(lake: Lake) -> None:
    lake.replace("daily_demand", sales(1, 2, 3, 4))
    tail = sales(1, 2, 3, 4)[2:].with_columns(units=pl.lit(9, pl.Float32))
    assert lake.replace_since("daily_demand", tail, date(2024, 2, 29)) == 1
    assert lake.replace_since("daily_demand", tail, date(2024, 2, 29)) == 1
    assert lake.read("daily_demand").sort("date")["units"].to_list() == [1, 2, 9, 9]
    with pytest.raises(LakeError, match="rows before 2024-02-29"):
        lake.replace_since("daily_demand", sales(1), date(2024, 2, 29))


def test_notes_of_the_days_since_make_a_version_of_their_own(lake: Lake) -> None:
    lake.replace_since("clean_sales", sales(1), date(2024, 2, 27), notes={"raw": "1"})
    assert lake.replace_since("clean_sales", sales(1), date(2024, 2, 27), notes={"raw": "2"}) == 1
    assert lake.notes("clean_sales") == {"raw": "2"}


def test_what_was_appended_since_a_version_is_read_alone(lake: Lake) -> None:
    lake.append("raw_sales", sales(1, 2))
    lake.append("raw_sales", sales(3))
    lake.append("raw_sales", sales(4).with_columns(invoice=pl.lit("A1")))
    added = lake.added_since("raw_sales", 0)
    assert added is not None
    assert added.sort("units").select("units", "invoice").collect().rows() == [(3, None), (4, "A1")]
    assert lake.added_since("raw_sales", 2).collect().is_empty()  # type: ignore[union-attr]
    assert lake.added_since("raw_sales", 7) is None


def test_nothing_is_said_to_be_appended_where_rows_were_replaced(lake: Lake) -> None:
    lake.replace("clean_sales", sales(1, 2))
    lake.replace_since("clean_sales", sales(1, 5)[1:], date(2024, 2, 28))
    assert lake.added_since("clean_sales", 0) is None


def test_the_first_day_of_which_the_table_says_something_else(lake: Lake) -> None:
    assert lake.first_change("clean_stock", None) is None
    lake.replace("clean_stock", sales(1, 2, 3, 4))
    assert lake.first_change("clean_stock", None) == date.min
    assert lake.first_change("clean_stock", 0) is None
    lake.replace("clean_stock", sales(1, 2, 5, 4))
    assert lake.first_change("clean_stock", 0) == date(2024, 2, 29)
    lake.replace_since("clean_stock", sales(1, 2, 3, 4)[3:].with_columns(units=pl.lit(7, pl.Float32)), date(2024, 3, 3))
    lake.replace_since("clean_stock", sales(1, 2, 3, 4)[2:], date(2024, 2, 29))
    assert lake.first_change("clean_stock", 1) == date(2024, 2, 29)
    assert lake.first_change("clean_stock", 0) is None, "compared by content: the days are as they were"
    lake.replace("clean_stock", sales(1, 2).with_columns(price=pl.lit(1.0)))
    assert lake.first_change("clean_stock", 2) == date.min


def test_writers_that_meet_take_turns(lake: Lake) -> None:
    """Each of four replaces the same last day at the same time; without a second try all but one fail."""
    lake.replace("daily_demand", sales(1, 2, 3))
    meet = Barrier(4)

    def write(units: int) -> None:
        meet.wait()
        lake.replace_since("daily_demand", sales(1, 2, units).tail(1), date(2024, 2, 29))

    with ThreadPoolExecutor(4) as writers:
        list(writers.map(write, (10, 11, 12, 13)))
    assert lake.version("daily_demand") == 4
    assert lake.read("daily_demand").height == 3


def test_many_small_files_become_one_and_nothing_changes(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demand_forecast.lake.tables.MANY_FILES", 3)
    days = [date(2024, 3, 1) + timedelta(days=number) for number in range(6)]
    for day in days:
        version = lake.replace_since(
            "daily_demand", sales(1).with_columns(date=pl.lit(day)), day, notes={"day": str(day)}
        )
    assert len(pl.read_delta(lake.location("daily_demand"))) == len(days)
    assert lake.read("daily_demand")["date"].sort().to_list() == days
    assert lake.notes("daily_demand") == {"day": str(days[-1])}
    assert version > len(days) - 1, "a compaction is a version"
    assert lake.first_change("daily_demand", 2) == days[3]
    assert lake.first_change("daily_demand", version) is None
