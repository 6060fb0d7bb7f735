"""The home folder: where everything is stored, and the settings that keep other programs inside it."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from shlex import quote

from demand_forecast.workspace.atomic_write import replace_text

DAGSTER_YAML = """\
# Written by demand-forecast; yours to change: it is not written again.
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 2
run_launcher:  # tells run_monitoring whether a run's process is still there
  module: demand_forecast.workspace.run_launcher
  class: WatchedRunLauncher
run_monitoring:
  enabled: true
  poll_interval_seconds: 30
run_retries:  # of runs whose process died; a step that failed is not tried again before something is new
  enabled: true
  max_retries: 2
  retry_on_asset_or_op_failure: false
event_log_storage:  # SQLite as Dagster's own, a night's events in one transaction; for PostgreSQL: storage:
  module: demand_forecast.workspace.event_log
  class: BatchedSqliteEventLogStorage
"""
MOVED = re.compile(r"(\bmodule: *)demand_forecast\.(run_launcher|event_log)\b")  # as earlier releases wrote them


@dataclass(frozen=True)
class Home:
    root: Path

    @property
    def lake(self) -> Path:
        return self.root / "lake"

    @property
    def dagster(self) -> Path:
        return self.root / "dagster"

    @property
    def mlflow(self) -> Path:
        return self.root / "mlflow"

    @property
    def bentoml(self) -> Path:
        return self.root / "bentoml"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def serving(self) -> Path:
        return self.root / "serving"

    @property
    def predictions(self) -> Path:
        """Segment files of the prediction log, written by the service's processes."""
        return self.root / "predictions"

    @property
    def taking_answers(self) -> Path:
        """Held while logged predictions are appended to the lake; prevents duplicate appends."""
        return self.root / ".taking_answers.lock"

    @property
    def alerts_lock(self) -> Path:
        """Held while alerts are recorded and sent; prevents sending one twice."""
        return self.root / "alerts.lock"

    @property
    def landing(self) -> Path:
        """Cached facts about landing files; safe to delete."""
        return self.root / "landing.json"

    @property
    def collecting(self) -> Path:
        """Held while collecting; prevents duplicate appends."""
        return self.root / ".collecting.lock"

    @property
    def history_start(self) -> Path:
        return self.root / "history_start"

    def environment(self) -> dict[str, str]:
        """Variables that keep Dagster, BentoML, Evidently and MLflow inside this folder, and threads from spinning."""
        return {
            "DAGSTER_HOME": str(self.dagster),
            "DAGSTER_EVENT_BATCH_SIZE": "1000",  # else each of a history's days is a transaction of its own
            "BENTOML_HOME": str(self.bentoml),
            "BENTOML_DO_NOT_TRACK": "true",
            "DO_NOT_TRACK": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "OMP_WAIT_POLICY": "PASSIVE",  # spinning threads on a busy machine: a LightGBM fit of 10 s took 110 s
        }

    def prepare(self) -> None:
        """Creates the folders and the Dagster instance's settings, and sets this process's environment.

        Raises OSError where the folder cannot be written.
        """
        for folder in (self.lake, self.dagster, self.mlflow, self.bentoml, self.reports, self.serving):
            folder.mkdir(parents=True, exist_ok=True)
        self._prepare_instance(self.dagster / "dagster.yaml")
        os.environ.update(self.environment())

    def _prepare_instance(self, file: Path) -> None:
        """Writes dagster.yaml once; later only updates the paths of our modules that have moved."""
        if not file.exists():
            replace_text(file, DAGSTER_YAML)
            return
        text = file.read_text(encoding="utf-8")
        current = MOVED.sub(r"\1demand_forecast.workspace.\2", text)
        if current != text:
            replace_text(file, current)

    def read_history_start(self) -> date | None:
        """The first day of sales ever found in the sources; None before the first run.

        Raises ValueError where the file is not a date.
        """
        return date.fromisoformat(self.history_start.read_text()) if self.history_start.exists() else None

    def note_history_start(self, day: date) -> None:
        """Records the first day of sales in the sources; it only ever moves back."""
        known = self.read_history_start()
        if known is None or day < known:
            replace_text(self.history_start, day.isoformat())

    def write_env_file(self, path: Path, more: Mapping[str, str]) -> None:
        """Writes the `.env` file that `dagster dev` reads: the environment, and the variables in `more`."""
        named = {"DEMAND_FORECAST_HOME": str(self.root)} | self.environment() | dict(more)
        lines = "".join(f"{name}={quote(value)}\n" for name, value in named.items())
        path.write_text(f"# Written by `demand-forecast init`; read by `dagster dev`.\n{lines}", encoding="utf-8")
