"""One way to read a date from text, for the partition day of a row and for its cleaning."""

from datetime import date

import polars as pl

EARLIEST_DAY = date(1990, 1, 1)

_TIME = r"(?:[T ]+\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?\s*(?:Z|UTC|[+-]\d{2}(?::?\d{2})?)?)?"
_UNAMBIGUOUS = (
    (rf"^(\d{{4}}-\d{{1,2}}-\d{{1,2}}){_TIME}$", "%Y-%m-%d"),
    (rf"^(\d{{4}}/\d{{1,2}}/\d{{1,2}}){_TIME}$", "%Y/%m/%d"),
    (rf"^(\d{{1,2}}\.\d{{1,2}}\.\d{{4}}){_TIME}$", "%d.%m.%Y"),
    (r"^(\d{8})$", "%Y%m%d"),
)


def parse_dates(text: pl.Expr, date_format: str | None = None) -> pl.Expr:
    """The day (Date) written in each text, whatever its time zone; null where there is none.

    With `date_format` (strptime) only that format counts. Without, the formats that can mean one day only:
    `2024-01-31`, the same with a time (`T` or space, fraction and zone optional), `2024/01/31`, `31.01.2024`,
    `20240131`. `03/04/2024` may be March or April: null.
    """
    stripped = text.str.strip_chars()
    if date_format is not None:
        return stripped.str.to_date(date_format, strict=False)
    return pl.coalesce(
        stripped.str.extract(pattern).str.to_date(format_, strict=False) for pattern, format_ in _UNAMBIGUOUS
    )


def read_dates(texts: pl.Series, date_format: str | None = None) -> pl.Series:
    """`parse_dates` of a column; each text is parsed once, for there are far fewer dates than rows."""
    days = texts.unique().to_frame("text").with_columns(day=parse_dates(pl.col("text"), date_format))
    return texts.to_frame("text").join(days, on="text", how="left", maintain_order="left")["day"]
