"""What may be wrong, read from Dagster's instance and the promotion ledger. Each source gives alerts and sends nothing.

Checks and freshness are read as they stand, so that downtime of the daemon misses nothing that still holds; runs and
ledger lines are read on from where the last tick ended.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.definitions.freshness import (
    CronFreshnessPolicy,
    FreshnessState,
    FreshnessStateRecord,
    TimeWindowFreshnessPolicy,
)
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG

from demand_forecast.alerts.alert import Alert, quoted
from demand_forecast.alerts.log import Trouble
from demand_forecast.defs.progress import cause_of, message_of
from demand_forecast.domain.tables import now
from demand_forecast.settings import AlertKind

MOST_RUNS = 100  # that one tick looks at
MOST_STEPS = 5  # that one alert names
PATIENCE = timedelta(minutes=2)  # for Dagster to say that it retries a failed run, and to launch it
STEP_ENDED = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.STEP_SUCCESS}
CHECK_KINDS: dict[dg.AssetCheckSeverity, AlertKind] = {
    dg.AssetCheckSeverity.ERROR: "check_failed",
    dg.AssetCheckSeverity.WARN: "check_warning",
}
FRESHNESS_KINDS: dict[FreshnessState, AlertKind] = {
    FreshnessState.FAIL: "freshness_lost",
    FreshnessState.WARN: "freshness_warning",
}
FRESHNESS_TITLES: dict[AlertKind, str] = {
    "freshness_lost": "is not fresh any more",
    "freshness_warning": "will soon not be fresh any more",
}


def _time(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)


def ended_runs(instance: dg.DagsterInstance, after: int, ui: str) -> tuple[list[Alert], int]:
    """Of the runs that ended after the event `after`: failures, unless a retry follows, and the ends of failures.

    A failure is over when its step succeeds, in whichever run. Also gives the last event that was looked at.
    """
    found: list[Alert] = []
    ended = partial(instance.fetch_run_status_changes, limit=MOST_RUNS, ascending=True)
    filters = [
        dg.RunStatusChangeRecordsFilter(dg.DagsterEventType.RUN_FAILURE, after_storage_id=after),
        dg.RunStatusChangeRecordsFilter(dg.DagsterEventType.RUN_SUCCESS, after_storage_id=after),
    ]
    records = sorted((record for one in filters for record in ended(one).records), key=lambda one: one.storage_id)
    for record in records[:MOST_RUNS]:
        run = instance.get_run_by_id(record.event_log_entry.run_id)
        if run is not None:
            if _may_be_retried(instance, run, record.timestamp):
                break
            found.extend(_of_run(run, record.event_log_entry, _ended_steps(instance, run), ui))
        after = record.storage_id
    return found, after


def _may_be_retried(instance: dg.DagsterInstance, run: dg.DagsterRun, ended: float) -> bool:
    """Whether a run that failed a moment ago is one of which Dagster has not settled the retry."""
    undecided = WILL_RETRY_TAG not in run.tags or run.is_complete_and_waiting_to_retry
    failed = run.status != dg.DagsterRunStatus.SUCCESS
    return instance.run_retries_enabled and failed and undecided and now() - _time(ended) < PATIENCE


def _ended_steps(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[dg.EventLogEntry]:
    """Empty where the events cannot be read: that the run failed is told all the same, and so are later runs."""
    try:
        records = instance.get_records_for_run(run.run_id, of_type=STEP_ENDED).records
    except Exception:
        return []
    return [record.event_log_entry for record in records]


def _of_run(run: dg.DagsterRun, ended: dg.EventLogEntry, steps: list[dg.EventLogEntry], ui: str) -> Iterator[Alert]:
    failed = [step for step in steps if step.dagster_event_type == dg.DagsterEventType.STEP_FAILURE]
    fine = {step.step_key for step in steps} - {step.step_key for step in failed}
    alert = partial(Alert, "run_failed", run.job_name, link=f"{ui}/runs/{run.run_id}", at=_time(ended.timestamp))
    whole = f"job {run.job_name}"
    if ended.dagster_event_type == dg.DagsterEventType.RUN_SUCCESS:
        fine.add(whole)
    for step in fine:
        done = f"Done by a run of {run.job_name}."
        yield alert("resolved", title=f"{step} works again", text=done, key=f"run:{step}")
    if ended.dagster_event_type == dg.DagsterEventType.RUN_FAILURE and AUTO_RETRY_RUN_ID_TAG not in run.tags:
        names = [str(step.step_key) for step in failed]
        place = f" at {', '.join(names[:MOST_STEPS])}" if names else ""
        said = "\n".join(map(_said, failed[:MOST_STEPS])) or quoted(ended.message)
        key = f"run:{names[0] if names else whole}"
        yield alert("raised", title=f"Run of {run.job_name} failed{place}", text=said, key=key)


def _said(step: dg.EventLogEntry) -> str:
    error = cause_of(step.get_dagster_event().step_failure_data.error)
    said = quoted(message_of(error)) if error else "no error was recorded"
    return said if said.startswith(f"{step.step_key}: ") else f"{step.step_key}: {said}"


def failed_checks(
    instance: dg.DagsterInstance, keys: Collection[dg.AssetCheckKey], since: datetime, ui: str
) -> list[Alert]:
    """Of every check its last evaluation: raised where it failed, unless before `since`, else resolved."""
    found = [
        _of_check(record.key, record.event, ui)
        for record in _last_evaluations(instance, keys)
        if record.event is not None
    ]
    return [alert for alert in found if alert.at >= since or alert.state == "resolved"]


def _last_evaluations(
    instance: dg.DagsterInstance, keys: Collection[dg.AssetCheckKey]
) -> Iterator[AssetCheckExecutionRecord]:
    """A check that is running, or was planned and never ran, stands as it was evaluated before."""
    storage = instance.event_log_storage
    latest = [one for one in storage.get_latest_asset_check_execution_by_key(list(keys)).values() if one.key in keys]
    planned = [record.key for record in latest if record.status == AssetCheckExecutionRecordStatus.PLANNED]
    yield from (record for record in latest if record.key not in planned)
    for summary in storage.get_asset_check_summary_records(planned).values():
        if summary.last_completed_check_execution_record:
            yield summary.last_completed_check_execution_record


def _of_check(check: dg.AssetCheckKey, event: dg.EventLogEntry, ui: str) -> Alert:
    asset, name = check.asset_key, check.name
    evaluation = event.get_dagster_event().asset_check_evaluation_data
    return Alert(
        CHECK_KINDS[evaluation.severity],
        subject=f"{asset.to_user_string()}:{name}",
        state="resolved" if evaluation.passed else "raised",
        title=f"Check {name} of {asset.to_user_string()} {'passes again' if evaluation.passed else 'failed'}",
        text=quoted(evaluation.description or "") or "The check says no more.",
        link=f"{_asset_page(asset, ui)}?view=checks&checkDetail={name}",
        at=_time(event.timestamp),
        key=_check_key(check),
    )


def _check_key(check: dg.AssetCheckKey) -> str:
    return f"check:{check.asset_key.to_user_string()}:{check.name}"


def _asset_page(asset: dg.AssetKey, ui: str) -> str:
    return f"{ui}/assets/{'/'.join(asset.path)}"


def lost_freshness(instance: dg.DagsterInstance, graph: BaseAssetGraph, since: datetime, ui: str) -> list[Alert]:
    """Of every asset with a freshness policy what the freshness daemon found: raised where lost after `since`."""
    policies = _policies(graph)
    records = instance.get_freshness_state_records(list(policies))
    lost = [key for key, record in records.items() if record.freshness_state in FRESHNESS_KINDS]
    assets = [record.asset_entry for record in instance.get_asset_records(lost)] if lost else []
    made = {asset.asset_key: asset.last_materialization for asset in assets}
    found = [_of_freshness(record, policies[key], made.get(key), ui) for key, record in records.items()]
    return [alert for alert in found if alert.at >= since or alert.state == "resolved"]


def _policies(graph: BaseAssetGraph) -> dict[dg.AssetKey, dg.FreshnessPolicy]:
    policies = {key: graph.get(key).freshness_policy for key in graph.get_all_asset_keys()}
    return {key: policy for key, policy in policies.items() if policy is not None}


def _of_freshness(
    record: FreshnessStateRecord, policy: dg.FreshnessPolicy, last: dg.EventLogEntry | None, ui: str
) -> Alert:
    kind, name = FRESHNESS_KINDS.get(record.freshness_state), record.entity_key.to_user_string()
    made = f"Last made {_time(last.timestamp):%Y-%m-%d %H:%M} UTC; " if last else ""
    return Alert(
        kind or "freshness_lost",
        subject=name,
        state="raised" if kind else "resolved",
        title=f"{name} {FRESHNESS_TITLES[kind]}" if kind else f"{name} is fresh again",
        text=f"{made}wanted {_wanted(policy)}.",
        link=_asset_page(record.entity_key, ui),
        at=record.updated_at,
        key=_freshness_key(record.entity_key),
    )


def _freshness_key(asset: dg.AssetKey) -> str:
    return f"freshness:{asset.to_user_string()}"


def _wanted(policy: dg.FreshnessPolicy) -> str:
    if isinstance(policy, CronFreshnessPolicy):
        return f"by {policy.deadline_cron} ({policy.timezone}), made at most {policy.lower_bound_delta} before"
    if isinstance(policy, TimeWindowFreshnessPolicy):
        return f"every {policy.fail_window.to_timedelta()}"
    return "as its freshness policy says"


def rollbacks(ledger: Iterable[Mapping[str, Any]], after: datetime, ui: str) -> list[Alert]:
    """Of the ledger's lines, the oldest first, those after `after`: rollbacks, and promotions that end rollbacks."""
    taken_back: list[Mapping[str, Any]] = []
    found: list[Alert] = []
    for line in ledger:
        if line["decision"] == "rolled_back":
            taken_back.append(line)
            found.append(_of_rollback(line, line, "raised", ui))
        elif line["decision"] == "promoted":
            found.extend(_of_rollback(old, line, "resolved", ui) for old in taken_back)
            taken_back.clear()
    return [alert for alert in found if alert.at > after]


def _of_rollback(rollback: Mapping[str, Any], line: Mapping[str, Any], state: Any, ui: str) -> Alert:
    change = f"version {rollback['from_version']} to {rollback['to_version']}"
    title = f"Champion taken back: {change}"
    return Alert(
        "rollback",
        subject=f"model version {line['to_version']}",
        state=state,
        title=title if state == "raised" else f"version {line['to_version']} promoted after a rollback ({change})",
        text="\n".join(map(quoted, str(line["reasons"]).splitlines())),
        link=f"{ui}/assets/promoted_model",
        at=line["decided_at"],
        key=f"rollback:{rollback['decided_at'].isoformat()}",
    )


def withdrawn(raised: Iterable[Trouble], graph: BaseAssetGraph) -> list[Alert]:
    """The ends of alerts about checks and freshness policies that the project does not have any more."""
    watched = {*map(_check_key, graph.asset_check_keys), *map(_freshness_key, _policies(graph))}
    return [
        replace(old, state="resolved", text="It is not watched any more.", at=now())
        for old in (trouble.alert for trouble in raised)
        if old.key.startswith(("check:", "freshness:")) and old.key not in watched
    ]
