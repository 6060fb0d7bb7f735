"""What the night needs is gone, and back: the source database, the MLflow server."""

import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import sqlalchemy as sa
import yaml

from demand_forecast.tracking.registry import RegistryError, Tracking
from demand_forecast_tests.behaviour.conftest import COLUMNS, Shopkeeper, sales_rows
from demand_forecast_tests.conftest import PostgresServer, free_port
from demand_forecast_tests.faults.kills import DAYS, SHOPS, a_new_day, completed, day, differences

pytestmark = pytest.mark.slow  # whole runs of a retailer in processes

SOLD = [row.split(",") for row in sales_rows(1, SHOPS, day(DAYS))]
TABLE = "create table sales (day text, shop text, item text, sold text, paid text)"


def with_books(retailer: Shopkeeper, url: str) -> None:
    """The retailer's sales come from its files and from the database at `url`."""
    tills = yaml.safe_load((retailer.folder / "config.yaml").read_text(encoding="utf-8"))["source"]
    books = {"kind": "sql", "name": "books", "url": url, "sales": {"table": "sales", "columns": COLUMNS}}
    retailer.reconfigure(source=None, sources=[tills, books])


def require_books(retailer: Shopkeeper) -> None:
    assert completed(retailer, "night") == []
    raw = retailer.table("raw_sales")
    assert raw.filter(raw["source"] == "books").height == len(SOLD)
    assert retailer.table("daily_demand")["date"].max() == day(DAYS)


def test_an_sqlite_file_moved_away_and_back(retailer: Shopkeeper) -> None:
    file, away = retailer.folder / "books.sqlite", retailer.folder / "moved"
    with closing(sqlite3.connect(away)) as books, books:
        books.execute(TABLE)
        books.executemany("insert into sales values (?, ?, ?, ?, ?)", SOLD)
    with_books(retailer, "sqlite:///books.sqlite")
    retailer.bad_night("books.sqlite: no such SQLite file; correct source.url", job="night")
    away.rename(file)
    require_books(retailer)


def test_a_postgresql_server_stopped_and_started(retailer: Shopkeeper, postgres: PostgresServer) -> None:
    engine = sa.create_engine(postgres.url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("drop table if exists sales"))
        connection.execute(sa.text(TABLE))
        names = ("day", "shop", "item", "sold", "paid")
        rows = [dict(zip(names, row, strict=True)) for row in SOLD]
        connection.execute(sa.text("insert into sales values (:day, :shop, :item, :sold, :paid)"), rows)
    with_books(retailer, postgres.url)
    postgres.stop()
    try:
        said = retailer.bad_night(f"127.0.0.1:{postgres.port}/postgres: sales: cannot connect", job="night")
    finally:
        postgres.start()
    assert "sesame" not in said
    require_books(retailer)


def test_an_mlflow_server_that_died_and_came_back(
    retailer: Shopkeeper, undisturbed: Shopkeeper, tmp_path: Path
) -> None:
    port = free_port()
    uri = f"http://planner:sesame@127.0.0.1:{port}"
    gone = f"MLflow at http://127.0.0.1:{port} does not answer ([Errno 111] Connection refused); start it"
    began = time.monotonic()
    with pytest.raises(RegistryError, match=re.escape(gone)):
        Tracking(uri, tmp_path, "demand").champion()
    assert time.monotonic() - began < 30
    retailer.reconfigure(tracking_uri=uri)
    a_new_day(retailer)
    night = retailer.run("night")
    night.failed_with(gone)
    assert "sesame" not in night.said
    with mlflow_server(retailer.folder / "home" / "mlflow", port):
        assert completed(retailer, "night") == []
    assert not any(differences(retailer, undisturbed).values())


@contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[None]:
    """A tracking server on the loopback, over the database and the artifacts in `folder`."""
    store = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--default-artifact-root", f"{folder}/artifacts"]
    where = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *store, *where],
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/health")
        yield
    finally:
        os.killpg(server.pid, 9)
        server.wait()


def _wait_for(url: str) -> None:
    for _ in range(600):
        try:
            with urlopen(url):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"{url} does not answer")
