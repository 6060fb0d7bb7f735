"""What the landing sensor requests tick after tick, on a real instance: batches, retries, files that are not whole."""

import gzip
import os
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest

from demand_forecast.defs.project import Project
from demand_forecast.sources.collecting.history import span
from demand_forecast_tests.defs.arrivals import bring, collect, days, look, run, why_not
from demand_forecast_tests.landing_files import FIRST_DAY, write_reports

HEADER = "day,shop,sku,qty,price\n"
ELEVENTH = FIRST_DAY + timedelta(days=10)


@pytest.fixture
def instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral()


def files_source(project: Project) -> Path:
    return project.settings.path.parent / "landing"


def test_batches_come_oldest_first_and_none_twice(project_of: Callable[..., Project], tmp_path: Path, instance) -> None:
    write_reports(tmp_path, days=10)
    project, cursor, asked = project_of(automation={"batch_files": 4}), None, []
    for _ in range(4):
        said = look(project, instance, cursor)
        cursor, asked = said.cursor, asked + [days(request) for request in said.run_requests]
    day = [FIRST_DAY + timedelta(days=number) for number in range(10)]
    assert asked == [(day[0], day[3]), (day[4], day[7]), (day[8], day[9])]
    assert "10 files wait for the runs" in said.skip_reason.skip_message
    collect(project)
    assert '"open": []' in look(project, instance, cursor).cursor


@pytest.mark.slow
def test_ten_thousand_files_do_not_time_a_tick_out(
    project_of: Callable[..., Project], tmp_path: Path, instance
) -> None:
    (tmp_path / "landing").mkdir()
    for number in range(10_000):
        day, shop = FIRST_DAY - timedelta(days=400) + timedelta(days=number // 20), number % 20
        text = f"{HEADER}{day},{shop},apple,{number % 7},1.5\n"
        (tmp_path / "landing" / f"{day}_{shop:02}.csv").write_text(text, encoding="utf-8")
    project, cursor, asked, longest = project_of(), None, [], 0.0
    for _ in range(20):
        began = time.process_time()  # a busy machine is no slower tick
        said = look(project, instance, cursor)
        longest = max(longest, time.process_time() - began)
        cursor, asked = said.cursor, asked + [days(request) for request in said.run_requests]
    first = FIRST_DAY - timedelta(days=400)
    assert asked == [(first + timedelta(days=25 * n), first + timedelta(days=25 * n + 24)) for n in range(20)]
    assert look(project, instance, cursor).run_requests == []
    assert longest < 10, f"{longest:.1f} s"


def test_a_failed_run_is_requested_again_later_under_another_key(
    project_of: Callable[..., Project], tmp_path: Path, instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_reports(tmp_path, days=2)
    project = project_of()
    first = look(project, instance)
    run(instance, first.run_requests[0], fails=True)
    early = look(project, instance, first.cursor)
    assert early.run_requests == []
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 31 * 60)
    (again,) = look(project, instance, early.cursor).run_requests
    assert again.run_key == f"{first.run_requests[0].run_key}-2"
    assert days(again) == days(first.run_requests[0])


def test_a_run_that_succeeded_closes_its_request(project: Project, instance) -> None:
    first = look(project, instance)
    collect(project)
    run(instance, first.run_requests[0])
    bring(project, ELEVENTH)
    second = look(project, instance, first.cursor)
    assert [days(request) for request in second.run_requests] == [(ELEVENTH, ELEVENTH)]
    assert second.cursor.count('"key"') == 1


def test_a_repaired_file_is_another_request_and_one_put_back_another_still(project: Project) -> None:
    report = files_source(project) / f"{FIRST_DAY}.csv"
    text, keys = report.read_text(), []
    for said in (text, text.replace(",apple,4,", ",apple,44,"), text):
        report.write_text(said)
        (request,) = look(project).run_requests
        keys.append(request.run_key)
        collect(project)
    assert len({*keys}) == 3


def test_copies_of_what_is_held_request_nothing(project: Project) -> None:
    collect(project)
    folder = files_source(project)
    (folder / "copy.csv").write_bytes((folder / f"{FIRST_DAY}.csv").read_bytes())
    (folder / f"{FIRST_DAY}.csv").touch()
    assert why_not(project) == "Nothing new in the sources."


def test_an_unchanged_file_is_not_opened(project: Project) -> None:
    """Its content is changed behind the back of size and time, which only a look inside could tell."""
    collect(project)
    report = files_source(project) / f"{FIRST_DAY}.csv"
    seen = report.stat()
    report.write_text(report.read_text().replace(",apple,4,", ",apple,5,"))
    os.utime(report, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert why_not(project) == "Nothing new in the sources."
    project.home.landing.unlink()
    assert days(look(project).run_requests[0]) == (FIRST_DAY, FIRST_DAY)


def test_what_a_file_says_stays_known_after_nights_that_did_not_look_into_it(project: Project) -> None:
    """Else each night would read all of history to learn where it begins."""
    collect(project)
    bring(project, ELEVENTH)
    collect(project)
    for file in files_source(project).glob("*.csv"):
        seen = file.stat()
        file.write_text("x" * seen.st_size)
        os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert span(project.settings, project.landing()) == (FIRST_DAY, ELEVENTH)


@pytest.mark.parametrize("memory", [b"", b"{", b"[1, 2]", b'{"hashes": {"a": 3}, "contents": {}}', b"\xff"])
def test_a_damaged_memory_is_as_good_as_none(project: Project, memory: bytes) -> None:
    collect(project)
    project.home.landing.write_bytes(memory)
    assert why_not(project) == "Nothing new in the sources."


def test_files_that_are_not_whole_are_named_and_left(project: Project) -> None:
    collect(project)
    whole = gzip.compress((HEADER + f"{ELEVENTH},north,apple,1,1.5\n" * 500).encode())
    (files_source(project) / f"{ELEVENTH}.csv").write_bytes(whole[:-20])
    for _ in range(2):
        assert f"landing/{ELEVENTH}.csv: the compressed file is cut short" in why_not(project)
    collect(project)
    assert project.lake.read("raw_sales").height == 60
    (files_source(project) / f"{ELEVENTH}.csv").write_bytes(whole)
    assert days(look(project).run_requests[0]) == (ELEVENTH, ELEVENTH)


def test_a_file_that_is_being_written_is_left_until_it_rests(
    project_of: Callable[..., Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_reports(tmp_path, days=1)
    monkeypatch.delenv("DEMAND_FORECAST_AUTOMATION__SETTLE_SECONDS")
    project = project_of(automation={"settle_seconds": 2})
    assert f"{FIRST_DAY}.csv: changed" in why_not(project)
    collect(project)
    assert not project.lake.exists("raw_sales") or project.lake.read("raw_sales").is_empty()
    time.sleep(2.1)
    assert days(look(project).run_requests[0]) == (FIRST_DAY, FIRST_DAY)


def test_a_file_that_cannot_be_read_is_for_a_run_to_tell(project: Project, instance) -> None:
    """A sensor that failed every minute would be seen by nobody; a failed run is."""
    collect(project)
    renamed = files_source(project) / f"{ELEVENTH}.csv"
    renamed.write_text(f"day,shop,sku,quantity,price\n{ELEVENTH},north,apple,1,1.5\n")
    said = look(project, instance)
    assert len(said.run_requests) == 1
    assert look(project, instance, said.cursor).run_requests == []
    with pytest.raises(ValueError, match=rf"{ELEVENTH}\.csv: no column 'qty'; did you mean 'quantity'.*Columns here"):
        collect(project)
    renamed.write_text(f"day,shop,sku,qty,price\n{ELEVENTH},north,apple,1,1.5\n")
    (request,) = look(project, instance, said.cursor).run_requests
    assert days(request) == (ELEVENTH, ELEVENTH)


def test_a_folder_that_never_had_a_file_is_said(project_of: Callable[..., Project]) -> None:
    assert "matches no file" in why_not(project_of())


def test_a_folder_emptied_by_its_owner_is_no_trouble(project: Project) -> None:
    collect(project)
    for file in files_source(project).iterdir():
        file.unlink()
    assert "matches no file" in why_not(project)
    collect(project)
    assert project.lake.read("raw_sales").height == 60


def test_the_daemon_accepts_what_the_sensors_say(project: Project) -> None:
    from demand_forecast.definitions import defs

    definitions = defs()
    sensor = definitions.get_sensor_def("landing")
    with dg.build_sensor_context(
        dg.DagsterInstance.ephemeral(), definitions=definitions, resources={"project": project}
    ) as context:
        (request,) = sensor.evaluate_tick(context).run_requests
    assert request.job_name == "whole_graph"
    assert days(request) == (FIRST_DAY, date(2025, 3, 12))
