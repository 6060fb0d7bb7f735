"""The rows of a table or query as a delivery."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import polars as pl
import sqlalchemy as sa

from demand_forecast.sources.columns import Parsed, mapped, marks
from demand_forecast.sources.days import Days
from demand_forecast.sources.delivery import Delivery
from demand_forecast.sources.kinds.sql.dates import on_days, span_of
from demand_forecast.sources.kinds.sql.relation import Relation
from demand_forecast.sources.kinds.sql.text import text_frame
from demand_forecast.sources.landing import Landing

FETCH_ROWS = 50_000


def delivery_of(relation: Relation, name: str, landing: Landing) -> Delivery:
    """What the relation hands over, as source `name`; it is not asked anything yet."""
    span = partial(span_of, relation) if relation.table == "sales" else None
    hashed, read = partial(_file_hash, relation, landing), partial(_read, relation)
    return Delivery(name, relation.name, relation.name, hashed, read, relation.dates, span)


def _file_hash(relation: Relation, landing: Landing) -> str:
    """The hash of an SQLite file and its write-ahead log; other databases have no file that could prove no change."""
    if relation.file is None:
        return ""
    pending = landing.file_hash(relation.log) if relation.log else ""
    return landing.file_hash(relation.file, pending, relation.given, relation.table, relation.covariates)


def _read(relation: Relation, days: Days | None) -> Iterator[pl.DataFrame]:
    """All rows of the days in one frame; the order of rows, and so `line`, is the database's."""
    with relation.connected() as connection:
        columns = relation.columns(connection)
        chosen = relation.mapping(columns)
        statement: Any = sa.select(*(sa.column(name) for name in columns)).select_from(relation.clause)
        where = on_days(connection, relation, chosen.get("date"), days)
        rows = connection.execution_options(stream_results=True, yield_per=FETCH_ROWS).execute(
            statement if where is None else statement.where(where)
        )
        frames = [text_frame(columns, part) for part in rows.partitions()]
    text = pl.concat([pl.DataFrame(schema=dict.fromkeys(columns, pl.String())), *frames], rechunk=False)
    yield mapped(Parsed(text, marks(pl.int_range(1, text.height + 1, eager=True))), chosen)
