"""Failed runs, read as events."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from demand_forecast.alerts.alert import Alert, quoted
from demand_forecast.defs.automation.alert_sources.source import EventSource, Watched
from demand_forecast.domain.tables import now

if TYPE_CHECKING:
    import dagster as dg

MOST_RUNS = 100  # that one tick looks at
MOST_STEPS = 5  # that one alert names
PATIENCE = timedelta(minutes=2)  # for Dagster to decide on a retry and launch it


class Runs(EventSource):
    """A failure is resolved when its step succeeds in any run. A run that Dagster retries is not a failure yet."""

    name = "run"
    kinds: ClassVar = {"run_failed": "a run failed, and Dagster does not retry it"}
    position = "event"  # the last run status change

    def start(self, watched: Watched) -> float:
        return watched.instance.event_log_storage.get_maximum_record_id() or 0

    def events(self, watched: Watched, after: float) -> tuple[list[Alert], float]:
        import dagster as dg

        instance = watched.instance
        filters = [
            dg.RunStatusChangeRecordsFilter(dg.DagsterEventType.RUN_FAILURE, after_storage_id=int(after)),
            dg.RunStatusChangeRecordsFilter(dg.DagsterEventType.RUN_SUCCESS, after_storage_id=int(after)),
        ]
        ended = partial(instance.fetch_run_status_changes, limit=MOST_RUNS, ascending=True)
        records = sorted((record for one in filters for record in ended(one).records), key=lambda one: one.storage_id)
        found: list[Alert] = []
        for record in records[:MOST_RUNS]:
            run = instance.get_run_by_id(record.event_log_entry.run_id)
            if run is not None:
                if _may_be_retried(instance, run, record.timestamp):
                    break
                found.extend(self._of_run(run, record.event_log_entry, _ended_steps(instance, run), watched.ui))
            after = record.storage_id
        return found, after

    def _of_run(
        self, run: "dg.DagsterRun", ended: "dg.EventLogEntry", steps: list["dg.EventLogEntry"], ui: str
    ) -> Iterator[Alert]:
        import dagster as dg
        from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG

        failed = [step for step in steps if step.dagster_event_type == dg.DagsterEventType.STEP_FAILURE]
        fine = {step.step_key for step in steps} - {step.step_key for step in failed}
        at = datetime.fromtimestamp(ended.timestamp, UTC)
        alert = partial(Alert, "run_failed", run.job_name, link=f"{ui}/runs/{run.run_id}", at=at)
        whole = f"job {run.job_name}"
        if ended.dagster_event_type == dg.DagsterEventType.RUN_SUCCESS:
            fine.add(whole)
        for step in fine:
            done = f"Done by a run of {run.job_name}."
            yield alert("resolved", title=f"{step} works again", text=done, key=self.key(str(step)))
        if ended.dagster_event_type == dg.DagsterEventType.RUN_FAILURE and AUTO_RETRY_RUN_ID_TAG not in run.tags:
            names = [str(step.step_key) for step in failed]
            place = f" at {', '.join(names[:MOST_STEPS])}" if names else ""
            text = "\n".join(map(_error_of, failed[:MOST_STEPS])) or quoted(ended.message)
            key = self.key(names[0] if names else whole)
            yield alert("raised", title=f"Run of {run.job_name} failed{place}", text=text, key=key)


def _may_be_retried(instance: "dg.DagsterInstance", run: "dg.DagsterRun", ended: float) -> bool:
    """Whether a run failed so recently that Dagster may still retry it."""
    import dagster as dg
    from dagster._core.storage.tags import WILL_RETRY_TAG

    undecided = WILL_RETRY_TAG not in run.tags or run.is_complete_and_waiting_to_retry
    failed = run.status != dg.DagsterRunStatus.SUCCESS
    recent = now() - datetime.fromtimestamp(ended, UTC) < PATIENCE
    return instance.run_retries_enabled and failed and undecided and recent


def _ended_steps(instance: "dg.DagsterInstance", run: "dg.DagsterRun") -> list["dg.EventLogEntry"]:
    """Empty where the events cannot be read: the failed run raises an alert all the same."""
    import dagster as dg

    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.STEP_SUCCESS}
    try:
        records = instance.get_records_for_run(run.run_id, of_type=kinds).records
    except Exception:
        return []
    return [record.event_log_entry for record in records]


def _error_of(step: "dg.EventLogEntry") -> str:
    from demand_forecast.defs.progress import cause_of, message_of

    error = cause_of(step.get_dagster_event().step_failure_data.error)
    text = quoted(message_of(error)) if error else "no error was recorded"
    return text if text.startswith(f"{step.step_key}: ") else f"{step.step_key}: {text}"
