"""When the graph runs: every night, and whenever the sources hold something new; when the sources are reconciled."""

from collections.abc import Iterable
from datetime import date
from functools import partial
from hashlib import sha256

import dagster as dg

from demand_forecast.defs.automation.jobs import (
    COLLECT,
    UNFINISHED,
    WHOLE_GRAPH,
    collect,
    nightly,
    reconcile,
    whole_graph,
)
from demand_forecast.defs.automation.ledgers import LedgerState, day_of
from demand_forecast.defs.automation.requests import Cursor, Request
from demand_forecast.defs.automation.status import SCHEDULES, SENSORS
from demand_forecast.defs.project import SETTINGS, Project, all_closed_days, known_deliveries
from demand_forecast.defs.raw.reconciliation import RECONCILIATION
from demand_forecast.sources.collecting.pending_days import pending_days
from demand_forecast.sources.collecting.pending_files import PendingFiles
from demand_forecast.sources.configured import named_inputs, read_sources
from demand_forecast.sources.days import Days, overlap, union
from demand_forecast.sources.errors import SourceError
from demand_forecast.sources.kind import LandingKind, LedgerKind, SourceKind

AUTOMATION = SETTINGS.automation


def partition_range(days: Days) -> dict[str, str]:
    """Tags of a run over the partitions from the first to the last of `days`."""
    first, last = (day.isoformat() for day in days)
    return {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}


def closed_days(days: Days) -> Days | None:
    """Those of `days` that have a partition."""
    return overlap(days, all_closed_days())


def new_days(project: Project, batch: bool = False) -> Days | None:
    """First and last closed day about which the sources say something that the lake does not have; with `batch` no more
    files are opened than the landing sensor would.

    Raises SourceError where a source cannot be read.
    """
    settings, known, landing = project.held_settings, known_deliveries(project.lake), project.landing()
    files = PendingFiles(settings, known, landing, all_closed_days()).batch if batch else []
    inputs = named_inputs(settings, "sales")
    others = [one for one in inputs if not isinstance(one.source, LandingKind)] if batch else inputs
    held = project.lake.scan("raw_sales").collect_schema().names() if project.lake.exists("raw_sales") else None
    pending = pending_days(settings, known, landing, others, held)
    landing.save()
    return union([*(file.days for file in files), pending and closed_days(pending)])


def days_to_run(project: Project, batch: bool = False) -> Days:
    """The new days; when nothing is new, or a source cannot be read, the last day that the lake holds, else yesterday.

    What cannot be read is for the run to say, which collects first.
    """
    try:
        found = new_days(project, batch)
    except SourceError:
        found = None
    if found:
        return found
    held = known_deliveries(project.lake)["day"].max()
    last = held if isinstance(held, date) else all_closed_days()[1]
    return closed_days((last, last)) or (last, last)


def runs(project: Project, requests: Iterable[Request]) -> list[dg.RunRequest]:
    """The runs of these requests: of `collect` where there is a champion, as the sensor `flow` makes what follows; else
    of the whole graph.
    """
    job = COLLECT if project.tracking.champion() else WHOLE_GRAPH
    return [dg.RunRequest(request.run_key, job_name=job, tags=partition_range(request.days)) for request in requests]


def _result(project: Project, cursor: Cursor, requests: list[Request], otherwise: Iterable[str]) -> dg.SensorResult:
    if requests:
        return dg.SensorResult(runs(project, requests), cursor=cursor.write())
    return dg.SensorResult(skip_reason=" ".join(otherwise), cursor=cursor.write())


def _key(*parts: object) -> str:
    return sha256(repr(parts).encode()).hexdigest()[:16]


def _first_run(context: dg.SensorEvaluationContext, project: Project) -> dg.SensorResult | None:
    """While the whole graph runs for the first time nothing more is requested: one load is enough."""
    asked = dg.RunsFilter(job_name=WHOLE_GRAPH, statuses=UNFINISHED)
    if project.tracking.champion() or not context.instance.get_runs_count(asked):
        return None
    return dg.SensorResult(skip_reason="The first run is still running.", cursor=context.cursor)


def scan_landing(context: dg.SensorEvaluationContext, project: Project) -> dg.SensorResult:
    """A tick of the sensor `landing`."""
    if waits := _first_run(context, project):
        return waits
    settings, cursor, landing = project.held_settings, Cursor.read(context.cursor), project.landing()
    try:
        files = PendingFiles(settings, known_deliveries(project.lake), landing, all_closed_days(), cursor.requested)
    except SourceError as error:
        return dg.SensorResult(skip_reason=str(error), cursor=cursor.write())
    landing.save()
    _, requests = cursor.settle(
        context.instance,
        settings.automation.retry_minutes,
        lambda request, outcome: outcome == "failed" or not files.waiting.isdisjoint(request.pending),
    )
    if days := union(file.days for file in files.batch):
        # the time of the last collection makes a correction that is taken back another request than the first was
        key = _key(sorted((file.id, file.collected) for file in files.batch))
        requests.append(cursor.request(key, days, [file.id for file in files.batch]))
    left = [f"Left: {why}." for why in landing.left.values()]
    waiting = f"{len(cursor.requested)} files wait for the runs that were requested for them." if cursor.open else ""
    if requests and left:
        context.log.warning(" ".join(left))
    return _result(project, cursor, requests, [waiting or "Nothing new in the sources.", *left])


def ask_ledgers(context: dg.SensorEvaluationContext, project: Project) -> dg.SensorResult:
    """A tick of the sensor `ledger`."""
    if waits := _first_run(context, project):
        return waits
    settings, cursor, closed = project.held_settings, Cursor.read(context.cursor), all_closed_days()
    done, requests = cursor.settle(
        context.instance, settings.automation.retry_minutes, lambda _, outcome: outcome != "done"
    )
    unreachable, changes = [], []
    for name, source, given in named_inputs(settings, "sales"):
        if not isinstance(source, LedgerKind):
            continue
        state = LedgerState.read(cursor.knows.get(name))
        state.hold(change for request in done for change in request.pending)
        try:
            changes += state.changes(project, name, source.ledger(settings, given), closed)
        except SourceError as error:
            unreachable.append(f"{error}.")
        cursor.knows[name] = state.write()
    fresh = [change for change in changes if change not in cursor.requested]
    if fresh:
        collected = known_deliveries(project.lake)["arrived_at"].max()
        days = [day_of(change) for change in fresh]
        requests.append(cursor.request(_key(fresh, str(collected)), (min(days), max(days)), fresh))
    waiting = "Waits for the runs that were requested." if cursor.open else "Nothing new in the database."
    if requests and unreachable:
        context.log.warning(" ".join(unreachable))
    return _result(project, cursor, requests, unreachable or [waiting])


def request_repaired(context: dg.SensorEvaluationContext, project: Project) -> dg.SensorResult | dg.SkipReason:
    """A tick of the sensor `repairs`."""
    found = project.lake.read(RECONCILIATION) if project.lake.exists(RECONCILIATION) else None
    repaired = None if found is None else found.filter("repaired")
    at = "" if repaired is None or repaired.is_empty() else str(repaired["at"].max())
    if repaired is None or at <= (context.cursor or ""):
        return dg.SkipReason("Nothing was repaired since the last tick.")
    first, last = repaired["day"].min(), repaired["day"].max()
    days = (first, last) if isinstance(first, date) and isinstance(last, date) else None
    request = Request.of(_key(at), days or days_to_run(project, batch=True), [])
    return dg.SensorResult(runs(project, [request]), cursor=at)


looking = partial(
    dg.sensor,
    default_status=SENSORS,
    jobs=[collect, whole_graph],
    minimum_interval_seconds=AUTOMATION.landing_interval,
)


def landing_sensor(sources: Iterable[SourceKind]) -> dg.SensorDefinition | None:
    """The sensor that scans landing files, where a source has such."""
    if not any(isinstance(source, LandingKind) for source in sources):
        return None
    description = "Scans the landing files, a batch at a time; requests a run over the days that have something new."
    return looking(name="landing", description=description)(scan_landing)


def ledger_sensor(sources: Iterable[SourceKind]) -> dg.SensorDefinition | None:
    """The sensor that asks tables for their totals, where a source has such."""
    if not any(isinstance(source, LedgerKind) for source in sources):
        return None
    description = "Asks each database for its totals by day; requests a run over the days whose totals changed."
    return looking(name="ledger", description=description)(ask_ledgers)


landing = landing_sensor(read_sources(SETTINGS))
ledger = ledger_sensor(read_sources(SETTINGS))
repairs = looking(
    name="repairs", description="Requests a run over the days for which the reconcile job collected something."
)(request_repaired)


@dg.schedule(
    job=nightly,
    cron_schedule=AUTOMATION.nightly,
    execution_timezone=AUTOMATION.timezone,
    default_status=SCHEDULES,
    description="Every night: collect what is new, forecast with the champion, plan the orders, look for drift.",
)
def every_night(context: dg.ScheduleEvaluationContext, project: Project) -> dg.RunRequest:
    days = days_to_run(project, batch=True)
    return dg.RunRequest(run_key=context.scheduled_execution_time.date().isoformat(), tags=partition_range(days))


every_morning = dg.ScheduleDefinition(
    name="every_morning",
    job=reconcile,
    cron_schedule=AUTOMATION.reconcile,
    execution_timezone=AUTOMATION.timezone,
    default_status=SCHEDULES,
    description="Every day at noon, unless configured otherwise: compare the sources with the lake, and repair.",
)
