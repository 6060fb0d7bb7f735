"""What the Dagster UI is given to show."""

from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import polars as pl

from demand_forecast.defs.metadata import markdown_table, report, table_metadata

FRAME = pl.DataFrame(
    {
        "store_id": ["S|1", None],
        "units": pl.Series([1.5, 1 / 3], dtype=pl.Float32),
        "price": [100.0, -2.0],
        "open": [True, False],
        "date": [date(2026, 1, 2)] * 2,
        "arrived_at": [datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)] * 2,
        "extra": ["two\nlines", "x" * 90],
    }
)


def test_a_table_is_one_line_a_row_however_wide_its_cells() -> None:
    assert markdown_table(FRAME).splitlines() == [
        "|store_id|units|price|open|date|arrived_at|extra|",
        "|---|---|---|---|---|---|---|",
        "|S\\|1|1.5|100|true|2026-01-02|2026-01-02 03:04|two lines|",
        f"||0.333|-2|false|2026-01-02|2026-01-02 03:04|{'x' * 39}…|",
    ]


def test_a_wide_table_has_all_its_columns_in_one_header() -> None:
    wide = pl.DataFrame({f"a_rather_long_column_{number}": [number] for number in range(60)})
    assert markdown_table(wide).splitlines()[0].count("|") == 61


def test_columns_say_what_they_mean_and_a_table_may_know_better() -> None:
    shown = table_metadata(FRAME, version=3, meaning={"extra": "what nobody mapped"})
    said = {column.name: column.description for column in shown["dagster/column_schema"].columns}
    assert said["store_id"] == "shop; with product_id it names a series"
    assert said["extra"] == "what nobody mapped"
    assert (shown["dagster/row_count"], shown["lake_version"]) == (2, 3)


def test_a_report_is_a_path_that_can_be_pasted_anywhere(tmp_path: Path) -> None:
    assert report(tmp_path / "report.html") == dg.MetadataValue.path(str(tmp_path / "report.html"))
