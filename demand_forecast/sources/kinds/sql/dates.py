"""The date column of a relation: what the database can compare it with, and which of its days are readable."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import polars as pl
import sqlalchemy as sa

from demand_forecast.domain.cleaning.dates import EARLIEST_DAY, parse_dates
from demand_forecast.sources.days import Days
from demand_forecast.sources.kinds.sql.relation import Relation
from demand_forecast.sources.kinds.sql.text import text_series


def sample_of(connection: sa.Connection, relation: Relation, column: str) -> Any:
    """Any value of the column; None where it has none."""
    dated: Any = sa.column(column)
    return connection.execute(sa.select(dated).select_from(relation.clause).where(dated.is_not(None)).limit(1)).scalar()


def comparable(sample: Any, relation: Relation) -> bool:
    """Whether the database can compare such values with days; texts in a `date_format` are read here."""
    return isinstance(sample, date) or (isinstance(sample, str) and relation.given.date_format is None)


def within(column: str, days: Days, text: bool) -> Any:
    """Dates, moments and ISO texts alike: from the first day to before the day after the last."""
    dated: Any = sa.column(column)
    first, after = days[0], days[1] + timedelta(days=1)
    if not text:
        return sa.and_(dated >= first, dated < after)
    return sa.and_(dated.like("____-__-__%"), dated >= first.isoformat(), dated < after.isoformat())


def on_days(connection: sa.Connection, relation: Relation, column: Any, days: Days | None) -> Any:
    """The rows of `days`; and where these hold the table's last day, those whose date is null or impossible, for they
    count there. None where the database cannot compare this column."""
    sample = sample_of(connection, relation, column) if days is not None and isinstance(column, str) else None
    if sample is None or days is None or not comparable(sample, relation):
        return None
    text = isinstance(sample, str)
    wanted, last = within(column, days, text), _extremes(connection, relation, column, text)
    if last is not None and not days[0] <= last[1] <= days[1]:
        return wanted
    return sa.or_(wanted, sa.column(column).is_(None), sa.not_(within(column, (EARLIEST_DAY, relation.today), text)))


def span_of(relation: Relation) -> Days | None:
    """First and last readable day of the relation; None where it has none.

    Raises SourceError where the database cannot be reached or lacks a column.
    """
    date_format = relation.given.date_format
    with relation.connected() as connection:
        column = relation.mapping(relation.columns(connection))["date"]
        if not isinstance(column, str):
            return _readable([str(column.value)], date_format)
        sample = sample_of(connection, relation, column)
        if sample is None:
            return None
        if comparable(sample, relation):
            return _extremes(connection, relation, column, isinstance(sample, str))
        distinct: Any = sa.select(sa.column(column)).select_from(relation.clause).distinct()
        return _readable(connection.execute(distinct).scalars().all(), date_format)


def _extremes(connection: sa.Connection, relation: Relation, column: str, text: bool) -> Days | None:
    dated: Any = sa.column(column)
    possible = within(column, (EARLIEST_DAY, relation.today), text)
    found = connection.execute(
        sa.select(sa.func.min(dated), sa.func.max(dated)).select_from(relation.clause).where(possible)
    ).one()
    return _readable(found, None)


def _readable(values: Sequence[Any], date_format: str | None) -> Days | None:
    texts = pl.DataFrame([text_series("date", tuple(values))])
    days = texts.select(parse_dates(pl.col("date"), date_format)).to_series().drop_nulls()
    return (days.min(), days.max()) if days.len() else None  # type: ignore[return-value]
