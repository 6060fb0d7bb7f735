"""Drift of the recent days against the days that the champion was trained on."""

from calendar import day_name
from datetime import date, timedelta

import dagster as dg
import polars as pl

from demand_forecast.defs.features.assets import last_day
from demand_forecast.defs.metadata import Metadata, markdown_table, picture, report
from demand_forecast.defs.project import Project
from demand_forecast.domain.watching.retraining import DRIFT_HISTORY
from demand_forecast.workspace.atomic_write import replace_text

RECENT_DAYS = 28
COMPARED = ("units", "price", "in_stock")
FIXED = {"weekday": "follows the calendar, not the market"}  # both sides are whole weeks but for a short history


@dg.asset(
    deps=["daily_demand", "promoted_model"],
    group_name="monitoring",
    kinds={"evidently", "html"},
    description="Whether the recent days still look like the year of days that the champion learned from: population "
    "stability index by column, Evidently's page beside it. One row a day is kept in table drift_history: the share of "
    "drifted columns among those that can move.",
)
def drift_report(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    from demand_forecast.monitoring import drift
    from demand_forecast.reports.charts.monitoring import drift_by_column

    numbers, categories = [*COMPARED, *project.settings.covariates.past_only], ["weekday", "open"]
    recent, reference, day = _recent_and_reference(project, [*numbers, *categories])
    result = drift.drift_report(
        recent, reference, numeric=numbers, categorical=categories, fixed=FIXED, seed=project.settings.seed
    )
    file = project.home.reports / "drift_report.html"
    replace_text(file, result.html)
    context.log.info(f"{result.share:.0%} of the columns that can move drifted")
    shown: Metadata = {
        "share_drifted": result.share,
        "drifted": result.drifted,
        "drift": picture(drift_by_column(result.by_column)),
        "report": report(file),
        "by_column": dg.MetadataValue.md(markdown_table(result.by_column)),
    }
    project.lake.replace("drift", result.by_column)
    row = pl.DataFrame([(day, result.share, result.drifted)], schema=DRIFT_HISTORY, orient="row")
    project.lake.replace_since("drift_history", row, day, column="day")
    return dg.MaterializeResult(metadata=shown)


def _recent_and_reference(project: Project, columns: list[str]) -> tuple[pl.DataFrame, pl.DataFrame, date]:
    """The last four whole weeks of days, the year of days before them, without those that say nothing of demand, and
    the last day.
    """
    weekday = (pl.col("date").dt.weekday() - 1).cat.to(pl.Enum(list(day_name)))
    demand = project.lake.scan("daily_demand").filter(pl.col("in_stock").is_not_null()).with_columns(weekday=weekday)
    last = last_day(project.lake)
    since = last - timedelta(days=RECENT_DAYS)
    before = pl.col("date").is_between(since - timedelta(days=364), since, closed="right")
    recent, reference = (demand.filter(which).select(columns) for which in (pl.col("date") > since, before))
    return recent.collect(), reference.collect(), last
