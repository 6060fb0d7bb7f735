"""How a table, a picture and a report are shown in the Dagster UI."""

import base64
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from demand_forecast.defs.project import Project
from demand_forecast.domain.tables import MEANING

Metadata = dict[str, Any]


def table_metadata(frame: pl.DataFrame, version: int | None = None) -> Metadata:
    """Row count, column schema with meanings, lake version and the first rows of a table."""
    columns = [
        dg.TableColumn(name, str(dtype), description=MEANING.get(name, "")) for name, dtype in frame.schema.items()
    ]
    shown: Metadata = {
        "dagster/row_count": frame.height,
        "dagster/column_schema": dg.TableSchema(columns=columns),
        "first_rows": dg.MetadataValue.md(markdown_table(frame.head(5))),
    }
    return shown if version is None else shown | {"lake_version": version}


def markdown_table(frame: pl.DataFrame) -> str:
    with pl.Config(
        tbl_formatting="MARKDOWN",
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        tbl_rows=40,
        tbl_cols=30,
        fmt_str_lengths=60,
        float_precision=3,
    ):
        return str(frame)


def picture(png: bytes, title: str = "picture") -> dg.MetadataValue:
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})")


def report(path: Path) -> dg.MetadataValue:
    return dg.MetadataValue.url(path.as_uri())


def contract_check(table: str) -> dg.AssetChecksDefinition:
    """A blocking check that the table keeps its contract: columns, types, keys, ranges."""

    @dg.asset_check(
        asset=table,
        name=f"{table}_contract",
        blocking=True,
        description="Columns, types, keys and ranges are what the table's readers rely on.",
    )
    def keeps_contract(project: Project) -> dg.AssetCheckResult:
        from demand_forecast.domain.contracts import violations

        broken = violations(table, project.lake.read(table))
        named = ", ".join(f"{rule} in {rows:,} rows" for rule, rows in broken.items())
        return dg.AssetCheckResult(
            passed=not broken,
            description=f"{table}: {named}" if broken else "kept",
            metadata=dict(broken),
        )

    return keeps_contract
