"""What changed since the champion learned."""

from datetime import date, timedelta

import dagster as dg
import polars as pl

from demand_forecast.defs.features.assets import last_day
from demand_forecast.defs.metadata import Metadata, markdown_table, picture, report
from demand_forecast.defs.project import Project
from demand_forecast.domain.retraining import DRIFT_HISTORY
from demand_forecast.home import replace_text

RECENT_DAYS = 28
COMPARED = ("units", "price", "in_stock")


@dg.asset(
    deps=["daily_demand", "promoted_model"],
    group_name="monitoring",
    kinds={"evidently", "html"},
    description="Whether the recent days still look like the year of days that the champion learned from: population "
    "stability index by column, Evidently's page beside it. One row a day is kept in table drift_history.",
)
def drift_report(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    from demand_forecast.monitoring import drift
    from demand_forecast.reports.charts.monitoring import drift_by_column

    covariates = project.settings.covariates
    recent, reference, day = _recent_and_reference(project)
    result = drift.drift_report(
        recent,
        reference,
        numeric=[*COMPARED, *covariates.past_only],
        categorical=["weekday", "open"],
        seed=project.settings.seed,
    )
    file = project.home.reports / "drift_report.html"
    replace_text(file, result.html)
    context.log.info(f"{result.share:.0%} of columns drifted")
    shown: Metadata = {
        "share_drifted": result.share,
        "drifted": result.drifted,
        "by_column": dg.MetadataValue.md(markdown_table(result.by_column)),
        "drift": picture(drift_by_column(result.by_column)),
        "report": report(file),
    }
    project.lake.replace("drift", result.by_column)
    row = pl.DataFrame([(day, result.share, result.drifted)], schema=DRIFT_HISTORY, orient="row")
    project.lake.replace_since("drift_history", row, day, column="day")
    return dg.MaterializeResult(metadata=shown)


def _recent_and_reference(project: Project) -> tuple[pl.DataFrame, pl.DataFrame, date]:
    """The last four whole weeks of days, the year of days before them, and the last day."""
    demand = project.lake.scan("daily_demand")
    last = last_day(project.lake)
    since = last - timedelta(days=RECENT_DAYS)
    marked = demand.with_columns(weekday=pl.col("date").dt.to_string("%A"), open=pl.col("open").cast(pl.String))
    reference = pl.col("date").is_between(since - timedelta(days=364), since, closed="right")
    return marked.filter(pl.col("date") > since).collect(), marked.filter(reference).collect(), last
