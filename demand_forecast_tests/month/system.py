"""The system as it runs by itself: Dagster's daemon on a retailer's folder, looked at from outside."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from demand_forecast.lake.tables import Lake
from demand_forecast.workspace.home import Home

ROOT = Path(__file__).parents[2]
STARTED = re.compile(r"Started process for run \(pid: (\d+)\)")


@dataclass
class System:
    folder: Path
    daemon: "subprocess.Popen[bytes] | None" = None
    seen: set[str] = field(default_factory=set)

    @property
    def home(self) -> Home:
        return Home(self.folder / "home")

    @property
    def lake(self) -> Lake:
        return Lake(self.home.lake)

    def start(self) -> None:
        self.command("init").wait()
        self.runs()  # makes the instance's databases, which two processes cannot do at once
        daemon = str(Path(sys.executable).parent / "dagster-daemon")
        self.daemon = self._process(daemon, "run", "-w", str(ROOT / "workspace.yaml"))

    def stop(self, sign: int = signal.SIGTERM) -> None:
        """Ends the daemon; by SIGKILL with all that it started, as a power cut does."""
        if self.daemon is None:
            return
        if sign == signal.SIGKILL:
            os.killpg(self.daemon.pid, signal.SIGKILL)
        else:
            self.daemon.send_signal(sign)
        self.daemon.wait(60)
        self.daemon = None

    def command(self, *arguments: str) -> "subprocess.Popen[bytes]":
        return self._process(sys.executable, "-m", "demand_forecast.cli", *arguments)

    def _process(self, *arguments: str) -> "subprocess.Popen[bytes]":
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DEMAND_FORECAST_")}
        environment |= self.home.environment() | {"PYTHONPATH": str(ROOT)}
        environment["DEMAND_FORECAST_CONFIG"] = str(self.folder / "config.yaml")
        with (self.folder / "said.txt").open("ab") as said:
            return subprocess.Popen(
                arguments,
                cwd=self.folder,
                env=environment,
                stdout=said,
                stderr=said,
                start_new_session=True,
                restore_signals=True,
            )

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        os.environ.update(self.home.environment())
        return dg.DagsterInstance.get()

    def newest(self, table: str, column: str) -> date | None:
        if not self.lake.exists(table):
            return None
        return self.lake.scan(table).select(pl.col(column).max()).collect().item()

    def reviewed(self) -> date | None:
        """The day of the last night that went through to its end: forecast, scored, reviewed."""
        days = [self.newest("demand_forecast", "forecast_origin"), self.newest("champion_review", "day")]
        return min(days) if all(days) else None  # type: ignore[type-var]

    def runs(self) -> list[Any]:
        return list(self.instance.get_run_records(limit=200))

    def new_runs(self) -> list[tuple[str, str]]:
        """Job and status of the runs that ended since the last call, oldest first."""
        ended = [record.dagster_run for record in reversed(self.runs()) if record.dagster_run.is_finished]
        fresh = [run for run in ended if run.run_id not in self.seen]
        self.seen |= {run.run_id for run in fresh}
        names = ("flow" if run.job_name.startswith("__") else run.job_name for run in fresh)
        return list(zip(names, (run.status.value.lower() for run in fresh), strict=True))

    def going_on(self) -> list[Any]:
        return [record.dagster_run for record in self.runs() if not record.dagster_run.is_finished]

    def wait(self, until: Callable[[], bool], seconds: float, quiet: float = 8.0) -> bool:
        """Waits until `until` holds and no run has been going on for `quiet` seconds; False after `seconds`."""
        deadline, idle_since = time.monotonic() + seconds, time.monotonic()
        while time.monotonic() < deadline:
            if self.going_on() or not until():
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since >= quiet:
                return True
            time.sleep(0.5)
        return False

    def kill_run(self, seconds: float = 60) -> bool:
        """SIGKILL to the process of the next run that has begun its steps; False where none began in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for run in self.going_on():
                process = self._process_of(run.run_id)
                if process:
                    time.sleep(2.0)
                    os.kill(process, signal.SIGKILL)
                    return True
            time.sleep(0.2)
        return False

    def _process_of(self, run_id: str) -> int | None:
        logs = self.instance.all_logs(run_id)
        found = (STARTED.search(entry.dagster_event.message or "") for entry in logs if entry.dagster_event)
        return next((int(match[1]) for match in found if match), None)
