"""Blocking checks: a lost row, a broken table or a mostly rejected night stops the run; a bad row does not."""

import dagster as dg
import polars as pl

from demand_forecast.defs.clean.accepted import accept_past_days, jump_since_accepted
from demand_forecast.defs.clean.assets import CLEANERS, read_unreadable
from demand_forecast.defs.metadata import contract_check
from demand_forecast.defs.project import Project

MOST_REJECTED = 0.5
REPLACED = ("superseded", "withdrawn", "extract_overlap", "exact_duplicate")  # no sign of a broken source


def _numbers_check(table: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=table,
        name=f"{table}_numbers",
        description="Every value of a column of numbers is a number. One that is not is unknown: this only warns.",
    )
    def are_numbers(project: Project) -> dg.AssetCheckResult:
        lines = read_unreadable(project.lake, table)
        return dg.AssetCheckResult(
            passed=not lines,
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(lines) or "all are",
        )

    return are_numbers


numbers = [_numbers_check(f"clean_{name}") for name in CLEANERS]
clean_sales_contract = contract_check("clean_sales")
clean_plan_contract = contract_check("clean_plan")
clean_stock_contract = contract_check("clean_stock")


@dg.asset_check(
    asset="clean_sales",
    blocking=True,
    description="Rows in = rows clean + rows rejected: no row is lost, none counts twice.",
)
def every_row_accounted_for(project: Project) -> dg.AssetCheckResult:
    lake = project.lake
    tables = {"raw_sales": int(lake.notes("clean_sales")["raw_sales"]), "clean_sales": None, "rejected_sales": None}
    raw, kept, rejected = (lake.scan(*table).select(pl.len()).collect().item() for table in tables.items())
    return dg.AssetCheckResult(
        passed=raw == kept + rejected,
        description=f"{raw:,} rows in = {kept:,} clean + {rejected:,} rejected",
        metadata={"rows_in": raw, "clean": kept, "rejected": rejected},
    )


@dg.asset_check(
    asset="clean_sales",
    blocking=True,
    description="Past days say what they said when they were last accepted: at most a fortnight of them may jump by a "
    "fourth. More is another history, of a source that counts twice for instance: `demand-forecast accept` accepts it.",
)
def past_days_are_as_before(project: Project) -> dg.AssetCheckResult:
    jump = jump_since_accepted(project)
    passed = jump is None or not jump.is_other_history
    if passed:
        accept_past_days(project)
    repair = "If that is right, accept it: demand-forecast accept; if not, correct source: or what it delivers"
    text = "nothing to compare" if jump is None else jump.text
    return dg.AssetCheckResult(passed=passed, description=text if passed else f"{text}. {repair}")


@dg.asset_check(
    asset="clean_sales",
    blocking=True,
    description="Most rows of the newest day count; otherwise the source has changed its format.",
)
def newest_day_is_mostly_clean(project: Project) -> dg.AssetCheckResult:
    raw = project.lake.scan("raw_sales")
    newest = project.lake.newest("raw_sales", "day")
    rejected = project.lake.scan("rejected_sales").filter(pl.col("day") == newest)
    replaced = rejected.filter(pl.col("reason").is_in(REPLACED)).select(pl.len()).collect().item()
    arrived = raw.filter(pl.col("day") == newest).select(pl.len()).collect().item() - replaced
    refused = rejected.filter(~pl.col("reason").is_in(REPLACED))
    reasons = refused.group_by("reason").len().sort("len", descending=True).collect()
    share = reasons["len"].sum() / max(arrived, 1)
    most = f", most of them {reasons['reason'][0]}" if len(reasons) else ""
    return dg.AssetCheckResult(
        passed=share <= MOST_REJECTED,
        description=f"{newest}: {share:.1%} of {arrived:,} rows rejected{most}",
        metadata={"share_rejected": share},
    )
