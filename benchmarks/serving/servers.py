"""Servers that are measured, one at a time, each started as its documentation says."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process import ROOT
from benchmarks.serving.load import Load

NOOP = [b'{"store_id": "S1"}']
CONFIG = "home: .demand_forecast\nsource: {kind: files, sales: {path: sales.csv, columns: {date: Date}}}\n"
STARTED = 60.0  # seconds at most


@dataclass(frozen=True)
class Contender:
    name: str
    command: Sequence[str]  # beside the port
    path: str
    workers: str  # the variable that says how many


BENTOML = Contender(
    "no-op BentoML", ["bentoml", "serve", "benchmarks.serving.noop_bentoml:NoOp"], "/noop", "NOOP_WORKERS"
)
FASTAPI = Contender(
    "no-op FastAPI",
    ["uvicorn", "benchmarks.serving.noop_fastapi:app", "--no-access-log"],
    "/noop",
    "WEB_CONCURRENCY",
)
OURS = Contender("ours", ["bentoml", "serve"], "/v1/forecast", "DEMAND_FORECAST_SERVING__WORKERS")


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    contender: Contender
    port: int
    pid: int

    def load(self, bodies: Sequence[bytes] = NOOP) -> Load:
        return Load(self.port, self.contender.path, bodies)

    def ask(self, body: bytes) -> tuple[str, bytes]:
        """The worker that answered, by the beginning of its request ids, and its answer. Opens a new connection."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{self.contender.path}", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.headers.get("x-request-id", "")[:12], answer.read()

    def memory_mb(self) -> float:
        """Of the server and all its workers: proportional set size, in MB (2^20 bytes)."""
        return sum(map(_pss_kb, _family(self.pid))) / 1024


@contextmanager
def running(contender: Contender, workers: int, folder: Path, first: bytes) -> Iterator[Server]:
    """Runs a server that has answered `first`, its home and log in `folder`. Raises RuntimeError with its log."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "DEMAND_FORECAST_CONFIG": str(folder / "config.yaml"),
        "BENTOML_HOME": str(folder / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "true",
        contender.workers: str(workers),
    }
    log = folder / "log"
    with log.open("a", encoding="utf-8") as out:
        process = subprocess.Popen(  # noqa: S603 - our own servers
            [sys.executable, "-m", *contender.command, "--port", str(port)],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=out,
            stderr=out,
        )
    try:
        server = Server(contender, port, process.pid)
        _wait(server, first, process, log)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)


def bodies(keys: Sequence[tuple[str, str]], series: int, count: int = 100) -> list[bytes]:
    """`count` requests for `series` series each, for all published periods and the default quantiles."""
    named = [{"store_id": store, "product_id": product} for store, product in keys]
    chosen = ([named[(turn * series + place) % len(named)] for place in range(series)] for turn in range(count))
    return [json.dumps({"series": items}).encode() for items in chosen]


def _wait(server: Server, first: bytes, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + STARTED
    while time.monotonic() < deadline and process.poll() is None:
        try:
            server.ask(first)
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{server.contender.name} did not start:\n{log.read_text(encoding='utf-8')[-3000:]}")


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    return [pid, *(member for child in children for member in _family(int(child)))]


def _pss_kb(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
    return int(next(line for line in rollup.splitlines() if line.startswith("Pss:")).split()[1])
