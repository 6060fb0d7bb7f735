"""A table or query in a database: where it is, how it is reached, and what columns it has."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from demand_forecast.domain.cleaning.dates import DateReading
from demand_forecast.domain.tables import now
from demand_forecast.settings import ColumnMapping, Input, Settings
from demand_forecast.sources.columns import declared, mapping
from demand_forecast.sources.days import local_day
from demand_forecast.sources.delivery import Table
from demand_forecast.sources.errors import SourceError


@dataclass(frozen=True)
class Relation:
    """One table or query of a database, and how its columns are mapped."""

    url: sa.URL
    table: Table
    given: Input
    covariates: list[str]
    dates: DateReading
    today: date

    @property
    def name(self) -> str:
        return self.given.table or "query"

    @property
    def place(self) -> str:
        return f"{self.url.render_as_string(hide_password=True)}: {self.name}"

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
    def clause(self) -> sa.FromClause:
        """What a statement selects from."""
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
            raise SourceError(f"{self.place}: cannot connect ({self._why(error)}); correct url: or start it") from None
        with connection:
            try:
                yield connection
            except sa.exc.SQLAlchemyError as error:
                raise SourceError(f"{self.place}: {self._why(error)}; correct {self.table}: or the database") from None

    def _why(self, error: sa.exc.SQLAlchemyError) -> str:
        why = " ".join(str(getattr(error, "orig", None) or error).split())
        return why.replace(str(self.url.password), "***") if self.url.password else why

    def columns(self, connection: sa.Connection) -> list[str]:
        """The names of its columns. Raises SourceError where there is no such table."""
        if self.given.table is not None:
            *schema, name = self.given.table.rsplit(".", 1)
            tables = sa.inspect(connection)
            known = [*tables.get_table_names(*schema), *tables.get_view_names(*schema)]
            if name not in known:
                raise SourceError(
                    f"{self.place}: no such table; correct {self.table}.table. Tables here: {', '.join(known)}"
                )
        everything = sa.select(sa.text("*")).select_from(self.clause).limit(0)
        return list(connection.execute(everything).keys())

    def mapping(self, columns: list[str]) -> ColumnMapping:
        """Which of `columns` is what. Raises SourceError for a mapped column that is not there."""
        return mapping(self.given, self.table, self.covariates, columns, self.place)


def relation_of(settings: Settings, url: str, table: Table, given: Input, dates: DateReading) -> Relation:
    """Raises SourceError for a URL that cannot be used, and for an input that names not just one of table and query."""
    if (given.table is None) == (given.query is None):
        raise SourceError(f"{settings.path}: {table}: kind sql needs either table: or query:")
    today = local_day(settings, now())
    return Relation(database_url(settings, url), table, given, declared(settings, table), dates, today)


def shown(url: str) -> str:
    """The URL without what may be secret; nothing where it is none."""
    try:
        return sa.make_url(url).set(query={}).render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        return ""


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
