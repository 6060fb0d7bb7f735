import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import httpx
import polars as pl
import pytest

from demand_forecast.domain.tables import QUANTILE_COLUMNS
from demand_forecast.tracking.package import PackageInfo, write_package

ROOT = Path(__file__).parents[2]
ORIGIN = date(2026, 9, 30)
Serve = Callable[..., AbstractContextManager[httpx.Client]]


@pytest.fixture(scope="session")
def table() -> pl.DataFrame:
    """The table demand_forecast of 2 stores x 12 products x 28 days; every number differs."""
    days = pl.DataFrame({"horizon": pl.Series(range(1, 29), dtype=pl.Int32)})
    frame = pl.DataFrame({"store_id": ["S1", "S2"]}).join(
        pl.DataFrame({"product_id": [f"P{number:03}" for number in range(1, 13)]}), how="cross"
    )
    levels = {name: pl.col("mean") * place / 5 for place, name in enumerate(QUANTILE_COLUMNS, 1)}
    return (
        frame.join(days, how="cross")
        .with_row_index()
        .with_columns(
            date=pl.lit(ORIGIN) + pl.duration(days="horizon"),
            forecast_origin=pl.lit(ORIGIN),
            mean=(pl.col("index") / 7).cast(pl.Float32),
        )
        .with_columns(**levels)
    )


@pytest.fixture(scope="session")
def info() -> PackageInfo:
    return PackageInfo(
        model="lightgbm",
        model_version="3",
        forecast_origin=ORIGIN,
        trained_at=datetime(2026, 9, 30, 3, tzinfo=UTC),
        data_versions={"daily_demand": 4},
        metrics={"wape": 0.31},
        promotion={"decision": "promoted"},
    )


Publish = Callable[[Path], Path]


@pytest.fixture(scope="session")
def publish(table: pl.DataFrame, info: PackageInfo, tmp_path_factory: pytest.TempPathFactory) -> Publish:
    model = tmp_path_factory.mktemp("model")
    (model / "model.json").write_text("{}")
    return lambda folder: write_package(folder, model_folder=model, forecast=table, info=info)


@pytest.fixture(scope="session")
def serve() -> Serve:
    """Runs `bentoml serve` with a home below `folder`; gives a client of it. Stopped by its process id."""

    @contextmanager
    def run(folder: Path, *arguments: str, cwd: Path = ROOT) -> Iterator[httpx.Client]:
        (folder / "user").mkdir(exist_ok=True)
        port = _free_port()
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "bentoml", "serve", *arguments, "--port", str(port)],
                cwd=cwd,
                env=_environment(folder),
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
