"""Runs a job from a terminal: chooses the days, shows progress, prints the result."""

import logging
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rich.console import Console

from demand_forecast.cli.run_profile import last_profile, note_end, process_started
from demand_forecast.cli.status import print_status
from demand_forecast.cli.summary import print_checks, print_duration, print_summary
from demand_forecast.domain.tables import now
from demand_forecast.reports.terminal import Line, print_hanging, print_lines
from demand_forecast.settings import Settings
from demand_forecast.sources.collecting.history import span
from demand_forecast.sources.collecting.settling import wait_until_settled
from demand_forecast.sources.days import local_day
from demand_forecast.sources.errors import NoFileError, SourceError
from demand_forecast.sources.landing import Landing
from demand_forecast.workspace.home import Home

if TYPE_CHECKING:
    import dagster as dg

    from demand_forecast.defs.check_results import CheckResult

NO_ROOM = ("No space left on device", "database or disk is full")
UNTOUCHED = "Every table is as it was after its last whole write."


def run_job(settings: Settings, job: str, progress: Console, out: Console) -> bool:
    """Collects what is new, runs the assets of `job`, prints progress and a summary; True if everything worked.

    What a source or a full disk stops is printed and is False; any other error outside the run is raised.
    """
    started = process_started()
    _quiet()
    wait_until_settled(settings)  # who lands a file and runs at once means that file too
    try:
        result = _execute(settings, job)
    except SourceError as error:
        _print_error(progress, str(error))
        return False
    except Exception as error:
        if not _disk_is_full(error):
            raise
        _print_error(progress, f"{settings.root}: the disk is full; free space there and run again. {UNTOUCHED}")
        return False
    checks = _checks_of(result.run_id)
    if not result.success:
        print_checks(checks, progress)
        text = f"The run failed; what was there before is still there. See it in the UI: make ui, run {result.run_id}"
        print_lines(progress, [Line(""), Line(text)], "", 0)
        return False
    print_summary(settings, checks, out)
    _print_duration(result.run_id, started, out)
    return True


def _print_error(progress: Console, text: str) -> None:
    print_hanging(progress, "", text, "red")


def _disk_is_full(error: BaseException | None) -> bool:
    """Whether the disk was full when Dagster wrote its records: SQLite's error comes wrapped, ENOSPC only as text."""
    while error is not None:
        if any(words in str(error) for words in NO_ROOM):
            return True
        error = error.__cause__ or error.__context__
    return False


def _checks_of(run_id: str) -> "list[CheckResult]":
    import dagster as dg

    from demand_forecast.defs.check_results import results_of

    with dg.DagsterInstance.get() as instance:
        return results_of(instance, run_id)


def _print_duration(run_id: str, started: float, out: Console) -> None:
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        note_end(instance, run_id, started)
        profile = last_profile(instance)
    if profile is not None:
        print_duration(profile, out)


def _quiet() -> None:
    """Silences what libraries print: the terminal shows progress only."""
    warnings.filterwarnings("ignore")
    for name in ("alembic", "mlflow", "bentoml"):
        logging.getLogger(name).setLevel(logging.ERROR)


def roll_back(settings: Settings, reason: str, progress: Console, out: Console) -> bool:
    """Takes the champion back, prints progress and then the status; True only if everything worked."""
    _quiet()
    from demand_forecast.defs.automation.retraining import ROLLBACK, rollback_config
    from demand_forecast.defs.project import Project
    from demand_forecast.tracking.registry import RegistryError
    from demand_forecast.tracking.rollback import RollbackError, pair

    try:
        champion, _ = pair(Project(config=str(settings.path)).tracking)
    except (RollbackError, RegistryError) as error:
        _print_error(progress, str(error))
        return False
    result = _execute_job(ROLLBACK, rollback_config(reason, champion.version, "demand-forecast rollback"))
    print_status(settings, out)
    if not result.success:
        print_hanging(progress, "", f"The run failed. See it in the UI: make ui, run {result.run_id}")
    return result.success


def _execute(settings: Settings, job: str) -> "dg.ExecuteInProcessResult":
    _begin_history(settings)  # before the definitions are loaded: the partitions begin there
    from demand_forecast.defs.automation.arrival import days_to_run, partition_range
    from demand_forecast.defs.project import Project

    return _execute_job(job, {}, partition_range(days_to_run(Project(config=str(settings.path)))))


def _execute_job(
    name: str, run_config: dict[str, Any], tags: dict[str, str] | None = None
) -> "dg.ExecuteInProcessResult":
    """Runs a job of the definitions in this process, on the instance that the UI shows."""
    import dagster as dg

    from demand_forecast.definitions import defs
    from demand_forecast.workspace.run_launcher import process_tags

    with dg.DagsterInstance.get() as instance:
        return (
            defs()
            .resolve_job_def(name)
            .execute_in_process(
                instance=instance,
                tags={**(tags or {}), **process_tags()},
                run_config={"loggers": {"progress": {}}, **run_config},
                raise_on_error=False,
            )
        )


def _begin_history(settings: Settings) -> None:
    """Records the first day of history. Raises SourceError where no day since is over."""
    home = Home(settings.root)
    if not settings.history_start:
        with suppress(*([NoFileError] if home.read_history_start() else [])):  # owners empty their folders
            home.note_history_start(span(settings, Landing(home.landing))[0])
    first = settings.history_start or home.read_history_start()
    if first and first >= local_day(settings, now()):
        raise SourceError(
            f"{settings.path}: history begins on {first}, and no day since is over; bring sales of days that are over, "
            "or set history_start: to an earlier day"
        )
