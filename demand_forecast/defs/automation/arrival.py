"""When the graph runs: every night, and whenever the sources hold something new."""

from collections.abc import Iterator
from datetime import date
from hashlib import sha256

import dagster as dg

from demand_forecast.defs.automation.jobs import NIGHTLY, WHOLE_GRAPH, nightly, whole_graph
from demand_forecast.defs.project import SALES_DAYS, SETTINGS, Project, known_deliveries
from demand_forecast.sources.collect import pending_days, span

AUTOMATION = SETTINGS.automation


def partition_range(days: tuple[date, date]) -> dict[str, str]:
    """Tags of a run over the partitions from the first to the last of `days`."""
    first, last = (day.isoformat() for day in days)
    return {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}


def closed_days(days: tuple[date, date]) -> tuple[date, date] | None:
    """Those of `days` that have a partition: days that are over, from the start of history."""
    keys = SALES_DAYS.get_partition_keys()
    first, last = max(days[0].isoformat(), keys[0]), min(days[1].isoformat(), keys[-1])
    return (date.fromisoformat(first), date.fromisoformat(last)) if first <= last else None


def new_days(project: Project) -> tuple[date, date] | None:
    """First and last closed day about which the sources say something that the lake does not have."""
    known = known_deliveries(project.lake)
    pending = pending_days(project.settings, known) if len(known) else span(project.settings)
    return pending and closed_days(pending)


def days_to_run(project: Project) -> tuple[date, date]:
    """The new days; when nothing is new, the last day that the lake holds, else yesterday."""
    found = new_days(project)
    if found:
        return found
    held = known_deliveries(project.lake)["day"].max()
    last = held if isinstance(held, date) else date.fromisoformat(SALES_DAYS.get_partition_keys()[-1])
    return closed_days((last, last)) or (last, last)


def _request(project: Project, days: tuple[date, date], run_key: str) -> dg.RunRequest:
    """A run over `days`: without training where there is a champion, else of the whole graph."""
    job = NIGHTLY if project.tracking.champion() else WHOLE_GRAPH
    return dg.RunRequest(run_key=run_key, job_name=job, tags=partition_range(days))


@dg.sensor(
    jobs=[nightly, whole_graph],
    minimum_interval_seconds=AUTOMATION.landing_interval,
    description="Looks at the landing files and the ledger; requests a run over the days that have something new.",
)
def landing(project: Project) -> Iterator[dg.RunRequest | dg.SkipReason]:
    days = new_days(project)
    if days is None:
        yield dg.SkipReason("Nothing new in the sources.")
    else:
        held = known_deliveries(project.lake).height
        yield _request(project, days, sha256(repr((days, held)).encode()).hexdigest()[:16])


@dg.schedule(
    job=nightly,
    cron_schedule=AUTOMATION.nightly,
    execution_timezone=AUTOMATION.timezone,
    description="Every night: collect what is new, forecast with the champion, plan the orders, look for drift.",
)
def every_night(context: dg.ScheduleEvaluationContext, project: Project) -> dg.RunRequest:
    days = days_to_run(project)
    return dg.RunRequest(run_key=context.scheduled_execution_time.date().isoformat(), tags=partition_range(days))
