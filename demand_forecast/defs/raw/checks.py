"""Checks of what the sources are to each other."""

import dagster as dg
import polars as pl

from demand_forecast.defs.project import Project, read_register
from demand_forecast.sources.register import standing


@dg.asset_check(
    asset="raw_sales",
    description="Every source that sales came from is configured, or the configuration says what becomes of its rows. "
    "Those of a source that is gone count as before: this only warns.",
)
def every_source_is_configured(project: Project) -> dg.AssetCheckResult:
    lines = removed_sources(project)
    return dg.AssetCheckResult(
        passed=not lines,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(lines) or "all are, or the configuration says what becomes of their rows",
    )


def removed_sources(project: Project) -> list[str]:
    """A line for each source that is not configured any more and that `removed_sources` does not name."""
    lake, settings = project.lake, project.settings
    register = read_register(lake)
    names = {one.source: one.name for one in register}
    open_ = [
        name
        for name in standing(settings, register).orphans
        if {name, names[name]}.isdisjoint(settings.removed_sources)
    ]
    held = lake.scan("raw_deliveries").filter(pl.col("source").is_in(open_))
    spans = held.group_by("source").agg(first=pl.col("day").min(), last=pl.col("day").max()).sort("source")
    return [
        f"source {names[name]} is not configured any more, its rows of {first} to {last} count as before; say so by "
        f"`removed_sources: {{{names[name]}: kept}}`, or take them out by `withdrawn`"
        for name, first, last in spans.collect().iter_rows()
    ]
