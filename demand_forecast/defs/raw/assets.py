"""What arrived, as it arrived, plus where from."""

from datetime import date, timedelta

import dagster as dg
import polars as pl

from demand_forecast.defs.metadata import declared_columns, lake_metadata, picture, table_metadata
from demand_forecast.defs.project import SALES_DAYS, Project, known_deliveries, settle_sources
from demand_forecast.domain.tables import now
from demand_forecast.sources.collecting.inputs import collect_inputs, inputs_mark
from demand_forecast.sources.collecting.sales import collect_sales
from demand_forecast.sources.days import Days
from demand_forecast.sources.delivery import InputTable
from demand_forecast.sources.errors import SourceError
from demand_forecast.sources.landing import Landing
from demand_forecast.workspace.file_lock import file_lock


def collect_new(project: Project, days: Days | None, landing: Landing) -> int:
    """Appends what is new to raw_sales and gives the number of rows. Holds the lock that prevents duplicate appends.

    Raises SourceError where a source cannot be read or may be another under a new name, LakeError where the lake cannot
    be read or written.
    """
    with file_lock(project.home.collecting):
        known = known_deliveries(project.lake)
        settings = settle_sources(project, known, landing)
        added = project.lake.append("raw_sales", collect_sales(settings, known, days, now(), landing))
        known_deliveries(project.lake)
    landing.save()
    return added


@dg.asset(
    group_name="raw",
    kinds={"polars", "deltalake"},
    partitions_def=SALES_DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    description="Sales lines as they arrived, every column as text, with source, file, line, content hash and "
    "arrival time. Append-only: what is already here is not collected again, a corrected report is added beside the "
    "one it corrects. A partition holds what the sources say about one day.",
)
def raw_sales(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    from demand_forecast.reports.charts.data import rows_by_day

    window = context.partition_time_window
    days = (window.start.date(), window.end.date() - timedelta(days=1))
    lake, settings, landing = project.lake, project.settings, project.landing()
    added = collect_new(project, days, landing)
    for why in landing.left.values():
        context.log.warning(f"left: {why}")
    if not lake.exists("raw_sales"):
        raise SourceError(
            f"{settings.path}: the sources have no sales row of {days[0]} to {days[1]}; bring sales of closed days, or "
            "correct sales: path, table or query"
        )
    held = lake.scan("raw_sales").filter(pl.col("day").is_between(*days)).group_by("day").len("rows").collect()
    _count_partitions(context, dict(held.iter_rows()))
    context.log.info(f"{added:,} new rows, {held['rows'].sum():,} rows held for {days[0]} to {days[1]}")
    last = lake.scan("raw_sales").filter(pl.col("day") == days[1]).collect()
    shown = {"rows_added": added, "rows_by_day": picture(rows_by_day(held))}
    shown |= (
        {"left": dg.MetadataValue.md("\n".join(f"- {why}" for why in landing.left.values()))} if landing.left else {}
    )
    shown |= table_metadata(last, meaning=declared_columns(settings.covariates))
    context.add_asset_metadata(shown, partition_key=days[1].isoformat())  # it would be on each of the days else
    return dg.MaterializeResult()


def _count_partitions(context: dg.AssetExecutionContext, rows: dict[date, int]) -> None:
    for key in context.partition_keys:
        count = rows.get(date.fromisoformat(key), 0)
        context.add_asset_metadata({"dagster/partition_row_count": count}, partition_key=key)


DESCRIPTIONS: dict[InputTable, str] = {
    "products": "Product master data as it arrived: the static columns by product.",
    "stores": "Store master data as it arrived: the static columns by store.",
    "plan": "What is known ahead, as it arrived: prices, promotions, holidays and other events, past and future.",
    "stock": "Stock reports as they arrived: share of the day with goods to sell, units at closing time.",
}


def _input_asset(table: InputTable) -> dg.AssetsDefinition:
    @dg.asset(
        name=f"raw_{table}",
        group_name="raw",
        kinds={"polars", "deltalake"},
        description=DESCRIPTIONS[table] + " Replaced when its source changes; earlier versions stay in the lake.",
    )
    def raw_input(project: Project) -> dg.MaterializeResult:
        lake, landing, name = project.lake, project.landing(), f"raw_{table}"
        mark = inputs_mark(project.settings, table, landing)
        landing.save()
        known = lake.exists(name)
        if not known or mark is None or lake.notes(name).get("files") != mark:
            held = lake.read(name) if known else None
            lake.replace(name, collect_inputs(project.settings, table, now(), held), {"files": mark or ""})
        meaning = declared_columns(project.settings.covariates)
        return dg.MaterializeResult(metadata=lake_metadata(lake, name, meaning))

    return raw_input


raw_inputs = [_input_asset(table) for table in DESCRIPTIONS]
