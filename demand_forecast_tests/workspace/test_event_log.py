"""The event log that writes in batches against Dagster's own, which writes one by one."""

import sqlite3
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from demand_forecast.workspace.event_log import BatchedSqliteEventLogStorage
from demand_forecast.workspace.home import Home

DAYS = dg.DailyPartitionsDefinition(start_date="2024-01-01", end_date="2024-01-14")
OWN = "telemetry: {enabled: false}\n"  # Dagster's own event log


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def raw_sales(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    for day in context.partition_keys:
        context.add_asset_metadata({"dagster/partition_row_count": int(day[-2:])}, partition_key=day)
    return dg.MaterializeResult(metadata={"rows_added": 7}, tags={"night": "first"})


@dg.asset(deps=["raw_sales"])
def clean_sales() -> None: ...


@dg.asset_check(asset="clean_sales")
def counted() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


CHECK = dg.AssetCheckKey(clean_sales.key, "counted")


def instance_below(folder: Path, monkeypatch: pytest.MonkeyPatch, yaml: str | None = None) -> dg.DagsterInstance:
    home = Home(folder)
    for name in home.environment():
        monkeypatch.setenv(name, "")
    home.prepare()
    if yaml is not None:
        (home.dagster / "dagster.yaml").write_text(yaml)
    return dg.DagsterInstance.get()


def run(instance: dg.DagsterInstance, first: str, last: str) -> dg.ExecuteInProcessResult:
    bound = dg.Definitions(
        assets=[raw_sales, clean_sales], asset_checks=[counted], jobs=[dg.define_asset_job("all", selection="*")]
    )
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    return bound.resolve_job_def("all").execute_in_process(instance=instance, tags=tags)


def told(instance: dg.DagsterInstance, run_id: str) -> dict[str, Any]:
    """What the instance says of the assets and of the run."""
    key = raw_sales.key
    records = instance.get_event_records(dg.EventRecordsFilter(dg.DagsterEventType.ASSET_MATERIALIZATION, key))
    planned = dg.EventRecordsFilter(dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED, key)
    found = {record.partition_key: record.asset_materialization for record in records}
    last = instance.get_latest_materialization_event(key)
    return {
        "partitions": sorted(instance.get_materialized_partitions(key)),
        "rows": {day: made and made.metadata["dagster/partition_row_count"].value for day, made in found.items()},
        "tags": {day: made and made.tags["night"] for day, made in found.items()},
        "planned": sorted(str(record.partition_key) for record in instance.get_event_records(planned)),
        "last": last and last.get_dagster_event().partition,
        "statuses": _statuses(instance),
        "run": [event.dagster_event_type for event in instance.all_logs(run_id) if event.is_dagster_event],
        "checks": sorted(map(str, instance.event_log_storage.get_asset_check_summary_records([CHECK]))),
        "unpartitioned": instance.get_latest_materialization_event(clean_sales.key) is not None,
    }


def _statuses(instance: dg.DagsterInstance) -> dict[str, str]:
    found = instance.get_status_by_partition(raw_sales.key, DAYS.get_partition_keys(), DAYS) or {}
    return {day: str(status) for day, status in found.items() if status}


def test_a_batch_says_what_single_events_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = []
    for name, yaml in (("own", OWN), ("batched", None)):
        with instance_below(tmp_path / name, monkeypatch, yaml) as instance:
            first = run(instance, "2024-01-01", "2024-01-12")
            said.append(told(instance, first.run_id))
            second = run(instance, "2024-01-13", "2024-01-13")
            said.append(told(instance, second.run_id))
    assert said[2:] == said[:2]
    assert len(said[0]["partitions"]) == 12
    assert said[0]["statuses"] == dict.fromkeys(said[0]["partitions"], "AssetPartitionStatus.MATERIALIZED")
    assert said[1]["partitions"] == [*said[0]["partitions"], "2024-01-13"]


def test_more_days_are_no_more_transactions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    connect = BatchedSqliteEventLogStorage._connect

    def counted_connect(self: BatchedSqliteEventLogStorage, shard: str) -> Any:
        opened.append(shard)
        return connect(self, shard)

    with instance_below(tmp_path, monkeypatch) as instance:
        run(instance, "2024-01-01", "2024-01-02")
        monkeypatch.setattr(BatchedSqliteEventLogStorage, "_connect", counted_connect)
        run(instance, "2024-01-03", "2024-01-04")
        few = len(opened)
        run(instance, "2024-01-05", "2024-01-13")
    assert len(opened) - few <= few + 2


def test_a_batch_that_is_cut_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException): ...

    def killed(*_: object) -> None:
        raise Killed

    with instance_below(tmp_path, monkeypatch) as instance:
        run_id = run(instance, "2024-01-01", "2024-01-02").run_id
        made = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        before = rows(tmp_path)
        monkeypatch.setattr(BatchedSqliteEventLogStorage, "_store_asset_event", killed)  # the last that it does
        with pytest.raises(Killed):
            instance.event_log_storage.store_event_batch(made)
        assert len(made) == 3
    assert rows(tmp_path) == before


def rows(folder: Path) -> int:
    with sqlite3.connect(Home(folder).dagster / "history" / "runs" / "index.db") as log:
        return log.execute("select count(*) from event_logs").fetchone()[0]


def test_a_home_can_be_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with instance_below(tmp_path / "first", monkeypatch) as instance:
        run(instance, "2024-01-01", "2024-01-02")
    (tmp_path / "first").rename(tmp_path / "second")
    with instance_below(tmp_path / "second", monkeypatch) as instance:
        run(instance, "2024-01-03", "2024-01-03")
        assert len(instance.get_materialized_partitions(raw_sales.key)) == 3
    assert not (tmp_path / "first").exists()
