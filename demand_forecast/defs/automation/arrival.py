"""When the graph runs: every night, and whenever the sources hold something new; when the sources are reconciled."""

from collections.abc import Iterable
from datetime import date
from functools import partial
from hashlib import sha256

import dagster as dg

from demand_forecast.defs.automation.jobs import (
    COLLECT,
    GOING_ON,
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
from demand_forecast.sources.collect import ALL_KINDS, SourceError, pending_days
from demand_forecast.sources.news import FileNews, ledger_inputs
from demand_forecast.sources.sql import ledger_of

AUTOMATION = SETTINGS.automation
SOURCE_KINDS = {source.kind for source in SETTINGS.all_sources}


def partition_range(days: tuple[date, date]) -> dict[str, str]:
    """Tags of a run over the partitions from the first to the last of `days`."""
    first, last = (day.isoformat() for day in days)
    return {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}


def closed_days(days: tuple[date, date]) -> tuple[date, date] | None:
    """Those of `days` that have a partition."""
    closed = all_closed_days()
    first, last = max(days[0], closed[0]), min(days[1], closed[1])
    return (first, last) if first <= last else None


def new_days(project: Project, batch: bool = False) -> tuple[date, date] | None:
    """First and last closed day about which the sources say something that the lake does not have; with `batch` no more
    files are looked into than the landing sensor would.

    Raises SourceError where a source cannot be read.
    """
    known, memory, closed = known_deliveries(project.lake), project.landing(), all_closed_days()
    fresh = FileNews(project.settings, known, memory, closed).fresh if batch else []
    pending = pending_days(project.settings, known, memory, ("sql",) if batch else ALL_KINDS)
    memory.save()
    spans = [item.days for item in fresh] + [days for days in (pending and closed_days(pending),) if days]
    return (min(first for first, _ in spans), max(last for _, last in spans)) if spans else None


def days_to_run(project: Project, batch: bool = False) -> tuple[date, date]:
    """The new days; when nothing is new, or a source cannot be read, the last day that the lake holds, else yesterday.

    The run says what cannot be read: it collects first.
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
    """The runs that are requested: of what arrives, where there is a champion, for `flow` makes what follows; else of
    the whole graph.
    """
    job = COLLECT if project.tracking.champion() else WHOLE_GRAPH
    return [dg.RunRequest(request.run_key, job_name=job, tags=partition_range(request.days)) for request in requests]


def _said(project: Project, cursor: Cursor, requests: list[Request], otherwise: Iterable[str]) -> dg.SensorResult:
    if requests:
        return dg.SensorResult(runs(project, requests), cursor=cursor.write())
    return dg.SensorResult(skip_reason=" ".join(otherwise), cursor=cursor.write())


def _key(*parts: object) -> str:
    return sha256(repr(parts).encode()).hexdigest()[:16]


def _first_run(context: dg.SensorEvaluationContext, project: Project) -> dg.SensorResult | None:
    """While the whole graph runs for the first time nothing more is requested: one load is enough."""
    asked = dg.RunsFilter(job_name=WHOLE_GRAPH, statuses=GOING_ON)
    if project.tracking.champion() or not context.instance.get_runs_count(asked):
        return None
    return dg.SensorResult(skip_reason="The first run is going on.", cursor=context.cursor)


def look_at_landing(context: dg.SensorEvaluationContext, project: Project) -> dg.SensorResult:
    if waits := _first_run(context, project):
        return waits
    cursor, memory = Cursor.read(context.cursor), project.landing()
    try:
        news = FileNews(project.settings, known_deliveries(project.lake), memory, all_closed_days(), cursor.requested)
    except SourceError as error:
        return dg.SensorResult(skip_reason=str(error), cursor=cursor.write())
    memory.save()
    _, requests = cursor.settle(
        context.instance, lambda request, outcome: outcome == "failed" or not news.waiting.isdisjoint(request.news)
    )
    if news.fresh:
        days = min(item.days[0] for item in news.fresh), max(item.days[1] for item in news.fresh)
        # the time of the last collection makes a correction that is taken back another request than the first was
        key = _key(sorted((item.id, item.collected) for item in news.fresh))
        requests.append(cursor.request(key, days, [item.id for item in news.fresh]))
    left = [f"Left: {why}." for why in memory.left.values()]
    waiting = f"{len(cursor.requested)} files wait for the runs that were requested for them." if cursor.open else ""
    if requests and left:
        context.log.warning(" ".join(left))
    return _said(project, cursor, requests, [waiting or "Nothing new in the sources.", *left])


def look_at_ledgers(context: dg.SensorEvaluationContext, project: Project) -> dg.SensorResult:
    if waits := _first_run(context, project):
        return waits
    cursor, closed = Cursor.read(context.cursor), all_closed_days()
    done, requests = cursor.settle(context.instance, lambda _, outcome: outcome != "done")
    unreachable, news = [], []
    for name, source, given in ledger_inputs(project.settings):
        state = LedgerState.read(cursor.knows.get(name))
        state.hold(item for request in done for item in request.news)
        try:
            news += state.look(project, name, ledger_of(project.settings, "sales", source, given), closed)
        except SourceError as error:
            unreachable.append(f"{error}.")
        cursor.knows[name] = state.write()
    fresh = [item for item in news if item not in cursor.requested]
    if fresh:
        collected = known_deliveries(project.lake)["arrived_at"].max()
        days = [day_of(item) for item in fresh]
        requests.append(cursor.request(_key(fresh, str(collected)), (min(days), max(days)), fresh))
    waiting = "Waits for the runs that were requested." if cursor.open else "Nothing new in the database."
    if requests and unreachable:
        context.log.warning(" ".join(unreachable))
    return _said(project, cursor, requests, unreachable or [waiting])


def look_at_repairs(context: dg.SensorEvaluationContext, project: Project) -> dg.SensorResult | dg.SkipReason:
    found = project.lake.read(RECONCILIATION) if project.lake.exists(RECONCILIATION) else None
    repaired = None if found is None else found.filter("repaired")
    at = "" if repaired is None or repaired.is_empty() else str(repaired["at"].max())
    if repaired is None or at <= (context.cursor or ""):
        return dg.SkipReason("Nothing was repaired since the last look.")
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
if SOURCE_KINDS & {"files", "m5"}:
    landing = looking(
        name="landing",
        description="Looks at the landing files, a batch at a time; requests a run over the days that have news.",
    )(look_at_landing)
if "sql" in SOURCE_KINDS:
    ledger = looking(
        name="ledger",
        description="Asks each database for its totals by day; requests a run over the days whose totals changed.",
    )(look_at_ledgers)
repairs = looking(
    name="repairs", description="Requests a run over the days for which the reconcile job collected something."
)(look_at_repairs)


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
