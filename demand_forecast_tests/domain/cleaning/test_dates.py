"""Each text is parsed once, whatever the column holds."""

import polars as pl
import pytest

from demand_forecast.domain.cleaning.dates import parse_dates, read_dates

TEXTS = ["2024-01-31", None, "31.01.2024", "", "2024-01-31", "03/04/2024", " 20240131 ", None, "2024-01-31 10:00"]


@pytest.mark.parametrize("date_format", [None, "%d/%m/%Y"])
def test_dates_are_those_of_row_by_row_parsing(date_format: str | None) -> None:
    texts = pl.Series("date", TEXTS)
    alone = [pl.DataFrame({"date": [text]}, schema={"date": pl.String}) for text in TEXTS]
    expected = [frame.select(parse_dates(pl.col("date"), date_format)).item() for frame in alone]
    assert read_dates(texts, date_format).to_list() == expected
    assert any(expected)
