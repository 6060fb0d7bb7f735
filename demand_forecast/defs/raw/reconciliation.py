"""Compares what lies in the sources with what the lake holds, and collects the difference."""

from datetime import timedelta

import dagster as dg
import polars as pl

from demand_forecast.defs.metadata import markdown_table, table_metadata
from demand_forecast.defs.project import Project, all_closed_days, known_deliveries, settle_sources
from demand_forecast.domain.tables import now
from demand_forecast.sources.collecting.index import KNOWN, known_sales
from demand_forecast.sources.collecting.inputs import collect_inputs
from demand_forecast.sources.collecting.reconcile import GONE, INPUT_TABLES, held_rows, input_findings, sales_findings
from demand_forecast.sources.collecting.sales import new_rows
from demand_forecast.sources.collecting.scan import scan_of_sales
from demand_forecast.sources.days import Days
from demand_forecast.workspace.file_lock import file_lock

RECONCILIATION = "reconciliation"
MEANING = {
    "at": "when the sources were looked at",
    "table": "what was compared: raw_<table>",
    "finding": "missing or other content: collected now; no longer in the source: kept; not whole: left until it is",
    "rows": "rows in the source; of what is no longer there, rows held",
    "repaired": "whether the lake now holds what the source says",
}


def reconcile_sales(project: Project, closed: Days) -> pl.DataFrame:
    """Reads every source in full, collects what raw_sales lacks of the `closed` days and gives the findings.

    Raises SourceError where a source cannot be read, LakeError where the lake cannot be read or written.
    """
    lake = project.lake
    with file_lock(project.home.collecting):
        known, held = pl.DataFrame(schema=KNOWN), held_rows(pl.LazyFrame(schema=KNOWN))
        if lake.exists("raw_sales"):
            known, held = known_sales(lake.scan("raw_sales")), held_rows(lake.scan("raw_sales"))
        settings = settle_sources(project, known, project.landing())
        scan = scan_of_sales(settings, known, closed, full=True)
        lake.append("raw_sales", new_rows(settings, scan))
        known_deliveries(lake)
    return sales_findings(scan, held, closed)


def reconcile_inputs(project: Project) -> pl.DataFrame:
    """Replaces those of raw_products, raw_stores, raw_plan and raw_stock whose source has changed; gives the findings.

    Raises SourceError where a source cannot be read, LakeError where the lake cannot be read or written.
    """
    found = []
    for table in INPUT_TABLES:
        name, at = f"raw_{table}", now()
        held = project.lake.read(name) if project.lake.exists(name) else None
        fresh = collect_inputs(project.settings, table, at, held)
        found.append(input_findings(table, at, fresh, held))
        if found[-1].height:
            project.lake.replace(name, fresh)
    return pl.concat(found)


@dg.asset(
    name=RECONCILIATION,
    group_name="raw",
    kinds={"polars", "deltalake"},
    deps=["raw_sales", *(f"raw_{table}" for table in INPUT_TABLES)],
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=49), warn_window=timedelta(hours=25)),
    description="Everything that lies in the sources, whatever is known of it, compared with what the lake holds, by "
    "source, report and day. What is missing or different is collected. What is held and no longer in its source is "
    "reported and kept: landing folders are emptied by their owners. Holds the newest findings; earlier versions stay.",
)
def reconciliation(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    findings = pl.concat([reconcile_sales(project, all_closed_days()), reconcile_inputs(project)])
    version = project.lake.replace(RECONCILIATION, findings)
    counts = findings.group_by("finding").len("count").sort("finding")
    context.log.info(", ".join(f"{count:,} {finding}" for finding, count in counts.rows()) or "nothing differs")
    shown = findings.sort(pl.col("finding") == GONE, maintain_order=True).drop("at").head(20)
    return dg.MaterializeResult(
        metadata=table_metadata(findings, version, MEANING)
        | {"findings": dg.MetadataValue.md(markdown_table(shown)), **{f"found: {name}": n for name, n in counts.rows()}}
    )
