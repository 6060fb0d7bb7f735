"""When the graph runs: every night, and whenever the sources hold something new."""

from collections.abc import Iterator
from datetime import date
from hashlib import sha256

import dagster as dg

from demand_forecast.defs.automation.jobs import NIGHTLY, WHOLE_GRAPH, nightly, whole_graph
from demand_forecast.defs.project import SETTINGS, Project
from demand_forecast.defs.raw.assets import known_deliveries
from demand_forecast.sources.collect import pending_days

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


def _request(project: Project, run_key: str | None = None) -> dg.RunRequest | None:
    """A run over the days that have something new; of the whole graph as long as there is no champion."""
    pending = pending_days(project.settings, known_deliveries(project.lake))
    days = pending and closed_days(pending)
    if not days:
        return None
    digest = sha256(repr(days).encode()).hexdigest()[:16]
    job = NIGHTLY if project.tracking.champion() else WHOLE_GRAPH
    return dg.RunRequest(run_key=run_key or digest, job_name=job, tags=partition_range(days))


@dg.sensor(
    jobs=[nightly, whole_graph],
    minimum_interval_seconds=AUTOMATION.landing_interval,
    description="Looks at the landing folder and the ledger; requests a run over the days that have something new.",
)
def landing(project: Project) -> Iterator[dg.RunRequest | dg.SkipReason]:
    yield _request(project) or dg.SkipReason("Nothing new in the sources.")
