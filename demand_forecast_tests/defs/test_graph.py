"""The asset graph as users rely on it, pinned: keys, dependencies, groups, kinds, checks, freshness, automation."""

from pathlib import Path

import dagster as dg
import pytest

from demand_forecast.definitions import defs

SNAPSHOT = Path(__file__).parent / "graph.txt"


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return defs()


def lines(definitions: dg.Definitions) -> list[str]:
    graph = definitions.resolve_asset_graph()
    return [
        line for node in sorted(graph.asset_nodes, key=lambda node: str(node.key)) for line in describe(graph, node)
    ]


def describe(graph, node) -> list[str]:
    name = node.key.to_user_string()
    partitioned = " daily" if node.partitions_def else ""
    checks = sorted(key.name + ("!" if graph.get(key).blocking else "") for key in node.check_keys)
    parents = sorted(key.to_user_string() for key in node.parent_keys)
    return [
        f"{name} [{node.group_name}]{partitioned} ({', '.join(sorted(node.kinds))})",
        f"  after: {', '.join(parents) or 'the sources'}",
        f"  checks: {', '.join(checks) or 'none'}",
        f"  fresh: {fresh(node.freshness_policy)}",
    ]


def fresh(policy) -> str:
    if isinstance(policy, dg.FreshnessPolicy) and hasattr(policy, "deadline_cron"):
        return f"by {policy.deadline_cron}"
    return f"within {policy.fail_window.to_timedelta()}" if policy else "not stated"


def test_the_graph_is_the_one_that_was_agreed(definitions) -> None:
    """After a wanted change: python -m demand_forecast_tests.defs.test_graph > demand_forecast_tests/defs/graph.txt"""
    assert lines(definitions) == SNAPSHOT.read_text(encoding="utf-8").splitlines()


def test_every_asset_says_what_it_is(definitions) -> None:
    for spec in definitions.resolve_all_asset_specs():
        assert len(spec.description or "") > 40, spec.key
        assert spec.owners, spec.key
        assert spec.kinds, spec.key
        assert spec.group_name != "default", spec.key


def test_jobs_schedules_and_sensors(definitions) -> None:
    repository = definitions.get_repository_def()
    jobs = {"whole_graph", "nightly", "collect", "training", "rollback", "reconcile"}
    assert jobs <= {job.name for job in definitions.resolve_all_job_defs()}
    assert [schedule.name for schedule in repository.schedule_defs] == ["every_morning", "every_night", "raw_deadline"]
    sensors = ["alerts", "flow", "landing", "ledger", "repairs", "retraining", "rollback"]
    assert sorted(sensor.name for sensor in repository.sensor_defs) == sensors
    assert repository.get_sensor_def("alerts").default_status == dg.DefaultSensorStatus.RUNNING


@pytest.mark.parametrize("job", ["nightly", "whole_graph"])
def test_no_night_reads_all_sources_again(definitions, job) -> None:
    selected = definitions.resolve_job_def(job).asset_layer.executable_asset_keys
    assert dg.AssetKey("reconciliation") not in selected


def test_the_nightly_job_trains_nothing(definitions) -> None:
    nightly = definitions.resolve_job_def("nightly")
    selected = {key.to_user_string() for key in nightly.asset_layer.executable_asset_keys}
    assert not selected & {"seasonal_naive", "gradient_boosting", "lightgbm", "backtest", "promoted_model"}
    assert {"raw_sales", "daily_demand", "demand_forecast", "reorder_plan", "forecast_service"} <= selected


def test_a_rollback_trains_nothing_and_serves_what_it_went_back_to(definitions) -> None:
    job = definitions.resolve_job_def("rollback")
    selected = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
    assert selected >= {"promoted_model", "demand_forecast", "reorder_plan", "forecast_service"}
    groups = {definitions.resolve_asset_graph().get(dg.AssetKey(name)).group_name for name in selected}
    assert groups == {"evaluation", "forecasts", "serving"}
    assert not selected & {"backtest", "evaluation_report", "group_forecast"}
    steps = {node.name for node in job.graph.nodes}
    assert any("champion_is_in_the_ledger" in step for step in steps)


if __name__ == "__main__":
    print("\n".join(lines(defs())))
