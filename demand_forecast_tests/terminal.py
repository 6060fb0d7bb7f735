"""`demand-forecast` commands, each in a process forked from one that has already imported the libraries.

Imports are more than half of a small retailer's night. One such process serves a whole test session, and ends with it.
"""

import fcntl
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from functools import cache
from pathlib import Path
from socketserver import ForkingMixIn, StreamRequestHandler, UnixStreamServer
from typing import IO, NoReturn

from demand_forecast.workspace.home import Home

ROOT = Path(__file__).parents[1]
IMPORTED = (  # by a run. Nothing of ours: what that is depends on the configuration
    *("dagster", "evidently.presets", "lightgbm", "matplotlib.figure", "mlflow.store.tracking.sqlalchemy_store"),
    *("scipy.stats", "skops.io", "sklearn.ensemble"),
)


class Command:
    """A `demand-forecast` command in a process group of its own; `status` is None while it runs."""

    def __init__(self, arguments: tuple[str, ...], folder: Path, environment: dict[str, str]) -> None:
        handle, self._output = tempfile.mkstemp(prefix="demand-forecast-output-")
        os.close(handle)
        request = {"arguments": arguments, "folder": str(folder), "environment": environment, "output": self._output}
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(_terminal()[0])
        self._connection.sendall(json.dumps(request).encode() + b"\n")
        self.pid = self._number()
        self.status: int | None = None

    def _number(self) -> int:
        number = self._connection.recv(4, socket.MSG_WAITALL)
        if len(number) < 4:
            raise ConnectionError("the process that commands are forked from has died")
        return int.from_bytes(number, "big", signed=True)

    def running(self, seconds: float = 0) -> bool:
        """Whether it is still running after `seconds`; returns as soon as it ends."""
        if self.status is None and select.select([self._connection], [], [], seconds)[0]:
            self.status = self._number()
            self._connection.close()
        return self.status is None

    def wait(self) -> str:
        """Waits for its end; gives its stdout and stderr."""
        while self.running(60):
            pass
        printed = Path(self._output).read_text(encoding="utf-8")
        Path(self._output).unlink()
        return printed

    def kill(self) -> None:
        """SIGKILL to the command and to its children."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)  # it may not have made its process group yet
            os.killpg(self.pid, signal.SIGKILL)


@cache
def _terminal() -> tuple[str, IO[str]]:
    """The socket of the session's forking process, and the lock that keeps it running while this process does."""
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())
    place = Path(tempfile.gettempdir(), f"demand-forecast-{session}")
    place.mkdir(exist_ok=True)
    alive = (place / "alive").open("w")
    with (place / "starting").open("w") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        fcntl.flock(alive, fcntl.LOCK_SH)
        if not (place / "socket").exists():
            _start(place)
    return str(place / "socket"), alive


def _start(place: Path) -> None:
    environment = os.environ | Home(Path()).environment()  # some of it is read on import
    command = [sys.executable, "-m", "demand_forecast_tests.terminal", str(place)]
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
    while not (place / "socket").exists():
        if server.poll() is not None:
            raise ChildProcessError(f"{' '.join(command)} ended with status {server.returncode}")
        time.sleep(0.05)


class _Run(StreamRequestHandler):
    def handle(self) -> None:
        request = json.loads(self.rfile.readline())
        process = os.fork()
        if process == 0:
            _run(**request)
        _, status = os.waitpid(self._answer(process), 0)
        self._answer(os.waitstatus_to_exitcode(status))

    def _answer(self, number: int) -> int:
        with suppress(BrokenPipeError):  # nobody waits for it
            self.request.sendall(number.to_bytes(4, "big", signed=True))
        return number


def _run(arguments: list[str], folder: str, environment: dict[str, str], output: str) -> NoReturn:
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:] = arguments
    sys.stdout = sys.stderr = open(output, "w", encoding="utf-8", buffering=1)  # noqa: SIM115  as long as the process
    for channel in (1, 2):
        os.dup2(sys.stdout.fileno(), channel)
    status = 1
    try:
        runpy.run_module("demand_forecast.cli", run_name="__main__", alter_sys=True)
    except SystemExit as exit:
        status = int(exit.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


class _Terminal(ForkingMixIn, UnixStreamServer):
    def __init__(self, place: Path) -> None:
        super().__init__(str(place / "new"), _Run)
        self.alive = (place / "alive").open("w")
        (place / "new").rename(place / "socket")

    def service_actions(self) -> None:
        """Called twice a second."""
        super().service_actions()
        with suppress(BlockingIOError):
            fcntl.flock(self.alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
            raise SystemExit


def main(place: Path) -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    try:
        _Terminal(place).serve_forever()
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
