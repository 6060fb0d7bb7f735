"""Packages that are published again while a server is asked."""

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from benchmarks.serving.load import Load, Outcome, saturate, total
from benchmarks.serving.servers import Server
from demand_forecast.publishing.package import Package, write_package

SOON = 60.0  # seconds until a swap counts as lost


@dataclass(frozen=True)
class Swaps:
    """Swaps under load: what was asked meanwhile, and the seconds from each publication until all workers had it."""

    asked: Outcome
    seconds: Sequence[float]


def publish(package: Package, folder: Path, version: str) -> None:
    """Publishes `package` in `folder` under another version."""
    tables = {file.stem: pl.read_ipc(file) for file in package.path.glob("*.arrow")}
    info = package.info.model_copy(update={"model_version": version})
    forecast = package.forecast.with_columns(forecast_origin=pl.lit(info.forecast_origin))
    write_package(folder, model_folder=package.model_folder, forecast=forecast, info=info, tables=tables)


def swap(server: Server, load: Load, package: Package, folder: Path, workers: int, swaps: int, requests: int) -> Swaps:
    """Publishes two versions in turn while wrk asks, until there were so many `swaps` and `requests`."""
    turns: list[Outcome] = []
    swapped = threading.Event()

    def ask() -> None:
        while not swapped.is_set() or sum(turn.requests for turn in turns) < requests:
            turns.append(saturate(load, 5))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        seconds = []
        for number in range(swaps):
            version = f"swapped-{number % 2}"
            publish(package, folder, version)
            seconds.append(_until_live(server, load.bodies[0], version, workers))
    finally:
        swapped.set()
        asking.join()
    return Swaps(total(turns), seconds)


def _until_live(server: Server, body: bytes, version: str, workers: int) -> float:
    """Seconds until every worker answers with that version."""
    began, found = time.monotonic(), dict[str, str]()
    while time.monotonic() < began + SOON:
        worker, content = server.ask(body)
        found[worker] = json.loads(content)["forecasts"][0]["model_version"]
        if len(found) == workers and {*found.values()} == {version}:
            return time.monotonic() - began
    raise RuntimeError(f"after {SOON:.0f} s the workers are at {found}, not at {version}")
