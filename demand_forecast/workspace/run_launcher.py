"""Runs whose process is gone are found, so that they can be tried again: after a crash, a reboot, a kill."""

import os
import platform
from collections.abc import Mapping

from dagster import DagsterRun
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._core.storage.tags import MAX_RETRIES_TAG

from demand_forecast.workspace.processes import is_running

HOST, PROCESS = "demand-forecast/host", "demand-forecast/process"  # tags of a run that the command line executes
PATIENCE = 10  # seconds


def process_tags() -> dict[str, str]:
    """The tags of a run that this very process executes; only who started it can start it again."""
    return {HOST: platform.node(), PROCESS: str(os.getpid()), MAX_RETRIES_TAG: "0"}


class WatchedRunLauncher(DefaultRunLauncher):
    """Dagster's default launcher, which in addition tells its daemon whether a run's process is still there.

    The daemon's run monitoring asks for it; without it a run whose server died would be going on for ever.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        if PROCESS in run.tags:
            return _process_health(run.tags)
        return self._asked(run)

    def _asked(self, run: DagsterRun) -> CheckRunHealthResult:
        """What the server that started the run says of it; a server that is gone took its runs with it, one that does
        not answer in time is busy.
        """
        from dagster._core.errors import DagsterUserCodeUnreachableError
        from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
        from dagster._serdes import deserialize_value
        from grpc import StatusCode

        client = self._get_grpc_client_for_termination(run.run_id)
        if client is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "nobody noted where it runs")
        try:
            answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id), timeout=PATIENCE)
        except DagsterUserCodeUnreachableError as error:
            gone = getattr(error.__cause__, "code", lambda: None)() == StatusCode.UNAVAILABLE
            said = "the server that started it is gone" if gone else "the server that started it does not answer"
            return CheckRunHealthResult(WorkerStatus.FAILED if gone else WorkerStatus.RUNNING, said)
        going_on = deserialize_value(answer, CanCancelExecutionResult).can_cancel
        return CheckRunHealthResult(WorkerStatus.RUNNING if going_on else WorkerStatus.FAILED, "its process is gone")


def _process_health(tags: Mapping[str, str]) -> CheckRunHealthResult:
    if tags[HOST] != platform.node():
        return CheckRunHealthResult(WorkerStatus.RUNNING, "on another machine")
    if is_running(int(tags[PROCESS])):
        return CheckRunHealthResult(WorkerStatus.RUNNING)
    return CheckRunHealthResult(WorkerStatus.FAILED, "its process is gone")
