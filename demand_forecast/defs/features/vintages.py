"""Which plan each backtest origin reads: the one known there, where it was kept."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date

import polars as pl

from demand_forecast.defs.project import Project
from demand_forecast.domain.features import Vintage
from demand_forecast.lake.tables import Lake
from demand_forecast.sources.days import midnight

PLAN = "clean_plan"


def plans_kept(project: Project, origins: Iterable[date]) -> dict[date, int]:
    """The version of clean_plan that was the newest at the end of each of `origins`, where the shops are; without those
    for which none was kept: it was first written later, or somebody vacuumed it.
    """
    lake, settings = project.lake, project.settings
    calendar = project.calendar
    found = {origin: lake.version_at(PLAN, midnight(settings, calendar.ahead(origin, 1))) for origin in origins}
    versions = {version for version in found.values() if version is not None and lake.keeps(PLAN, version)}
    return {origin: version for origin, version in found.items() if version in versions}


def read_vintages(lake: Lake, plans: Mapping[date, int], today: pl.DataFrame) -> Iterator[Vintage]:
    """The versions of clean_plan in `plans` that say something else than `today`, each with its origins. Raises
    LakeError where one is gone.
    """
    origins: dict[int, list[date]] = {}
    for origin, version in plans.items():
        origins.setdefault(version, []).append(origin)
    for version, days in origins.items():
        plan = lake.read(PLAN, version)
        if not plan.equals(today):
            yield Vintage(plan, tuple(days))


def plan_in_words(origin: date, plans: Mapping[date, int]) -> str:
    """What the UI says of the plan that the rows of a backtest origin read."""
    return f"as known there: version {plans[origin]}" if origin in plans else "today's, none was kept from then"
