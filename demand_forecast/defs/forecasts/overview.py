"""One row per series for the planner, and which series need attention."""

import dagster as dg
import polars as pl

from demand_forecast.defs.forecasts.kept import left_as_it_is
from demand_forecast.defs.metadata import TABLE_KINDS, Metadata, markdown_table, table_metadata
from demand_forecast.defs.project import Project
from demand_forecast.domain.models.training_rows import newest_origin
from demand_forecast.domain.tables import DAY_KEY, SERIES, meaning_of
from demand_forecast.domain.watching.attention import OVERVIEW, REASONS, first_day, recent_days
from demand_forecast.domain.watching.attention import series_overview as overview_of
from demand_forecast.domain.watching.live_accuracy import newest_published, of_frequency

SHOWN = 20
LONGEST = 120  # two reasons in words


@dg.asset(
    deps=["demand_forecast", "reorder_plan", "published_forecasts", "daily_demand", "clean_products", "clean_stores"],
    group_name="forecasts",
    kinds=TABLE_KINDS,
    description="One row per series for the planner: how it sells and is expected to, stock and order, the risk to run "
    "out before an order arrives, recent errors of the published forecasts, drift; in words why it needs attention, "
    "and how urgently.",
)
def series_overview(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    lake, settings = project.lake, project.settings
    if kept := left_as_it_is(context, lake, "series_overview"):
        return kept
    tables = ("demand_forecast", "reorder_plan", "clean_products", "clean_stores")
    forecast, plan, products, stores = map(lake.read, tables)
    origin = newest_origin(forecast)
    recent = lake.scan("daily_demand").filter(pl.col("date") >= first_day(origin))
    published = lake.scan("published_forecasts").filter(of_frequency(project.frequency))
    overview = overview_of(
        forecast,
        plan,
        recent.select(*DAY_KEY, "units", "in_stock", "open").collect(),
        newest_published(published, recent_days(origin)),
        products,
        stores,
        settings.replenishment,
        project.frequency,
    )
    version = lake.replace("series_overview", overview)
    counts = {reason.name: int(overview["reasons"].list.contains(reason.name).sum()) for reason in REASONS}
    urgent = overview.filter(pl.col("attention").list.len() > 0).sort("urgency", descending=True, maintain_order=True)
    why = ", ".join(f"{count:,} {reason}" for reason, count in counts.items() if count)
    context.log.info(f"{len(urgent):,} of {len(overview):,} series need attention" + (f": {why}" if why else ""))
    table = urgent.head(SHOWN).select(*SERIES, pl.col("attention").list.join("; "), "urgency")
    most_urgent = dg.MetadataValue.md(markdown_table(table, LONGEST))
    shown: Metadata = {"need_attention": len(urgent), "most_urgent": most_urgent}
    return dg.MaterializeResult(metadata=shown | counts | table_metadata(overview, version, meaning_of(OVERVIEW)))
