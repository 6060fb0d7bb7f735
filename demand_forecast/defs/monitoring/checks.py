"""Checks that warn about data and champion; none stops a night."""

import dagster as dg
import polars as pl

from demand_forecast.defs.monitoring.decisions import CHAMPION_REVIEW, newest_row
from demand_forecast.defs.project import Project
from demand_forecast.domain.watching.champion_review import KEEP


@dg.asset_check(asset="drift_report", description="Fewer than half of the columns that can move have drifted.")
def recent_days_look_familiar(project: Project) -> dg.AssetCheckResult:
    columns = project.lake.read("drift")
    drifted = columns.filter(pl.col("drifted").fill_null(False))["column"].to_list()
    compared = columns["drifted"].count()
    return dg.AssetCheckResult(
        passed=len(drifted) < max(compared / 2, 1),
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(drifted)} of {compared} columns drifted" + (f": {', '.join(drifted)}" if drifted else ""),
    )


@dg.asset_check(asset="champion_review", description="The champion does not lose to what it could be replaced by.")
def champion_holds(project: Project) -> dg.AssetCheckResult:
    review = newest_row(project, CHAMPION_REVIEW)
    if review is None:
        return dg.AssetCheckResult(passed=True, description="nothing was promoted yet")
    return dg.AssetCheckResult(
        passed=review["verdict"] == KEEP,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{review['verdict']}: {'; '.join(review['reasons'].splitlines())}",
    )
