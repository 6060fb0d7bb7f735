"""What the reconcile job finds in the sources, repairs and has run after it; with real runs of its job."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from demand_forecast.defs.automation.arrival import request_repaired
from demand_forecast.defs.project import Project
from demand_forecast.defs.raw.reconciliation import reconciliation
from demand_forecast_tests.defs.arrivals import bring, collect, days
from demand_forecast_tests.landing_files import CONFIG, FIRST_DAY, write_reports

ELEVENTH = FIRST_DAY + timedelta(days=10)
PLAN = "day,sku,promo\n2025-03-20,apple,1\n"


@pytest.fixture
def project(project_of: Callable[..., Project], tmp_path: Path) -> Project:
    """Ten days of reports and a plan were collected."""
    write_reports(tmp_path, days=10)
    (tmp_path / "plan.csv").write_text(PLAN)
    plan = {"path": "plan.csv", "columns": {"date": "day", "product_id": "sku", "promo": "promo"}}
    project = project_of(sources=[CONFIG["sources"][0] | {"plan": plan}], covariates={"known_future": ["promo"]})
    collect(project)
    reconcile(project)  # collects the plan
    reconcile(project)
    return project


def reconcile(project: Project) -> pl.DataFrame:
    specs = [dg.AssetSpec(key) for key in ("raw_sales", "raw_products", "raw_stores", "raw_plan", "raw_stock")]
    assert dg.materialize(
        [*specs, reconciliation], resources={"project": project}, selection=["reconciliation"]
    ).success
    return project.lake.read("reconciliation")


def report_of(project: Project, day=FIRST_DAY) -> Path:
    return project.settings.path.parent / "landing" / f"{day}.csv"


def found(project: Project) -> list[tuple]:
    return reconcile(project).select("table", "report", "day", "finding", "rows", "repaired").rows()


def test_nothing_differs_after_a_collected_night(project: Project) -> None:
    assert found(project) == []


def test_a_day_that_the_sensor_missed_is_collected(project: Project) -> None:
    bring(project, ELEVENTH)
    assert found(project) == [("sales", f"landing/{ELEVENTH}.csv", ELEVENTH, "missing", 6, True)]
    assert project.lake.read("raw_sales").height == 66
    assert found(project) == []


def test_content_changed_behind_size_and_time_is_collected(project: Project) -> None:
    report, seen = report_of(project), report_of(project).stat()
    report.write_text(report.read_text().replace(",apple,4,", ",apple,5,"))
    os.utime(report, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    collect(project)
    assert project.lake.read("raw_sales").height == 60
    assert found(project) == [("sales", f"landing/{FIRST_DAY}.csv", FIRST_DAY, "other content", 6, True)]
    assert project.lake.read("raw_sales").height == 66


def test_what_the_owner_took_away_is_told_and_kept(project: Project) -> None:
    report_of(project).unlink()
    assert found(project) == [("sales", f"landing/{FIRST_DAY}.csv", FIRST_DAY, "no longer in the source", 6, False)]
    for file in report_of(project).parent.iterdir():
        file.unlink()
    assert [row[3] for row in found(project)] == ["no longer in the source"] * 10
    assert project.lake.read("raw_sales").height == 60


def test_a_renamed_file_is_no_loss(project: Project) -> None:
    report_of(project).rename(report_of(project).with_name("renamed.csv"))
    assert found(project) == []
    assert project.lake.read("raw_sales").height == 60


def test_a_file_that_is_not_whole_is_told(project: Project) -> None:
    report_of(project, ELEVENTH).write_bytes(b"\x1f\x8bcut")
    assert found(project) == [("sales", f"landing/{ELEVENTH}.csv", None, "not whole", None, False)]


def test_another_plan_is_collected(project: Project) -> None:
    version = project.lake.version("raw_plan")
    (project.settings.path.parent / "plan.csv").write_text(PLAN + "2025-03-21,apple,1\n")
    assert found(project) == [("plan", "plan.csv", None, "other content", 2, True)]
    assert project.lake.read("raw_plan").height == 2
    assert project.lake.version("raw_plan") == version + 1
    assert found(project) == []


def test_repaired_days_are_run(project: Project) -> None:
    instance = dg.DagsterInstance.ephemeral()

    def look(cursor: str | None) -> dg.SensorResult | dg.SkipReason:
        with dg.build_sensor_context(instance, cursor, resources={"project": project}) as context:
            return request_repaired(context, project)

    assert isinstance(look(None), dg.SkipReason)
    bring(project, ELEVENTH, days=2)
    reconcile(project)
    said = look(None)
    assert [days(request) for request in said.run_requests] == [(ELEVENTH, ELEVENTH + timedelta(days=1))]
    assert isinstance(look(said.cursor), dg.SkipReason)
