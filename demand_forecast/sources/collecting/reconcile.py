"""What lies in the sources compared with what the lake holds, as findings."""

from datetime import datetime
from typing import get_args

import polars as pl

from demand_forecast.domain.tables import RAW_PROVENANCE
from demand_forecast.sources.collecting.scan import Scan
from demand_forecast.sources.days import Days
from demand_forecast.sources.delivery import InputTable

MISSING, OTHER, GONE, UNREADABLE = "missing", "other content", "no longer in the source", "not whole"
FINDINGS = {
    "at": RAW_PROVENANCE["arrived_at"],
    "table": pl.String(),
    "source": pl.String(),
    "report": pl.String(),
    "day": pl.Date(),
    "finding": pl.String(),
    "rows": pl.Int64(),
    "repaired": pl.Boolean(),
}
INPUT_TABLES: tuple[InputTable, ...] = get_args(InputTable)
GROUPS = {name: RAW_PROVENANCE[name] for name in ("source", "report", "file", "day", "content_hash")}
BY_DAY = ["source", "report", "day"]


def held_rows(raw: pl.LazyFrame) -> pl.DataFrame:
    """What raw_sales holds: `source, report, file, day, content_hash, rows`."""
    return raw.group_by(*GROUPS).len("rows").collect()


def sales_findings(scan: Scan, held: pl.DataFrame, closed: Days) -> pl.DataFrame:
    """One row by source, report and day that a full scan found different from `held` (see `held_rows`).

    What was new has been collected. What is held and not in the source any more stays: owners empty their folders.
    """
    empty = pl.DataFrame(schema=GROUPS | {"rows": pl.UInt32(), "new": pl.Boolean()})
    found = pl.concat([empty, *scan.groups], how="vertical_relaxed")
    before = held.select(BY_DAY).unique().with_columns(before=True)
    new = found.filter("new").join(before, on=BY_DAY, how="left", maintain_order="left")
    new = new.with_columns(finding=pl.when("before").then(pl.lit(OTHER)).otherwise(pl.lit(MISSING)), repaired=True)
    left = [file for file in scan.landing.left if file not in scan.collected.sources]  # without folders that are empty
    return _findings("sales", scan.arrived_at, new, _gone(scan, held, found, closed), _left(left))


def _gone(scan: Scan, held: pl.DataFrame, found: pl.DataFrame, closed: Days) -> pl.DataFrame:
    """Held days of no report, and with no content, that lies in the source; without those the scan could not read."""
    proven = pl.DataFrame([*scan.proven], {name: pl.String() for name in BY_DAY[:2]}, orient="row")
    gone = held.filter(pl.col("day").is_between(*closed), ~pl.col("file").is_in([*scan.landing.left]))
    for other, keys in ((found, BY_DAY), (found, ["source", "day", "content_hash"]), (proven, BY_DAY[:2])):
        gone = gone.join(other, on=keys, how="anti")
    by_day = gone.group_by(BY_DAY).agg(pl.col("rows").sum())
    return by_day.with_columns(finding=pl.lit(GONE), repaired=False)


def _left(files: list[str]) -> pl.DataFrame:
    """Files that are still being written or are damaged."""
    return pl.DataFrame({"report": files}, {"report": pl.String()}).with_columns(
        finding=pl.lit(UNREADABLE), repaired=False
    )


def input_findings(table: InputTable, at: datetime, fresh: pl.DataFrame, held: pl.DataFrame | None) -> pl.DataFrame:
    """One row by source and file whose content, by its hash, is not the one that raw_<table> holds."""
    keys = ["source", "file", "content_hash"]
    now = fresh.group_by(keys).len("rows")
    before = fresh.clear(0).select(keys) if held is None else held.select(keys).unique()
    new = now.join(before, on=keys, how="anti")
    known = new["file"].is_in(before["file"].to_list())
    new = new.with_columns(finding=pl.when(known).then(pl.lit(OTHER)).otherwise(pl.lit(MISSING)))
    gone = before.join(now, on=["source", "file"], how="anti").with_columns(finding=pl.lit(GONE))
    found = pl.concat([new, gone], how="diagonal").with_columns(report="file", repaired=True)
    return _findings(table, at, found)


def _findings(table: str, at: datetime, *found: pl.DataFrame) -> pl.DataFrame:
    rows = pl.concat([pl.DataFrame(schema=FINDINGS), *found], how="diagonal_relaxed")
    named = rows.with_columns(at=pl.lit(at, FINDINGS["at"]), table=pl.lit(table))
    return named.select(pl.col(name).cast(kind) for name, kind in FINDINGS.items()).sort("source", "report", "day")
