"""The totals of a table or query by day, by one aggregate query."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import sqlalchemy as sa

from demand_forecast.domain.cleaning.dates import DateReading, parse_dates
from demand_forecast.sources.days import Days
from demand_forecast.sources.kinds.sql.dates import comparable, sample_of, within
from demand_forecast.sources.kinds.sql.relation import Relation
from demand_forecast.sources.kinds.sql.text import text_series
from demand_forecast.sources.landing import signature


@dataclass(frozen=True)
class SqlLedger:
    """A table or query of sales that is asked for its totals."""

    relation: Relation

    def signature(self) -> list[int] | None:
        """Size and time of last change of an SQLite file and its log; None for other databases."""
        files = [file for file in (self.relation.file, self.relation.log) if file]
        return [part for file in files for part in signature(file.stat())] if files else None

    def daily_totals(self, days: Days | None) -> dict[date, str]:
        """For each readable day of `days` (None: of all) its rows, summed units and last moment, as one text.

        Raises SourceError where the database cannot be reached or lacks a column.
        """
        with self.relation.connected() as connection:
            rows = connection.execute(_statement(connection, self.relation, days)).all()
        return _by_day(rows, self.relation.dates, days)


def _statement(connection: sa.Connection, relation: Relation, days: Days | None) -> Any:
    """Day, rows, units and last moment; where the database cannot tell the day, by date as it is written."""
    chosen = relation.mapping(relation.columns(connection))
    date_column, units = chosen["date"], _summed(connection, relation, chosen["units"])
    if not isinstance(date_column, str):
        day: Any = sa.literal(str(date_column.value))
        return sa.select(day, sa.func.count(), units, sa.func.max(day)).select_from(relation.clause)
    moment: Any = sa.column(date_column)
    sample = sample_of(connection, relation, date_column)
    by_day = comparable(sample, relation)
    day = _day(connection, relation, moment, sample) if by_day else moment
    totals = sa.select(day, sa.func.count(), units, sa.func.max(moment)).select_from(relation.clause).group_by(day)
    return totals if days is None or not by_day else totals.where(within(date_column, days, sample, relation))


def _day(connection: sa.Connection, relation: Relation, moment: Any, sample: Any) -> Any:
    """The day of a moment where the shops are; the moment itself where only PostgreSQL could say."""
    if isinstance(sample, str):
        return sa.func.substring(moment, 1, 10)
    zone = relation.dates.timezone
    if not (zone and isinstance(sample, datetime) and sample.tzinfo):
        return sa.cast(moment, sa.Date)
    if connection.dialect.name != "postgresql":
        return moment
    return sa.cast(sa.func.timezone(zone, moment), sa.Date)


def _summed(connection: sa.Connection, relation: Relation, column: Any) -> Any:
    """The sum of the units where they are numbers; what a database makes of other texts is its own affair."""
    sample = sample_of(connection, relation, column) if isinstance(column, str) else None
    return sa.func.sum(sa.column(column)) if isinstance(sample, int | float | Decimal) else sa.literal(0)


def _by_day(rows: Any, reading: DateReading, days: Days | None) -> dict[date, str]:
    dates = pl.DataFrame([text_series("date", tuple(row[0] for row in rows))])
    parsed = dates.select(parse_dates(pl.col("date"), replace(reading, zones=()))).to_series()
    totals: dict[date, list[str]] = {}
    for day, (_, count, units, last) in zip(parsed, rows, strict=True):
        if day is not None and (days is None or days[0] <= day <= days[1]):
            totals.setdefault(day, []).append(f"{count} {float(units or 0):.4f} {last}")
    return {day: " ".join(sorted(parts)) for day, parts in sorted(totals.items())}
