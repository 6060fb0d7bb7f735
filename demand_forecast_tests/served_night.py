"""A night of the small retailer, published, and a server of it: fixtures `night` and `serve`."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import polars as pl
import pytest

from demand_forecast.domain.features import ForecastFeatures
from demand_forecast.domain.models import ForecastModel, create
from demand_forecast.domain.tables import SERIES
from demand_forecast.publishing.package import PackageInfo, write_package
from demand_forecast_tests.domain.small_retailer import Retailer, make_retailer

ROOT = Path(__file__).parents[1]
CONFIG = "home: .demand_forecast\nsource: {kind: files, sales: {path: sales.csv, columns: {date: Date}}}\n"
Serve = Callable[..., AbstractContextManager[httpx.Client]]

RESERVATION = "seasonal_naive 4 serves because nothing beats it yet"


@dataclass(frozen=True)
class Version:
    """A registered version: its model, saved in `folder`, and the table demand_forecast that it made."""

    number: str
    model: ForecastModel
    folder: Path
    table: pl.DataFrame


@dataclass(frozen=True)
class Night:
    """What a night leaves of a small retailer, and two versions that forecast it."""

    retailer: Retailer
    made: ForecastFeatures
    champion: Version
    other: Version

    def info(self, version: Version) -> PackageInfo:
        return PackageInfo(
            model=version.model.name,
            model_version=version.number,
            forecast_origin=self.retailer.last_day,
            trained_at=datetime(2026, 9, 30, 3, tzinfo=UTC),
            data_versions={"daily_demand": 4},
            metrics={"wape": 0.31},
            promotion={"decision": "promoted"},
            reservations=[RESERVATION] if version is self.other else [],
        )

    @property
    def tables(self) -> dict[str, pl.DataFrame]:
        """The tables beside the forecast."""
        history = self.retailer.demand.select(*SERIES, "date", "units", "price", "in_stock", "open")
        tables = {"features": self.made.rows, "planned": self.made.planned, "history": history}
        return tables | {"new_products": self.made.new_products}

    def publish(self, folder: Path, version: Version | None = None, live: bool = True, **more: pl.DataFrame) -> Path:
        version = version or self.champion
        return write_package(
            folder,
            model_folder=version.folder,
            forecast=version.table,
            info=self.info(version),
            tables=self.tables | more,
            live=live,
        )


@pytest.fixture(scope="session")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    retailer = make_retailer(horizon=28)
    rows, contract = retailer.features([retailer.last_day])
    made, training = retailer.ahead(contract), rows.filter("training")
    versions = []
    for number, name in (("3", "lightgbm"), ("4", "seasonal_naive")):
        model, folder = create(name).fit(training, contract), tmp_path_factory.mktemp(name)
        model.save(folder)
        alignment = (pl.col("horizon") % 3 / 10 + 0.9).cast(pl.Float64)
        factors = made.rows.select(alignment=alignment)["alignment"]
        table = model.distribution(made.rows, model.expected(made.rows) * factors.to_numpy())
        table = table.with_columns(factors, model_version=pl.lit(number)).sort(*SERIES, "horizon")
        versions.append(Version(number, model, folder, table))
    return Night(retailer, made, *versions)


@pytest.fixture(scope="session")
def serve() -> Serve:
    """Runs `bentoml serve` with a home below `folder`; gives a client of it. Stopped by its process id."""

    @contextmanager
    def run(folder: Path, *arguments: str, cwd: Path = ROOT, **variables: str) -> Iterator[httpx.Client]:
        (folder / "user").mkdir(exist_ok=True)
        port = _free_port()
        with (folder / "log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "bentoml", "serve", *arguments, "--port", str(port)],
                cwd=cwd,
                env=_environment(folder) | variables,
                stdout=log,
                stderr=log,
            )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
                _wait(client, folder / "log")
                yield client
        finally:
            process.terminate()
            process.wait(timeout=20)

    return run


def _environment(folder: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DEMAND_", "BENTOML_"))}
    return inherited | {
        "HOME": str(folder / "user"),
        "BENTOML_HOME": str(folder / ".demand_forecast" / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "true",
        "DEMAND_FORECAST_CONFIG": str(folder / "config.yaml"),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(client: httpx.Client, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if client.get("/livez").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"the service did not start:\n{log.read_text()}")
