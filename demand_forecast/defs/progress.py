"""A run's progress on the terminal: a line per finished step, its messages below it."""

import logging
import os
import re
import sys
import time
from dataclasses import dataclass, field

import dagster as dg
from dagster_shared.error import SerializableErrorInfo
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from demand_forecast.reports.terminal import print_hanging

DONE, FAILED, WARNED = "[green]✓[/]", "[red]✗[/]", "[yellow]![/]"
STEP, DETAIL = "  ", "    "  # what a line begins with
NOT_RUN = "Dependencies for step"  # what Dagster says of each of the many steps below a failed one
CHECK_FAILED = "DagsterAssetCheckFailedError"  # the check's own line has the details
OUR_ERROR = re.compile(r"^demand_forecast\.[\w.]+: ")  # its message needs no name
WRAPPERS = ("DagsterExecutionStepExecutionError", "DagsterExecutionHandleOutputError")  # what an asset's error comes in


def cause_of(error: SerializableErrorInfo | None) -> SerializableErrorInfo | None:
    """The error that an asset's code raised, without what Dagster wraps it in."""
    while error is not None and error.cause is not None and error.cls_name in WRAPPERS:
        error = error.cause
    return error


def message_of(error: SerializableErrorInfo) -> str:
    """The error's message, without the name of an error class of ours."""
    return OUR_ERROR.sub("", error.message.strip())


@dataclass
class Step:
    """A running step: its messages (text and style), and whether it materialises an asset."""

    began: float = field(default_factory=time.monotonic)
    messages: list[tuple[str, str]] = field(default_factory=list)
    materialises: bool = False
    spinner: TaskID | None = None


class ProgressHandler(logging.Handler):
    """Prints a step when it ends, then its messages; on a terminal a spinner shows what is running."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.DEBUG)
        self.console = console
        text = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
        self.running = Progress(
            SpinnerColumn(table_column=Column(min_width=1)),
            TimeElapsedColumn(table_column=Column(min_width=7)),
            text,
            console=console,
            transient=True,
            refresh_per_second=4,
            disable=not console.is_terminal,
        )
        self.steps: dict[str, Step] = {}

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "dagster_event", None)
        if event is None:
            self._message(record)
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            self._check(event.asset_check_evaluation_data)
        elif event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION and event.step_key in self.steps:
            self.steps[event.step_key].materialises = True
        elif event.is_step_start:
            self._start(event.step_key)
        elif event.is_step_success:
            self._succeed(event.step_key)
        elif event.is_step_failure:
            self._fail(event)

    def _start(self, key: str) -> None:
        self.running.start()
        self.steps[key] = Step(spinner=self.running.add_task(key, total=None))

    def _end(self, key: str) -> Step:
        step = self.steps.pop(key, None) or Step()
        if step.spinner is not None:
            self.running.remove_task(step.spinner)
        if not self.steps:
            self.running.stop()
        return step

    def _succeed(self, key: str) -> None:
        step = self._end(key)
        if step.materialises:
            self._print(f"{STEP}{DONE} ", f"{key:<22} {time.monotonic() - step.began:6.1f} s")
        self._details(step)

    def _fail(self, event: dg.DagsterEvent) -> None:
        step, error = self._end(event.step_key or ""), cause_of(event.step_failure_data.error)
        self._print(f"{STEP}{FAILED} ", str(event.step_key))
        self._details(step)
        if error is not None and error.cls_name != CHECK_FAILED:
            self._print(DETAIL, message_of(error), "red")

    def _details(self, step: Step) -> None:
        for text, style in step.messages:
            self._print(DETAIL, text, style)

    def _message(self, record: logging.LogRecord) -> None:
        meta = getattr(record, "dagster_meta", {})
        message = meta.get("orig_message") or record.getMessage()
        if record.levelno < logging.INFO or message.startswith(NOT_RUN):
            return
        style = "yellow" if record.levelno >= logging.WARNING else "dim"
        step = self.steps.get(meta.get("step_key") or "")
        if step is None:
            self._print(STEP, message, style)
        else:
            step.messages.append((message, style))
            if step.spinner is not None:
                self.running.update(step.spinner, description=f"{meta['step_key']}: {message}")

    def _check(self, found: dg.AssetCheckEvaluation) -> None:
        if found.passed:
            return
        sign, style = (FAILED, "red") if found.severity == dg.AssetCheckSeverity.ERROR else (WARNED, "yellow")
        place = f"{found.asset_key.to_user_string()}: check {found.check_name}"
        self._print(f"{STEP}{sign} ", f"{place} failed: {found.description or ''}", style)

    def _print(self, before: str, text: str, style: str = "") -> None:
        print_hanging(self.console, before, text, style)


@dg.logger({}, description="Progress of a run on the terminal.")
def progress_logger(_: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.Logger("demand_forecast.progress", logging.DEBUG)
    logger.addHandler(ProgressHandler(_console()))
    return logger


def _console() -> Console:
    """On the terminal itself, where there is one: Dagster puts a pipe in the place of stderr while a step runs."""
    if not sys.stderr.isatty():
        return Console(stderr=True)
    return Console(file=os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8"))
