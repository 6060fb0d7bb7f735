"""What a database answers, as text."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import polars as pl

from demand_forecast.sources.columns import as_text

TYPED = (bool, int, float, Decimal, date)


def text_frame(columns: list[str], rows: Any) -> pl.DataFrame:
    """Rows of values as a frame of texts."""
    values = zip(*rows, strict=True)
    return pl.DataFrame([text_series(name, column) for name, column in zip(columns, values, strict=True)])


def text_series(name: str, values: tuple[Any, ...]) -> pl.Series:
    """Values of one column as texts; equal values of other types are spelt alike."""
    kinds = {*map(type, values)} - {type(None)}
    plain = len(kinds) == 1 and next(iter(kinds)) in (*TYPED, datetime)
    if plain and not any(isinstance(value, datetime) and value.tzinfo for value in values):
        return as_text(pl.Series(name, values))
    if kinds <= {str}:
        return pl.Series(name, values, dtype=pl.String)
    return pl.Series(name, [_text(value) for value in values], dtype=pl.String)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, datetime) and value.tzinfo:
        return value.isoformat(sep=" ")
    if isinstance(value, (*TYPED, datetime)):
        return str(as_text(pl.Series([value]))[0])
    return bytes(value).decode(errors="backslashreplace") if isinstance(value, bytes | memoryview) else str(value)
