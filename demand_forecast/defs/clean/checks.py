"""Blocking checks: a lost row, a broken table or a mostly rejected night stops the run; a bad row does not."""

import dagster as dg
import polars as pl

from demand_forecast.defs.clean.assets import CLEANERS, read_unreadable
from demand_forecast.defs.metadata import contract_check
from demand_forecast.defs.project import Project

MOST_REJECTED = 0.5
FEW = 3  # rows that tell a format from a slip
REPLACED = ("superseded", "extract_overlap", "exact_duplicate")  # replaced by a newer line: no sign of a broken source


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
    description="Most rows of the newest day count (of the newest days, until there are three rows); otherwise the "
    "source has changed its format.",
)
def newest_day_is_mostly_clean(project: Project) -> dg.AssetCheckResult:
    raw, rejected = project.lake.scan("raw_sales"), project.lake.scan("rejected_sales")
    days = _newest_days(raw, rejected)
    first, last = days.select(first=pl.col("day").min(), last=pl.col("day").max()).row(0)
    arrived, refused = (int(days[name].sum()) for name in ("arrived", "refused"))
    reasons = rejected.filter(pl.col("day") >= first, ~pl.col("reason").is_in(REPLACED)).group_by("reason").len()
    named = reasons.sort("len", descending=True).collect()["reason"].head(1)
    share, span = refused / max(arrived, 1), f"{last}" if first == last else f"{first} to {last}"
    most = f", most of them {named[0]}" if len(named) else ""
    return dg.AssetCheckResult(
        passed=share <= MOST_REJECTED,
        description=f"{span}: {share:.1%} of {arrived:,} rows rejected{most}",
        metadata={"share_rejected": share},
    )


def _newest_days(raw: pl.LazyFrame, rejected: pl.LazyFrame) -> pl.DataFrame:
    """`day, arrived, refused` of the newest day, and of those before it until there are FEW rows."""
    replaced = pl.col("reason").is_in(REPLACED)
    without = rejected.group_by("day").agg(refused=(~replaced).sum(), replaced=replaced.sum())
    days = raw.group_by("day").agg(arrived=pl.len()).join(without, on="day", how="left").fill_null(0)
    newest = days.with_columns(arrived=pl.col("arrived") - pl.col("replaced")).sort("day", descending=True)
    return newest.filter(pl.col("arrived").cum_sum().shift(1, fill_value=0) < FEW).collect()
