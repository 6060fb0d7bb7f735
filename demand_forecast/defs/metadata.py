"""Metadata for the Dagster UI: tables, pictures, reports."""

import base64
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from demand_forecast.defs.project import Project
from demand_forecast.domain.tables import MEANING
from demand_forecast.lake.tables import Lake
from demand_forecast.settings import Covariates

Metadata = dict[str, Any]
SHOWN = timedelta(days=728)
LONGEST = 40  # characters in a table's cell
TABLE_KINDS = {"polars", "deltalake"}
COLUMN_SCHEMA = "dagster/column_schema"  # Dagster's page of an asset shows it above all other metadata
CELLS = 14  # of the longest bar
EIGHTHS = "▏▎▍▌▋▊▉"


def table_metadata(
    frame: pl.DataFrame, version: int | None = None, meaning: Mapping[str, str] | None = None
) -> Metadata:
    """Row count, column schema, first rows and lake version of a table.

    `meaning`: descriptions of columns that only this table has.
    """
    known = MEANING | dict(meaning or {})
    columns = [
        dg.TableColumn(name, str(dtype), description=known.get(name, "")) for name, dtype in frame.schema.items()
    ]
    shown: Metadata = {
        "dagster/row_count": frame.height,
        COLUMN_SCHEMA: dg.TableSchema(columns=columns),
        "first_rows": dg.MetadataValue.md(markdown_table(frame.head(5))),
    }
    return shown if version is None else shown | {"lake_version": version}


def lake_metadata(lake: Lake, table: str, meaning: Mapping[str, str] | None = None) -> Metadata:
    """The same of a table in the lake, reading only its first rows. Raises LakeError where it is not there."""
    rows = lake.scan(table)
    count = {"dagster/row_count": rows.select(pl.len()).collect().item()}
    return table_metadata(rows.head(5).collect(), lake.version(table), meaning) | count


def decision_first(shown: Metadata, table: Metadata) -> Metadata:
    """`shown`, then the `table` metadata with its column schema as an ordinary entry.

    For assets that decide or report: their page opens with the result instead of the columns.
    """
    return shown | {"columns" if name == COLUMN_SCHEMA else name: value for name, value in table.items()}


def declared_columns(covariates: Covariates) -> dict[str, str]:
    """Descriptions of the columns that the configuration declares."""
    roles = {
        "fixed for a product or store": covariates.static,
        "known ahead": covariates.known_future,
        "known only when the day is over": covariates.past_only,
    }
    declared = {name: f"declared in the configuration: {role}" for role, names in roles.items() for name in names}
    return declared | MEANING


def bars(figures: Mapping[str, float], figure: str) -> dg.MetadataValue:
    """A bar chart in characters, which the UI shows in place; pictures it shows only after a click.

    `figures`: values of at least 0 by name; `figure`: what they measure.
    """
    longest = max(figures.values(), default=0.0)
    lines = [f"|{name}|{value:.3f}|{_bar(value / longest if longest else 0.0)}|" for name, value in figures.items()]
    return dg.MetadataValue.md("\n".join([f"||{figure}||", "|---|---|---|", *lines]))


def _bar(share: float) -> str:
    whole, eighths = divmod(round(share * CELLS * 8), 8)
    return "█" * whole + (EIGHTHS[eighths - 1] if eighths else "")


def recent_days(lake: Lake, table: str, day: str = "date") -> pl.LazyFrame:
    """The rows of the last two years: pictures show no more, so a night reads no more. Raises LakeError."""
    rows = lake.scan(table)
    newest = lake.newest(table, day)
    return rows.filter(pl.col(day) > newest - SHOWN) if newest else rows


def markdown_table(frame: pl.DataFrame, longest: int = LONGEST) -> str:
    """Without padding: the UI shows up to 1,000 characters in place. No cell has more than `longest`."""
    rows = ([_cell(value, longest) for value in row] for row in frame.iter_rows())
    lines = [frame.columns, ["---"] * frame.width, *rows]
    return "\n".join(f"|{'|'.join(line)}|" for line in lines)


def _cell(value: object, longest: int) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    text = "" if value is None else " ".join(str(value).split()).replace("|", "\\|")
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def picture(png: bytes, title: str = "picture") -> dg.MetadataValue:
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})")


def report(path: Path) -> dg.MetadataValue:
    """A path to copy: a browser does not follow a link from the UI to a file."""
    return dg.MetadataValue.path(path.resolve())


def contract_check(table: str) -> dg.AssetChecksDefinition:
    """A blocking check of the table's contract: columns, types, keys, ranges."""

    @dg.asset_check(
        asset=table,
        name=f"{table}_contract",
        blocking=True,
        description="Columns, types, keys and ranges are what the table's readers rely on.",
    )
    def keeps_contract(project: Project) -> dg.AssetCheckResult:
        from demand_forecast.domain.cleaning.schemas import violations

        rows, since = project.lake.scan(table), project.lake.notes(table).get("since")
        frame = (rows.filter(pl.col("date") >= date.fromisoformat(since)) if since else rows).collect()
        broken = violations(table, frame)
        named = ", ".join(f"{rule} in {rows:,} rows" for rule, rows in broken.items())
        return dg.AssetCheckResult(
            passed=not broken,
            description=f"{table}: {named}" if broken else f"kept by {frame.height:,} rows",
            metadata=dict(broken),
        )

    return keeps_contract
