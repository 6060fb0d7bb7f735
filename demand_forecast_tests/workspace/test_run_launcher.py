"""Whether the process of a run is still there."""

import json
import socketserver
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG, MAX_RETRIES_TAG

from demand_forecast.workspace.run_launcher import HOST, PROCESS, WatchedRunLauncher, process_tags


def status(tags: dict[str, str]) -> WorkerStatus:
    launcher = WatchedRunLauncher()
    with dg.DagsterInstance.ephemeral() as instance:
        launcher.register_instance(instance)
        run = dg.DagsterRun(job_name="nightly", tags=tags, status=dg.DagsterRunStatus.STARTED)
        instance.add_run(run)
        return launcher.check_run_worker_health(run).status


def dead_process() -> str:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return str(process.pid)


def test_a_run_of_the_command_line_is_there_as_long_as_its_process() -> None:
    assert status(process_tags()) == WorkerStatus.RUNNING
    assert status(process_tags() | {PROCESS: dead_process()}) == WorkerStatus.FAILED
    assert status(process_tags() | {HOST: "elsewhere", PROCESS: dead_process()}) == WorkerStatus.RUNNING
    assert process_tags()[MAX_RETRIES_TAG] == "0", "the daemon cannot start it again"


def test_a_run_whose_server_is_gone_is_gone(tmp_path: Path) -> None:
    socket = json.dumps({"host": "localhost", "socket": str(tmp_path / "gone")})
    assert status({GRPC_INFO_TAG: socket}) == WorkerStatus.FAILED


def test_a_server_that_does_not_answer_in_time_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demand_forecast.workspace.run_launcher.PATIENCE", 0.5)
    with socketserver.UnixStreamServer(str(tmp_path / "busy"), socketserver.BaseRequestHandler) as silent:
        silent.socket.listen()
        place = json.dumps({"host": "localhost", "socket": str(tmp_path / "busy")})
        assert status({GRPC_INFO_TAG: place}) == WorkerStatus.RUNNING


def test_of_a_run_that_nobody_noted_nothing_is_claimed() -> None:
    assert status({}) == WorkerStatus.RUNNING


@pytest.mark.parametrize("line", ["class: WatchedRunLauncher", "max_retries: 2", "retry_on_asset_or_op_failure: false"])
def test_home_watches_its_runs(tmp_path: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from demand_forecast.workspace.home import Home

    for name in Home(tmp_path).environment():
        monkeypatch.setenv(name, "")
    Home(tmp_path).prepare()
    assert line in (tmp_path / "dagster" / "dagster.yaml").read_text()
    with dg.DagsterInstance.get() as instance:
        assert isinstance(instance.run_launcher, WatchedRunLauncher)
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled
