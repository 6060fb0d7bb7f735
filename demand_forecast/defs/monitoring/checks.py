"""Drift is told, not acted on: alone it stops nothing and promotes nothing."""

import dagster as dg
import polars as pl

from demand_forecast.defs.project import Project


@dg.asset_check(asset="drift_report", description="Fewer than half of the compared columns have drifted.")
def recent_days_look_familiar(project: Project) -> dg.AssetCheckResult:
    columns = project.lake.read("drift")
    drifted = columns.filter(pl.col("drifted").fill_null(False))["column"].to_list()
    compared = columns["drifted"].count()
    return dg.AssetCheckResult(
        passed=len(drifted) < max(compared / 2, 1),
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(drifted)} of {compared} columns drifted" + (f": {', '.join(drifted)}" if drifted else ""),
    )
