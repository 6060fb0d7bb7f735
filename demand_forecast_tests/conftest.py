"""A real PostgreSQL for as long as the session lasts, what is made once, and files that need not settle."""

import fcntl
import glob
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from hypothesis import settings

from demand_forecast_tests.served_night import night, serve
from demand_forecast_tests.small_disk import on_a_small_disk

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["night", "on_a_small_disk", "serve"]

NUMBERS = itertools.count()

os.environ.setdefault("DEMAND_FORECAST_AUTOMATION__SETTLE_SECONDS", "0")  # a test has just written its files
settings.register_profile("no deadline", deadline=None)  # a busy machine is no fault
settings.load_profile("no deadline")


@pytest.fixture(scope="session", autouse=True)
def migrations_read_once() -> Iterator[None]:
    """Dagster reads its migrations again for every instance: 0.4 s, most of the time of a small test."""
    from alembic.script import ScriptDirectory

    read = ScriptDirectory.from_config
    known: dict[str | None, ScriptDirectory] = {}

    def once(config: "Config") -> ScriptDirectory:
        place = config.get_main_option("script_location")
        if place not in known:
            known[place] = read(config)
        return known[place]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", once)
        yield


Once = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Once:
    """`once(name, make)`: the folder that `make` fills, whichever of the test processes needs it first. To be copied
    by who changes it."""
    base = tmp_path_factory.getbasetemp()
    place = base if worker_id == "master" else base.parent

    def made(name: str, make: Callable[[Path], None]) -> Path:
        folder = place / name
        with folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                folder.mkdir()
                make(folder)
        return folder

    return made


@pytest.fixture(scope="session")
def no_models(once: Once) -> Path:
    """A folder with an MLflow database in which nothing is; making one takes seconds."""

    def make(folder: Path) -> None:
        from mlflow import MlflowClient

        MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()

    return once("no_models", make)


@pytest.fixture(scope="module")
def registry(no_models: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of an MLflow database of the module's own."""
    return f"sqlite:///{shutil.copy(no_models / 'mlflow.db', tmp_path_factory.mktemp('mlflow'))}"


@pytest.fixture
def undrawn() -> Iterator[pytest.MonkeyPatch]:
    """Pictures stay empty until the test undoes it: drawing them is half of a small night."""
    from demand_forecast.reports.style import Chart

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Chart, "__call__", lambda *_, **__: b"")
        yield patch


@dataclass(frozen=True)
class PostgresServer:
    """A PostgreSQL of our own in `folder`, on the loopback and a free port."""

    pg_ctl: Path
    folder: str
    port: int

    @property
    def url(self) -> str:
        return f"postgresql+psycopg2://planner:sesame@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        listen = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories={self.folder}"
        self._control("-w", "-l", f"{self.folder}/log", "-o", f"{listen} -c fsync=off", "start")

    def stop(self) -> None:
        self._control("-m", "immediate", "stop")

    def _control(self, *how: str) -> None:
        _run(*_as_postgres(), str(self.pg_ctl), "-D", f"{self.folder}/data", *how)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running server; skipped where PostgreSQL is not installed."""
    binaries = [shutil.which("pg_ctl"), *sorted(glob.glob("/usr/lib/postgresql/*/bin/pg_ctl"), reverse=True)]
    pg_ctl = next((Path(found) for found in binaries if found), None)
    if pg_ctl is None:
        pytest.skip("PostgreSQL (initdb, pg_ctl) is not installed")
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        if _as_postgres():
            shutil.chown(folder, "postgres")
        initdb = [*_as_postgres(), str(pg_ctl.with_name("initdb")), "-D", f"{folder}/data"]
        _run(*initdb, "-U", "planner", "-A", "trust", "-E", "UTF8", "--no-sync")
        server = PostgresServer(pg_ctl, folder, free_port())
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """The URL of a database that only this test sees."""
    name = f"test_{next(NUMBERS)}"
    server = sa.create_engine(postgres.url, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with server.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    yield postgres.url.removesuffix("postgres") + name
    with server.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


def _as_postgres() -> list[str]:
    return ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
