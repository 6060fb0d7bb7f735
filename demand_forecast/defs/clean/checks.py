"""Blocking checks: a lost row, a broken table or a mostly rejected night stops the run; a bad row does not."""

from collections.abc import Iterable
from datetime import date

import dagster as dg
import polars as pl

from demand_forecast.defs.clean.accepted import accept_past_days, jump_since_accepted
from demand_forecast.defs.clean.assets import CLEANERS, read_unreadable
from demand_forecast.defs.metadata import contract_check
from demand_forecast.defs.project import Project
from demand_forecast.domain.cleaning.rejections import (
    LOOKED_BACK,
    REPLACED,
    absurd_lately,
    refused_lines,
    vanished,
)

MOST_REJECTED = 0.5
NAMED = 8  # stores and products that a check names
FEW = 3  # rows that tell a format from a slip


def _numbers_check(table: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=table,
        name=f"{table}_numbers",
        description="Every value of a column of numbers is a number, every row has a date and ids that can be read. A "
        "value that is none is unknown, a row without is left out: this only warns.",
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
    description="Most rows of the newest day count (of the newest days, until there are three rows); otherwise the "
    "source has changed its format.",
)
def newest_day_is_mostly_clean(project: Project) -> dg.AssetCheckResult:
    newest = project.lake.newest("raw_sales", "day")
    lately = pl.col("day") > newest - LOOKED_BACK if newest else pl.lit(value=True)
    raw, rejected = (project.lake.scan(table).filter(lately) for table in ("raw_sales", "rejected_sales"))
    days = _newest_days(raw, rejected)
    first, last = days.select(first=pl.col("day").min(), last=pl.col("day").max()).row(0)
    arrived, refused = (int(days[name].sum()) for name in ("arrived", "refused"))
    reasons = rejected.filter(pl.col("day") >= first, ~pl.col("reason").is_in(REPLACED)).group_by("reason").len()
    named = reasons.sort("len", "reason", descending=[True, False]).head(3).collect()
    share, span = refused / max(arrived, 1), f"{last}" if first == last else f"{first} to {last}"
    most = f": {', '.join(f'{rows:,} {reason}' for reason, rows in named.rows())}" if len(named) else ""
    passed = share <= MOST_REJECTED
    whose = "" if passed or last is None else _some(map(str, vanished(*_lines_since(project, last))))
    return dg.AssetCheckResult(
        passed=passed,
        description=f"{span}: {share:.1%} of {arrived:,} rows rejected{most}" + (f". {whose}" if whose else ""),
        metadata={"share_rejected": share},
    )


@dg.asset_check(
    asset="rejected_sales",
    description="No store or product vanishes behind rejected lines, and none is absurd, whatever their share of a "
    "night. This only warns.",
)
def no_store_or_product_vanishes(project: Project) -> dg.AssetCheckResult:
    newest = project.lake.newest("raw_sales", "day")
    found = []
    if newest is not None:
        kept, refused = _lines_since(project, newest - LOOKED_BACK)
        found = [*map(str, vanished(kept, refused)), *map(str, absurd_lately(refused, newest))]
    return dg.AssetCheckResult(
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        description=_some(found) or "none does",
        metadata={"vanished": len(found)},
    )


def _lines_since(project: Project, since: date) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Clean lines counted by store, product and day, and the lines that were refused."""
    lake = project.lake
    kept = lake.scan("clean_sales").filter(pl.col("date") >= since).group_by("store_id", "product_id", "date")
    rejected = lake.scan("rejected_sales").filter(pl.col("day") >= since)
    refused = refused_lines(rejected, project.settings.cleaning)
    return kept.agg(lines=pl.len()).collect(), refused.collect()


def _some(lines: Iterable[str]) -> str:
    named = [*lines]
    more = f"; and {len(named) - NAMED:,} more" if len(named) > NAMED else ""
    return "; ".join(named[:NAMED]) + more


def _newest_days(raw: pl.LazyFrame, rejected: pl.LazyFrame) -> pl.DataFrame:
    """`day, arrived, refused` of the newest day, and of those before it until there are FEW rows."""
    replaced = pl.col("reason").is_in(REPLACED)
    without = rejected.group_by("day").agg(refused=(~replaced).sum(), replaced=replaced.sum())
    days = raw.group_by("day").agg(arrived=pl.len()).join(without, on="day", how="left").fill_null(0)
    newest = days.with_columns(arrived=pl.col("arrived") - pl.col("replaced")).sort("day", descending=True)
    return newest.filter(pl.col("arrived").cum_sum().shift(1, fill_value=0) < FEW).collect()
