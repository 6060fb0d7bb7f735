"""When a run is requested, and over which days: the sensor and the schedule on a retailer's own files and lake."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg

from demand_forecast.defs.automation.arrival import every_night
from demand_forecast.defs.project import SALES_DAYS, Project
from demand_forecast.domain.tables import now
from demand_forecast.tracking.ledger import PromotionLedger
from demand_forecast_tests.defs.arrivals import bring, collect, days, tick, why_not
from demand_forecast_tests.landing_files import FIRST_DAY

TEN_DAYS = (FIRST_DAY, FIRST_DAY + timedelta(days=9))
ELEVENTH = FIRST_DAY + timedelta(days=10)
MORNING = datetime(2026, 5, 4, 3, tzinfo=UTC)


def tonight(project: Project) -> dg.RunRequest:
    return every_night(dg.build_schedule_context(resources={"project": project}, scheduled_execution_time=MORNING))


def promote_a_model(project: Project, folder: Path) -> None:
    tracking = project.tracking
    tracking.prepare()
    (folder / "model.json").write_text("{}")
    with tracking.run("a model", {}) as run:
        version = tracking.register(run.run_id, folder, {"model": "seasonal_naive", "fingerprint": "f"})
    decision = {
        "decided_at": now(),
        "decision": "promoted",
        "run_id": "r",
        "reasons": "the first",
        "to_version": version,
    }
    tracking.promote(decision, PromotionLedger(project.lake))


def test_without_a_lake_the_sensor_requests_the_whole_graph_over_all_days(project: Project) -> None:
    request = tick(project)
    assert (request.job_name, days(request)) == ("whole_graph", TEN_DAYS)


def test_nothing_new_is_skipped(project: Project) -> None:
    collect(project)
    assert why_not(project) == "Nothing new in the sources."


def test_a_new_report_requests_its_day_only(project: Project) -> None:
    collect(project)
    bring(project, ELEVENTH)
    assert days(tick(project)) == (ELEVENTH, ELEVENTH)


def test_a_corrected_report_requests_the_day_it_is_about(project: Project) -> None:
    collect(project)
    report = project.settings.path.parent / "landing" / f"{FIRST_DAY}.csv"
    report.write_text(report.read_text().replace(",apple,4,", ",apple,5,"))
    assert days(tick(project)) == (FIRST_DAY, FIRST_DAY)


def test_the_same_news_is_requested_under_the_same_key_until_it_is_collected(project: Project) -> None:
    first, again = tick(project), tick(project)
    collect(project)
    bring(project, ELEVENTH)
    assert first.run_key == again.run_key != tick(project).run_key


def test_more_news_is_another_request_though_nothing_was_collected(project: Project) -> None:
    first = tick(project)
    bring(project, ELEVENTH)
    assert tick(project).run_key != first.run_key


def test_a_day_that_is_not_over_is_not_requested(project: Project) -> None:
    collect(project)
    bring(project, datetime.now(UTC).date() + timedelta(days=1))
    assert why_not(project) == "Nothing new in the sources."


def test_days_before_the_first_partition_are_not_requested(project: Project) -> None:
    first = date.fromisoformat(SALES_DAYS.get_partition_keys()[0])
    bring(project, first - timedelta(days=3), days=5)
    assert days(tick(project)) == (first, TEN_DAYS[1])


def test_with_a_champion_the_sensor_requests_what_arrives_alone(project: Project, tmp_path: Path) -> None:
    collect(project)
    (tmp_path / "model").mkdir()
    promote_a_model(project, tmp_path / "model")
    bring(project, ELEVENTH)
    assert tick(project).job_name == "collect"


def test_the_schedule_runs_over_the_new_days(project: Project) -> None:
    collect(project)
    bring(project, ELEVENTH, days=3)
    request = tonight(project)
    assert days(request) == (ELEVENTH, ELEVENTH + timedelta(days=2))
    assert request.run_key == "2026-05-04"


def test_the_schedule_runs_over_the_last_day_held_when_nothing_is_new(project: Project) -> None:
    collect(project)
    assert days(tonight(project)) == (TEN_DAYS[1], TEN_DAYS[1])


def test_the_schedule_runs_though_a_source_cannot_be_read_for_the_run_says_so(project: Project) -> None:
    collect(project)
    bring(project, ELEVENTH)
    report = project.settings.path.parent / "landing" / f"{ELEVENTH}.csv"
    report.write_text(report.read_text().replace("qty", "quantity"))
    assert days(tonight(project))[1] >= TEN_DAYS[1]
