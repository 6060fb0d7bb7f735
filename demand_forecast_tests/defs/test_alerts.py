"""The sensor on a real Dagster instance, its runs, checks and freshness daemon, down to a receiver on loopback."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG
from dagster._core.test_utils import create_test_daemon_workspace_context, freeze_time
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.freshness import FreshnessDaemon

from demand_forecast.defs.automation.alerts import alerts
from demand_forecast.defs.project import Project
from demand_forecast.tracking.ledger import LEDGER_SCHEMA
from demand_forecast.workspace.home import Home
from demand_forecast_tests.alerts.receivers import WebReceiver
from demand_forecast_tests.landing_files import write_config


class Orders(dg.Config):
    fail: bool = False


class Check(dg.Config):
    passed: bool = True
    severity: str = "ERROR"


@dg.asset(freshness_policy=dg.FreshnessPolicy.time_window(timedelta(hours=2), warn_window=timedelta(hours=1)))
def orders(config: Orders) -> None:
    if config.fail:
        raise ValueError("postgresql://me:s3cret@db/shop is down; start it\nand more")


@dg.asset_check(asset=orders)
def orders_are_sound(config: Check) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity(config.severity)
    return dg.AssetCheckResult(passed=config.passed, severity=severity, description="7 orders below zero")


definitions = dg.Definitions(assets=[orders], asset_checks=[orders_are_sound], jobs=[dg.define_asset_job("night")])


class Shop:
    """A home with its Dagster instance, and channels that all lead to one receiver."""

    def __init__(self, project: Project, instance: dg.DagsterInstance, receiver: WebReceiver) -> None:
        self.project, self.instance, self.receiver = project, instance, receiver
        self.cursor: str | None = None

    def tick(self, definitions: dg.Definitions = definitions) -> list[dict[str, Any]]:
        """What the receiver got at this tick."""
        before = len(self.receiver.taken)
        resources = {"project": self.project}
        with dg.build_sensor_context(
            self.instance, self.cursor, definitions=definitions, resources=resources
        ) as context:
            alerts(context)
            self.cursor = context.cursor
        return self.receiver.taken[before:]

    def run(self, fail: bool = False, **check: Any) -> str:
        ops = {"orders": {"config": {"fail": fail}}, "orders_orders_are_sound": {"config": check}}
        job = definitions.resolve_job_def("night")
        return job.execute_in_process({"ops": ops}, instance=self.instance, raise_on_error=False).run_id


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """After its first tick. A parameter says otherwise than that no run is retried."""
    for name in (*Home(tmp_path).environment(), "DEMAND_FORECAST_HOME"):
        monkeypatch.setenv(name, "")
    monkeypatch.delenv("DEMAND_FORECAST_HOME")
    with ExitStack() as stack:
        receiver = stack.enter_context(WebReceiver())
        channels = [{"kind": "webhook", "url": receiver.url}]
        config = write_config(tmp_path, alerts={"channels": channels, "ui": "http://ui:3000/"})
        project = Project(config=str(config))
        project.home.prepare()
        instance = project.home.dagster / "dagster.yaml"
        retries = getattr(request, "param", "max_retries: 0")
        instance.write_text(re.sub("max_retries: 2\n.*: false", retries, instance.read_text()))
        shop = Shop(project, stack.enter_context(dg.DagsterInstance.get()), receiver)
        assert shop.tick() == []
        yield shop


def test_history_alerts_nobody(shop: Shop) -> None:
    shop.run(fail=True)
    shop.run(passed=False)
    shop.cursor = None
    assert shop.tick() + shop.tick() == []
    assert not shop.project.lake.exists("alerts")


def test_a_failed_run_is_told_once_with_step_error_and_link_and_its_end_too(shop: Shop) -> None:
    run_id = shop.run(fail=True)
    (told,) = shop.tick()
    assert told["title"] == "Run of night failed at orders"
    assert told["text"] == "orders: ValueError: postgresql://***@db/shop is down; start it"
    assert told["link"] == f"http://ui:3000/runs/{run_id}"
    shop.run(fail=True)
    assert shop.tick() == []
    shop.run()
    assert [(one["key"], one["title"]) for one in shop.tick()] == [("run:orders", "Resolved: orders works again")]
    assert shop.tick() == []


def test_a_run_that_died_without_a_failing_step_is_told_by_its_job(shop: Shop) -> None:
    run = shop.instance.create_run_for_job(definitions.resolve_job_def("night"))
    shop.instance.report_run_failed(run, "Run worker was killed")
    (told,) = shop.tick()
    assert (told["title"], told["text"]) == ("Run of night failed", "Run worker was killed")
    shop.run()
    assert [one["key"] for one in shop.tick()] == ["run:job night"]


RETRIES = "max_retries: 1"


@pytest.mark.parametrize("shop", [RETRIES], indirect=True)
def test_a_run_that_is_retried_is_not_told_and_one_whose_retry_never_comes_is(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    retried = shop.run(fail=True)
    assert shop.tick() == []
    shop.instance.add_run_tags(
        retried, {AUTO_RETRY_RUN_ID_TAG: "the next"}
    )  # as the daemon does when it has launched it
    forgotten = shop.run(fail=True)
    assert shop.tick() == []
    monkeypatch.setattr("demand_forecast.defs.automation.alert_sources.runs.PATIENCE", timedelta(0))
    assert [one["link"] for one in shop.tick()] == [f"http://ui:3000/runs/{forgotten}"]


def test_a_check_that_fails_gets_worse_and_passes_again(shop: Shop) -> None:
    shop.run(passed=False, severity="WARN")
    (warned,) = shop.tick()
    assert (warned["kind"], warned["subject"]) == ("check_warning", "orders:orders_are_sound")
    assert warned["text"] == "7 orders below zero"
    assert warned["link"] == "http://ui:3000/assets/orders?view=checks&checkDetail=orders_are_sound"
    shop.run(passed=False)
    shop.run(fail=True)  # the check is planned and never comes to run
    assert {one["kind"] for one in shop.tick()} == {"check_failed", "run_failed"}
    shop.run()
    assert {one["title"] for one in shop.tick()} == {
        "Resolved: Check orders_are_sound of orders passes again",
        "Resolved: orders works again",
    }


def look_at_freshness(instance: dg.DagsterInstance, at: datetime) -> None:
    """What the freshness daemon does every 30 seconds."""
    origin = LoadableTargetOrigin(python_file=__file__, attribute="definitions")
    target = InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(origin))
    with create_test_daemon_workspace_context(target, instance) as workspace, freeze_time(at):
        list(FreshnessDaemon().run_iteration(workspace))


def test_freshness_that_the_daemon_finds_lost_is_told_and_that_it_is_back(shop: Shop) -> None:
    made = datetime.now(UTC)
    shop.run()
    told = []
    for minutes in (1, 70, 130):
        look_at_freshness(shop.instance, made + timedelta(minutes=minutes))
        told.append([(one["kind"], one["title"]) for one in shop.tick()])
    assert told == [
        [],
        [("freshness_warning", "orders will soon not be fresh any more")],
        [("freshness_lost", "orders is not fresh any more")],
    ]
    assert f"Last made {made:%Y-%m-%d}" in shop.receiver.taken[-1]["text"]
    assert "wanted every 2:00:00" in shop.receiver.taken[-1]["text"]
    with freeze_time(made + timedelta(minutes=131)):
        shop.instance.report_runless_asset_event(dg.AssetMaterialization("orders"))
    look_at_freshness(shop.instance, made + timedelta(minutes=132))
    assert [one["title"] for one in shop.tick()] == ["Resolved: orders is fresh again"]


def test_what_is_not_watched_any_more_is_over(shop: Shop) -> None:
    shop.run(passed=False)
    assert len(shop.tick()) == 1
    (over,) = shop.tick(dg.Definitions(assets=[orders]))
    assert (over["kind"], over["text"]) == ("check_failed", "It is not watched any more.")


def decide(shop: Shop, decision: str, before: str, after: str) -> None:
    line = dict.fromkeys(LEDGER_SCHEMA) | {"decided_at": datetime.now(UTC), "decision": decision, "run_id": "r"}
    line |= {"from_version": before, "to_version": after, "reasons": f"{decision}: worse than naive in 3 of 4 weeks"}
    shop.project.lake.append("promotion_ledger", pl.DataFrame([line], schema=LEDGER_SCHEMA))


def test_a_rollback_is_told_until_the_next_promotion(shop: Shop) -> None:
    decide(shop, "promoted", "3", "4")
    assert shop.tick() == []
    decide(shop, "rolled_back", "4", "3")
    (told,) = shop.tick()
    assert (told["kind"], told["title"]) == ("rollback", "Champion taken back: version 4 to 3")
    assert "3 of 4 weeks" in told["text"]
    assert shop.tick() == []
    decide(shop, "kept", "3", "5")
    assert shop.tick() == []
    decide(shop, "promoted", "3", "6")
    assert [one["kind"] for one in shop.tick()] == ["rollback"]


def test_a_source_that_fails_does_not_silence_the_others(shop: Shop) -> None:
    log = shop.project.home.lake / "promotion_ledger" / "_delta_log"
    log.mkdir(parents=True)
    (log / f"{0:020}.json").write_text("no delta")
    shop.run(fail=True)
    assert len(shop.tick()) == 1
    (log / f"{0:020}.json").unlink()
    decide(shop, "rolled_back", "4", "3")
    assert [one["kind"] for one in shop.tick()] == ["rollback"]


def test_a_failed_run_whose_events_are_unreadable_is_told_too(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.run(fail=True)
    monkeypatch.setattr(dg.DagsterInstance, "get_records_for_run", None)
    assert [one["title"] for one in shop.tick()] == ["Run of night failed"]


def test_many_failures_are_read_on_from_tick_to_tick(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demand_forecast.defs.automation.alert_sources.runs.MOST_RUNS", 2)
    shop.run(fail=True)
    shop.run()
    shop.run(fail=True)
    assert [one["state"] for one in shop.tick()] == []
    assert [one["state"] for one in shop.tick()] == ["raised"]
