"""A table or query of any database that SQLAlchemy can reach."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from demand_forecast.domain.cleaning.dates import EARLIEST_DAY, parse_dates
from demand_forecast.domain.tables import now
from demand_forecast.settings import Input, Settings, Source
from demand_forecast.sources.delivery import (
    Days,
    Delivery,
    Parsed,
    SourceError,
    Table,
    as_text,
    declared,
    local_day,
    mapped,
    mapping,
    marks,
)
from demand_forecast.sources.landing import Landing, signature

FETCH_ROWS = 50_000
TYPED = (bool, int, float, Decimal, date)


@dataclass(frozen=True)
class Ledger:
    """One table or query of a database, and how its columns are mapped."""

    url: sa.URL
    table: Table
    given: Input
    covariates: list[str]
    today: date

    @property
    def place(self) -> str:
        return f"{self.url.render_as_string(hide_password=True)}: {self.said}"

    @property
    def said(self) -> str:
        return self.given.table or "query"

    @property
    def file(self) -> Path | None:
        """The file of an SQLite database; None for others."""
        database = self.url.database if self.url.get_backend_name() == "sqlite" else None
        return Path(database) if database and database != ":memory:" else None

    @property
    def log(self) -> Path | None:
        """The write-ahead log beside an SQLite file, where there is one."""
        log = Path(f"{self.file}-wal") if self.file else None
        return log if log and log.is_file() else None

    @property
    def relation(self) -> sa.FromClause:
        if self.given.table is not None:
            *schema, name = self.given.table.rsplit(".", 1)
            return sa.table(name, schema=schema[0] if schema else None)
        literal = (self.given.query or "").strip().rstrip(";").replace(":", "\\:")  # a colon is no parameter here
        return sa.text(literal).columns().subquery("q")

    @contextmanager
    def connected(self) -> Iterator[sa.Connection]:
        """An open connection. Raises SourceError, without the password, for whatever the database refuses."""
        try:
            engine = sa.create_engine(self.url, poolclass=NullPool)
            connection = engine.connect()
        except ImportError as error:
            raise SourceError(f"{self.place}: no driver {error.name}; install it or name another in url:") from error
        except sa.exc.SQLAlchemyError as error:
            raise SourceError(f"{self.place}: cannot connect ({self._said(error)}); correct url: or start it") from None
        with connection:
            try:
                yield connection
            except sa.exc.SQLAlchemyError as error:
                raise SourceError(f"{self.place}: {self._said(error)}; correct {self.table}: or the database") from None

    def _said(self, error: sa.exc.SQLAlchemyError) -> str:
        said = " ".join(str(getattr(error, "orig", None) or error).split())
        return said.replace(str(self.url.password), "***") if self.url.password else said


def ledger_of(settings: Settings, table: Table, source: Source, given: Input) -> Ledger:
    """Raises SourceError for a URL that cannot be used, and for an input that names not just one of table and query."""
    if (given.table is None) == (given.query is None):
        raise SourceError(f"{settings.path}: {table}: kind sql needs either table: or query:")
    url = database_url(settings, source.url or "")
    return Ledger(url, table, given, declared(settings, table), local_day(settings, now()))


def deliveries(
    settings: Settings, name: str, table: Table, source: Source, given: Input, landing: Landing
) -> list[Delivery]:
    """The one delivery of a table or query. Raises SourceError for a URL that cannot be used."""
    ledger = ledger_of(settings, table, source, given)
    span = partial(_span, ledger) if table == "sales" else None
    hashed, read = partial(_file_hash, ledger, landing), partial(_read, ledger)
    return [Delivery(name, ledger.said, ledger.said, hashed, read, given.date_format, span)]


def database_url(settings: Settings, url: str) -> sa.URL:
    """`url` with an SQLite path relative to the configuration file, and psycopg2 where PostgreSQL has no other driver.

    Raises SourceError where it is no URL or the SQLite file does not exist (it would be created empty).
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise SourceError(
            f"{settings.path}: source.url is no database URL; write dialect://user:password@host/name"
        ) from None
    if parsed.drivername == "postgresql" and importlib.util.find_spec("psycopg") is None:
        return parsed.set(drivername="postgresql+psycopg2")
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        return parsed
    file = settings.resolve(str(parsed.database))
    if not file.is_file():
        raise SourceError(f"{file}: no such SQLite file; correct source.url (relative to {settings.path})")
    return parsed.set(database=str(file))


def _file_hash(ledger: Ledger, landing: Landing) -> str:
    """The hash of an SQLite file and its write-ahead log; other databases have no file that could prove no change."""
    if ledger.file is None:
        return ""
    pending = landing.file_hash(ledger.log) if ledger.log else ""
    return landing.file_hash(ledger.file, pending, ledger.given, ledger.table, ledger.covariates)


def file_signature(ledger: Ledger) -> list[int] | None:
    """Size and time of last change of an SQLite file and its log; None for other databases."""
    files = [file for file in (ledger.file, ledger.log) if file]
    return [part for file in files for part in signature(file.stat())] if files else None


def daily_totals(ledger: Ledger, days: Days | None) -> dict[date, str]:
    """For each readable day of `days` (None: of all) its rows, summed units and last moment, as one text: by one query.

    Raises SourceError where the database cannot be reached or lacks a column.
    """
    with ledger.connected() as connection:
        columns = _columns(connection, ledger)
        chosen = mapping(ledger.given, ledger.table, ledger.covariates, columns, ledger.place)
        dated = chosen["date"] if isinstance(chosen["date"], str) else None
        sample = _sample(connection, ledger, dated) if dated else None
        whole = dated is None or not _comparable(sample, ledger)
        day: Any = sa.literal(str(getattr(chosen["date"], "value", ""))) if dated is None else sa.column(dated)
        moment = day
        if not whole:
            day = sa.func.substring(day, 1, 10) if isinstance(sample, str) else sa.cast(day, sa.Date)
        parts = [day, sa.func.count(), _summed(connection, ledger, chosen["units"]), sa.func.max(moment)]
        statement: Any = sa.select(*parts).select_from(ledger.relation)
        statement = statement if dated is None else statement.group_by(day)
        if days is not None and dated is not None and not whole:
            statement = statement.where(_within(dated, days, isinstance(sample, str)))
        rows = connection.execute(statement).all()
    return _by_day(rows, ledger.given.date_format, days)


def _summed(connection: sa.Connection, ledger: Ledger, column: Any) -> Any:
    """The sum of the units where they are numbers; what a database makes of other texts is its own affair."""
    sample = _sample(connection, ledger, column) if isinstance(column, str) else None
    return sa.func.sum(sa.column(column)) if isinstance(sample, int | float | Decimal) else sa.literal(0)


def _by_day(rows: Any, date_format: str | None, days: Days | None) -> dict[date, str]:
    said = pl.DataFrame([_text_series("date", tuple(row[0] for row in rows))])
    parsed = said.select(parse_dates(pl.col("date"), date_format)).to_series()
    totals: dict[date, list[str]] = {}
    for day, (_, count, units, last) in zip(parsed, rows, strict=True):
        if day is not None and (days is None or days[0] <= day <= days[1]):
            totals.setdefault(day, []).append(f"{count} {float(units or 0):.4f} {last}")
    return {day: " ".join(sorted(parts)) for day, parts in sorted(totals.items())}


def _read(ledger: Ledger, days: Days | None) -> Iterator[pl.DataFrame]:
    """All rows of the days in one frame; the order of rows, and so `line`, is the database's."""
    with ledger.connected() as connection:
        columns = _columns(connection, ledger)
        chosen = mapping(ledger.given, ledger.table, ledger.covariates, columns, ledger.place)
        statement: Any = sa.select(*(sa.column(name) for name in columns)).select_from(ledger.relation)
        where = _where(connection, ledger, chosen.get("date"), days)
        rows = connection.execution_options(stream_results=True, yield_per=FETCH_ROWS).execute(
            statement if where is None else statement.where(where)
        )
        frames = [_text_frame(columns, part) for part in rows.partitions()]
    text = pl.concat([pl.DataFrame(schema=dict.fromkeys(columns, pl.String())), *frames], rechunk=False)
    yield mapped(Parsed(text, marks(pl.int_range(1, text.height + 1, eager=True))), chosen)


def _columns(connection: sa.Connection, ledger: Ledger) -> list[str]:
    given = ledger.given
    if given.table is not None:
        *schema, name = given.table.rsplit(".", 1)
        tables = sa.inspect(connection)
        known = [*tables.get_table_names(*schema), *tables.get_view_names(*schema)]
        if name not in known:
            raise SourceError(
                f"{ledger.place}: no such table; correct {ledger.table}.table. Tables here: {', '.join(known)}"
            )
    everything = sa.select(sa.text("*")).select_from(ledger.relation).limit(0)
    return list(connection.execute(everything).keys())


def _text_frame(columns: list[str], rows: Any) -> pl.DataFrame:
    values = zip(*rows, strict=True)
    return pl.DataFrame([_text_series(name, column) for name, column in zip(columns, values, strict=True)])


def _text_series(name: str, values: tuple[Any, ...]) -> pl.Series:
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


def _where(connection: sa.Connection, ledger: Ledger, column: Any, days: Days | None) -> Any:
    """The rows of `days`; and where these hold the table's last day, those whose date is null or impossible, for they
    count there. None where the database cannot compare this column."""
    sample = _sample(connection, ledger, column) if days is not None and isinstance(column, str) else None
    if sample is None or days is None or not _comparable(sample, ledger):
        return None
    text = isinstance(sample, str)
    wanted, last = _within(column, days, text), _extremes(connection, ledger, column, text)
    if last is not None and not days[0] <= last[1] <= days[1]:
        return wanted
    return sa.or_(wanted, sa.column(column).is_(None), sa.not_(_within(column, (EARLIEST_DAY, ledger.today), text)))


def _sample(connection: sa.Connection, ledger: Ledger, column: str) -> Any:
    dated: Any = sa.column(column)
    return connection.execute(sa.select(dated).select_from(ledger.relation).where(dated.is_not(None)).limit(1)).scalar()


def _comparable(sample: Any, ledger: Ledger) -> bool:
    return isinstance(sample, date) or (isinstance(sample, str) and ledger.given.date_format is None)


def _within(column: str, days: Days, text: bool) -> Any:
    """Dates, moments and ISO texts alike: from the first day to before the day after the last."""
    dated: Any = sa.column(column)
    first, after = days[0], days[1] + timedelta(days=1)
    if not text:
        return sa.and_(dated >= first, dated < after)
    return sa.and_(dated.like("____-__-__%"), dated >= first.isoformat(), dated < after.isoformat())


def _extremes(connection: sa.Connection, ledger: Ledger, column: str, text: bool) -> Days | None:
    dated: Any = sa.column(column)
    possible = _within(column, (EARLIEST_DAY, ledger.today), text)
    found = connection.execute(
        sa.select(sa.func.min(dated), sa.func.max(dated)).select_from(ledger.relation).where(possible)
    ).one()
    return _readable(found, None)


def _readable(values: Any, date_format: str | None) -> Days | None:
    said = pl.DataFrame([_text_series("date", tuple(values))])
    days = said.select(parse_dates(pl.col("date"), date_format)).to_series().drop_nulls()
    return (days.min(), days.max()) if days.len() else None  # type: ignore[return-value]


def _span(ledger: Ledger) -> Days | None:
    with ledger.connected() as connection:
        columns = _columns(connection, ledger)
        column = mapping(ledger.given, ledger.table, ledger.covariates, columns, ledger.place)["date"]
        if not isinstance(column, str):
            return _readable([str(column.value)], ledger.given.date_format)
        sample = _sample(connection, ledger, column)
        if sample is None:
            return None
        if _comparable(sample, ledger):
            return _extremes(connection, ledger, column, isinstance(sample, str))
        said: Any = (
            connection.execute(sa.select(sa.column(column)).select_from(ledger.relation).distinct()).scalars().all()
        )
        return _readable(said, ledger.given.date_format)
