"""Columns of tables as fields of answers: what is declared of a column is what the API says of it."""

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from demand_forecast.domain.tables import Column


def fields_of(columns: Iterable[Column], *, nullable: bool) -> dict[str, Any]:
    """The fields of a pydantic model, as `create_model` takes them; `nullable`: null, or left out, where not known."""
    return {column.name: _field(column, nullable) for column in columns}


def example_of(columns: Iterable[Column]) -> dict[str, Any]:
    return {column.name: column.example for column in columns}


def _field(column: Column, nullable: bool) -> tuple[Any, Any]:
    kind: Any = column.dtype.to_python()
    kind = list[str] if kind is list else kind
    page: dict[str, Any] = {"x-label": column.label, "x-unit": column.unit} if column.label else {}
    default: Any = None if nullable else ...
    described = Field(default, description=column.meaning, json_schema_extra=page)
    return (kind | None, described) if nullable else (kind, described)
