"""The date column of a relation: what the database can compare it with, and which of its days are readable."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import sqlalchemy as sa

from demand_forecast.domain.cleaning.dates import EARLIEST_DAY, ZONED, DateReading, parse_dates
from demand_forecast.sources.days import Days
from demand_forecast.sources.kinds.sql.relation import Relation
from demand_forecast.sources.kinds.sql.text import text_series

ISO = re.compile(r"\d{4}-\d{2}-\d{2}(\D|$)")


def sample_of(connection: sa.Connection, relation: Relation, column: str) -> Any:
    """Any value of the column; None where it has none."""
    dated: Any = sa.column(column)
    return connection.execute(sa.select(dated).select_from(relation.clause).where(dated.is_not(None)).limit(1)).scalar()


def comparable(sample: Any, relation: Relation) -> bool:
    """Whether the database can compare such values with days of the shops. Texts in a `date_format`, or that are no
    days, or that name a time zone, and moments of shops in several zones are read here.
    """
    if isinstance(sample, datetime) and sample.tzinfo:
        return not relation.dates.zones
    if isinstance(sample, str):
        moved = bool(relation.dates.timezone) and ZONED.search(sample) is not None
        return relation.dates.date_format is None and ISO.match(sample) is not None and not moved
    return isinstance(sample, date)


def within(column: str, days: Days, sample: Any, relation: Relation) -> Any:
    """Values like `sample`, dates, moments and ISO texts alike: from the first day to before the day after the last,
    where the shops are.
    """
    dated: Any = sa.column(column)
    first: Any = days[0]
    after: Any = days[1] + timedelta(days=1)
    zone = relation.dates.timezone
    if zone and isinstance(sample, datetime) and sample.tzinfo:
        first, after = (datetime.combine(day, time.min, ZoneInfo(zone)) for day in (first, after))
    if not isinstance(sample, str):
        return sa.and_(dated >= first, dated < after)
    return sa.and_(dated.like("____-__-__%"), dated >= first.isoformat(), dated < after.isoformat())


def on_days(connection: sa.Connection, relation: Relation, column: Any, days: Days | None) -> Any:
    """The rows of `days`; and where these hold the table's last day, those whose date is null or impossible, for they
    count there. None where the database cannot compare this column."""
    sample = sample_of(connection, relation, column) if days is not None and isinstance(column, str) else None
    if sample is None or days is None or not comparable(sample, relation):
        return None
    wanted, last = within(column, days, sample, relation), _extremes(connection, relation, column, sample)
    if last is not None and not days[0] <= last[1] <= days[1]:
        return wanted
    return sa.or_(
        wanted, sa.column(column).is_(None), sa.not_(within(column, (EARLIEST_DAY, relation.today), sample, relation))
    )


def span_of(relation: Relation) -> Days | None:
    """First and last readable day of the relation; None where it has none.

    Raises SourceError where the database cannot be reached or lacks a column.
    """
    with relation.connected() as connection:
        column = relation.mapping(relation.columns(connection))["date"]
        if not isinstance(column, str):
            return _readable([str(column.value)], relation.dates)
        sample = sample_of(connection, relation, column)
        if sample is None:
            return None
        if comparable(sample, relation):
            return _extremes(connection, relation, column, sample)
        distinct: Any = sa.select(sa.column(column)).select_from(relation.clause).distinct()
        return _readable(connection.execute(distinct).scalars().all(), relation.dates)


def _extremes(connection: sa.Connection, relation: Relation, column: str, sample: Any) -> Days | None:
    dated: Any = sa.column(column)
    possible = within(column, (EARLIEST_DAY, relation.today), sample, relation)
    found = connection.execute(
        sa.select(sa.func.min(dated), sa.func.max(dated)).select_from(relation.clause).where(possible)
    ).one()
    return _readable(found, relation.dates)


def _readable(values: Sequence[Any], dates: DateReading) -> Days | None:
    dates = replace(dates, zones=())  # in the zone of most shops: a day more or less, where stores are in several
    texts = pl.DataFrame([text_series("date", tuple(values))])
    days = texts.select(parse_dates(pl.col("date"), dates)).to_series().drop_nulls()
    return (days.min(), days.max()) if days.len() else None  # type: ignore[return-value]
