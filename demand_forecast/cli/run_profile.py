"""Run profile: wall time by stage, the share spent fitting models, peak memory."""

import resource
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg

STARTED, ENDED, PEAK = (f"demand-forecast/{name}" for name in ("started", "ended", "peak_memory"))
ROWS, PARTITION_ROWS, FIT_SECONDS = "dagster/row_count", "dagster/partition_row_count", "fit_seconds"
START_UP, CHECKS, BETWEEN, FINISH = "start-up", "checks", "between steps", "finish"
RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Stage:
    """Wall time; `fit_seconds` of it inside the fit of LightGBM or scikit-learn; `rows` of the tables that it made."""

    name: str
    seconds: float
    fit_seconds: float = 0.0
    rows: int | None = None


@dataclass(frozen=True)
class Profile:
    """One run: its stages add up to its `seconds`. `peak_bytes` is None for a run that the command did not start."""

    run_id: str
    job: str
    started: datetime
    stages: tuple[Stage, ...]
    peak_bytes: int | None
    success: bool

    @property
    def seconds(self) -> float:
        return sum(stage.seconds for stage in self.stages)

    @property
    def fit_seconds(self) -> float:
        return sum(stage.fit_seconds for stage in self.stages)


def process_started() -> float:
    """About when this process began (Unix time), for one that has only computed so far."""
    return time.time() - time.process_time()


def note_end(instance: "dg.DagsterInstance", run_id: str, started: float) -> None:
    """Tags the run with what only its process knows: start, end, peak memory."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT
    instance.add_run_tags(run_id, {STARTED: f"{started:.3f}", ENDED: f"{time.time():.3f}", PEAK: str(peak)})


def last_profile(instance: "dg.DagsterInstance") -> Profile | None:
    """The profile of the last run that has ended; None when there is none."""
    import dagster as dg

    ended = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE])
    records = instance.get_run_records(ended, limit=1)
    return _profile(instance, records[0]) if records else None


def _profile(instance: "dg.DagsterInstance", record: "dg.RunRecord") -> Profile:
    run = record.dagster_run
    began = float(run.tags.get(STARTED, record.create_timestamp.timestamp()))
    ended = float(run.tags.get(ENDED, record.end_time or began))
    peak = run.tags.get(PEAK)
    return Profile(
        run_id=run.run_id,
        job=run.job_name,
        started=datetime.fromtimestamp(began).astimezone(),
        stages=tuple(_stages(instance, run.run_id, began, ended)),
        peak_bytes=int(peak) if peak else None,
        success=run.is_success,
    )


def _stages(instance: "dg.DagsterInstance", run_id: str, began: float, ended: float) -> list[Stage]:
    import dagster as dg

    known = [step for step in instance.get_run_step_stats(run_id) if step.start_time and step.end_time]
    spans = {step.step_key: (step.start_time or 0.0, step.end_time or 0.0) for step in known}
    if not spans:
        return [Stage(START_UP, ended - began)]
    first, last = min(start for start, _ in spans.values()), max(end for _, end in spans.values())
    made = _materializations(instance, run_id)
    checked = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    only_checks = {event.step_key for event in checked} - made.keys()
    assets = [
        _asset_stage(step, end - start, made.get(step, []))
        for step, (start, end) in sorted(spans.items(), key=lambda item: item[1])
        if step not in only_checks
    ]
    checks = sum(end - start for step, (start, end) in spans.items() if step in only_checks)
    between = max(last - first - checks - sum(stage.seconds for stage in assets), 0.0)
    return [
        Stage(START_UP, first - began),
        *assets,
        Stage(CHECKS, checks),
        Stage(BETWEEN, between),
        Stage(FINISH, ended - last),
    ]


def _materializations(instance: "dg.DagsterInstance", run_id: str) -> dict[str, list["dg.AssetMaterialization"]]:
    import dagster as dg

    made: dict[str, list[dg.AssetMaterialization]] = {}
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
        event = entry.get_dagster_event()
        made.setdefault(event.step_key or "", []).append(event.step_materialization_data.materialization)
    return made


def _asset_stage(step: str, seconds: float, made: Sequence["dg.AssetMaterialization"]) -> Stage:
    rows = _numbers(made, PARTITION_ROWS) or _numbers(made, ROWS)  # a partition's table holds more than its rows
    return Stage(step, seconds, sum(_numbers(made, FIT_SECONDS)), int(sum(rows)) if rows else None)


def _numbers(made: Iterable["dg.AssetMaterialization"], name: str) -> list[float]:
    return [float(str(item.metadata[name].value)) for item in made if name in item.metadata]
