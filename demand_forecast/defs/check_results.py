"""What asset checks found last, read from Dagster's instance."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import dagster as dg


@dataclass(frozen=True)
class CheckResult:
    """One evaluation of a check. A failed one of severity WARN only warns."""

    asset: str
    check: str
    passed: bool
    severity: Literal["ERROR", "WARN"]
    text: str  # the check's description of what it found; may be empty
    at: datetime

    @classmethod
    def of(cls, event: "dg.EventLogEntry") -> "CheckResult":
        found = event.get_dagster_event().asset_check_evaluation_data
        return cls(
            found.asset_key.to_user_string(),
            found.check_name,
            found.passed,
            found.severity.value,
            found.description or "",
            datetime.fromtimestamp(event.timestamp, UTC),
        )


def last_results(
    instance: "dg.DagsterInstance", keys: Collection["dg.AssetCheckKey"]
) -> Iterator[tuple["dg.AssetCheckKey", CheckResult]]:
    """The last result of each of the checks. One that is running, or was planned and never ran, stands as before."""
    from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

    storage = instance.event_log_storage
    latest = [one for one in storage.get_latest_asset_check_execution_by_key(list(keys)).values() if one.key in keys]
    planned = [record.key for record in latest if record.status == AssetCheckExecutionRecordStatus.PLANNED]
    summaries = storage.get_asset_check_summary_records(planned).values()
    before = [summary.last_completed_check_execution_record for summary in summaries]
    for record in [*(one for one in latest if one.key not in planned), *before]:
        if record is not None and record.event is not None:
            yield record.key, CheckResult.of(record.event)


def results_of(instance: "dg.DagsterInstance", run_id: str) -> list[CheckResult]:
    """The results of the checks that a run evaluated, in its order."""
    import dagster as dg

    events = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    return [CheckResult.of(event) for event in events]
