"""The sensors follow what a kind of source can do, not its name: they watch kinds that they have never heard of."""

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from demand_forecast.defs.automation.arrival import landing_sensor, ledger_sensor, new_days
from demand_forecast.defs.automation.requests import Cursor, Request
from demand_forecast.defs.project import Project
from demand_forecast.sources.configured import read_sources
from demand_forecast_tests.defs.arrivals import collect, days, look, run
from demand_forecast_tests.folders_of_kinds import new_kinds
from demand_forecast_tests.landing_files import FIRST_DAY

__all__ = ["new_kinds"]

pytestmark = pytest.mark.usefixtures("new_kinds")
TILL = {"kind": "till", "folder": "tills", "sales": {"shop": "S7", "columns": {"store_id": "shop", "units": "qty"}}}
BOOK = {"kind": "book", "file": "book.json"}
SECOND_DAY = FIRST_DAY + timedelta(days=1)


def write_journal(folder: Path, day: date) -> None:
    (folder / "tills").mkdir(exist_ok=True)
    row = json.dumps({"date": str(day), "product_id": "P1", "qty": 3})
    (folder / "tills" / f"{day}.jsonl").write_text(row + "\n", encoding="utf-8")


def write_book(folder: Path, units: dict[date, int]) -> None:
    (folder / "book.json").write_text(json.dumps({str(day): number for day, number in units.items()}))


@pytest.mark.parametrize(("source", "watched"), [(TILL, (True, False)), (BOOK, (False, True))])
def test_a_sensor_is_there_for_what_a_source_can_do(
    project_of: Callable[..., Project], source: dict[str, Any], watched: tuple[bool, bool]
) -> None:
    sources = read_sources(project_of(sources=[source]).settings)
    assert (landing_sensor(sources) is not None, ledger_sensor(sources) is not None) == watched


def test_a_file_of_a_new_kind_is_noticed_and_collected(project_of: Callable[..., Project], tmp_path: Path) -> None:
    project, instance = project_of(sources=[TILL]), dg.DagsterInstance.ephemeral()
    landing = landing_sensor(read_sources(project.settings))
    write_journal(tmp_path, FIRST_DAY)
    first = look(project, instance, None, landing)
    assert [days(request) for request in first.run_requests] == [(FIRST_DAY, FIRST_DAY)]
    collect(project)
    run(instance, first.run_requests[0])
    assert project.lake.read("raw_sales").select("source", "store_id", "units").rows() == [("till", "S7", "3")]
    write_journal(tmp_path, SECOND_DAY)
    assert new_days(project) == new_days(project, batch=True) == (SECOND_DAY, SECOND_DAY)
    second = look(project, instance, first.cursor, landing)
    assert [days(request) for request in second.run_requests] == [(SECOND_DAY, SECOND_DAY)]


def test_totals_of_a_new_kind_are_asked_for(project_of: Callable[..., Project], tmp_path: Path) -> None:
    project, instance = project_of(sources=[BOOK]), dg.DagsterInstance.ephemeral()
    ledger = ledger_sensor(read_sources(project.settings))
    write_book(tmp_path, {FIRST_DAY: 3})
    first = look(project, instance, None, ledger)
    assert [days(request) for request in first.run_requests] == [(FIRST_DAY, FIRST_DAY)]
    collect(project)
    run(instance, first.run_requests[0])
    write_book(tmp_path, {FIRST_DAY: 3, SECOND_DAY: 5})
    assert new_days(project, batch=True) == (SECOND_DAY, SECOND_DAY)
    second = look(project, instance, first.cursor, ledger)
    assert [days(request) for request in second.run_requests] == [(SECOND_DAY, SECOND_DAY)]


def test_the_cursor_of_a_running_home_is_read_and_written_as_before() -> None:
    text = (
        '{"open": [{"key": "885a97d647cefae6", "first": "2023-10-02", "last": "2025-02-17", "news": ["e72914277daf"], '
        '"at": 1732831000.5, "attempt": 2}], "knows": {"sql": {"name": "sql", "held": {"2025-02-17": "3 4.0000 x"}, '
        '"newest": "2025-02-17", "looked_at": [null, "2023-10-02", "2025-02-17"]}}}'
    )
    cursor = Cursor.read(text)
    assert cursor.open == [
        Request("885a97d647cefae6", "2023-10-02", "2025-02-17", ["e72914277daf"], 1732831000.5, attempt=2)
    ]
    assert cursor.requested == {"e72914277daf"}
    assert cursor.write() == text
