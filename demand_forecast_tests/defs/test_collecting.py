"""raw_sales is collected exactly once, at the cost of what is new, whoever collects at the same time."""

import multiprocessing
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from demand_forecast.defs.project import Project, known_deliveries
from demand_forecast.defs.raw.assets import collect_new
from demand_forecast.sources.collecting.index import KNOWN, known_sales
from demand_forecast_tests.defs.arrivals import bring, collect
from demand_forecast_tests.landing_files import FIRST_DAY

ELEVENTH = FIRST_DAY + timedelta(days=10)


def collect_when_all_are_ready(config: str, barrier) -> None:
    project = Project(config=config)
    known_deliveries(project.lake)  # imports what is needed
    barrier.wait()
    collect_new(project, None, project.landing())


def test_two_threads_at_once_collect_once(project: Project) -> None:
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(collect_new, project, None, project.landing()) for _ in range(2)]:
            done.result()
    assert project.lake.read("raw_sales").height == 10 * 6


@pytest.mark.slow
def test_two_processes_at_once_collect_once(project: Project) -> None:
    bring(project, FIRST_DAY - timedelta(days=200), days=200)
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    pair = [spawn.Process(target=collect_when_all_are_ready, args=(project.config, barrier)) for _ in range(2)]
    for process in pair:
        process.start()
    for process in pair:
        process.join(120)
    assert [process.exitcode for process in pair] == [0, 0]
    assert project.lake.read("raw_sales").height == 210 * 6


def deliveries(project: Project) -> pl.DataFrame:
    return known_deliveries(project.lake).sort(*KNOWN)


def grouped_anew(project: Project) -> pl.DataFrame:
    return known_sales(project.lake.scan("raw_sales")).sort(*KNOWN)


def test_deliveries_are_what_grouping_all_rows_gives(project: Project) -> None:
    collect(project)
    report = project.settings.path.parent / "landing" / f"{FIRST_DAY}.csv"
    before = report.read_text()
    for text in (before.replace(",apple,4,", ",apple,44,"), before):
        report.write_text(text)
        collect(project)
        assert_frame_equal(deliveries(project), grouped_anew(project))
    assert deliveries(project).filter(report=f"landing/{FIRST_DAY}.csv").height == 2


def test_only_rows_added_since_are_read(project: Project) -> None:
    """The files of the first night are gone: whoever read them again would fail."""
    collect(project)
    raw = Path(project.lake.location("raw_sales"))
    first = {*raw.glob("**/*.parquet")}
    project.lake.append("raw_sales", project.lake.read("raw_sales").head(1).with_columns(report=pl.lit("later")))
    for file in first:
        file.rename(f"{file}.away")
    assert known_deliveries(project.lake).height == 11


def test_a_crash_between_the_two_tables_heals(project: Project) -> None:
    collect(project)
    held = Path(project.lake.location("raw_deliveries"))
    shutil.copytree(held, held.with_name("before"))
    bring(project, ELEVENTH)
    collect(project)
    shutil.rmtree(held)
    held.with_name("before").rename(held)
    collect(project)
    assert project.lake.read("raw_sales").height == 11 * 6
    assert_frame_equal(deliveries(project), grouped_anew(project))
    assert project.lake.notes("raw_deliveries") == {"raw_sales": str(project.lake.version("raw_sales"))}


def test_a_table_that_was_put_back_is_grouped_anew(project: Project) -> None:
    """Its version is older than the one that the deliveries were made of."""
    collect(project)
    raw = Path(project.lake.location("raw_sales"))
    shutil.copytree(raw, raw.with_name("backup"))
    bring(project, ELEVENTH)
    collect(project)
    shutil.rmtree(raw)
    raw.with_name("backup").rename(raw)
    assert known_deliveries(project.lake)["day"].max() == ELEVENTH - timedelta(days=1)
    collect(project)
    assert project.lake.read("raw_sales").height == 11 * 6
