"""A run's progress on the terminal: one line when a step starts, what it says, and how long it took."""

import logging
import re
import time
from typing import Any

import dagster as dg
from dagster_shared.error import SerializableErrorInfo
from rich.console import Console

DONE, FAILED = "  [green]✓[/]", "  [red]✗[/]"
NOT_RUN = "Dependencies for step"  # what Dagster says of each of the many steps below a failed one
TOLD = "DagsterAssetCheckFailedError"  # the check has said more
OUR_ERROR = re.compile(r"^demand_forecast\.[\w.]+: ")  # its message needs no name
WRAPPERS = ("DagsterExecutionStepExecutionError", "DagsterExecutionHandleOutputError")  # what an asset's error comes in


def cause_of(error: SerializableErrorInfo | None) -> SerializableErrorInfo | None:
    """The error that an asset's code raised, without what Dagster wraps it in."""
    while error is not None and error.cause is not None and error.cls_name in WRAPPERS:
        error = error.cause
    return error


def message_of(error: SerializableErrorInfo) -> str:
    return OUR_ERROR.sub("", error.message.strip())


class ProgressHandler(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__(logging.DEBUG)
        self.console = console
        self.started: dict[str, float] = {}
        self.made: set[str] = set()  # steps that materialise an asset, in contrast to checks

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "dagster_event", None)
        if event is None:
            self._say(record)
        elif event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
            self.made.add(event.step_key)
        elif event.is_step_start:
            self.started[event.step_key] = time.monotonic()
        elif event.is_step_success and event.step_key in self.made:
            self._print(f"{DONE} {event.step_key:<22} {time.monotonic() - self.started[event.step_key]:6.1f} s")
        elif event.is_step_failure:
            self._fail(event)
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            self._check(event.asset_check_evaluation_data)

    def _print(self, text: str, **look: Any) -> None:
        self.console.print(text, highlight=False, soft_wrap=True, **look)

    def _say(self, record: logging.LogRecord) -> None:
        message = getattr(record, "dagster_meta", {}).get("orig_message") or record.getMessage()
        if record.levelno >= logging.INFO and not message.startswith(NOT_RUN):
            style = "yellow" if record.levelno >= logging.WARNING else "dim"
            self._print(f"    {message}", style=style, markup=False)

    def _fail(self, event: dg.DagsterEvent) -> None:
        error = cause_of(event.step_failure_data.error)
        self._print(f"{FAILED} {event.step_key}")
        if error is not None and error.cls_name != TOLD:
            self._print(f"    {message_of(error)}", style="red", markup=False)

    def _check(self, evaluation: dg.AssetCheckEvaluation) -> None:
        if not evaluation.passed:
            place = f"{evaluation.asset_key.to_user_string()}: check {evaluation.check_name}"
            color = "red" if evaluation.severity == dg.AssetCheckSeverity.ERROR else "yellow"
            self._print(f"    {place} failed: {evaluation.description or ''}", style=color, markup=False)


@dg.logger({}, description="Progress of a run on the terminal.")
def progress_logger(_: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.Logger("demand_forecast.progress", logging.DEBUG)
    logger.addHandler(ProgressHandler(Console(stderr=True)))
    return logger
