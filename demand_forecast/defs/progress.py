"""A run's progress on the terminal: one line when a step starts, what it says, and how long it took."""

import logging
import time

import dagster as dg
from rich.console import Console

QUIET_ARROW, DONE, FAILED = "  [cyan]▸[/]", "  [green]✓[/]", "  [red]✗[/]"


class ProgressHandler(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self.console = console
        self.started: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "dagster_event", None)
        if event is None:
            self._say(record)
        elif event.step_key and event.is_step_start:
            self.started[event.step_key] = time.monotonic()
        elif event.step_key and event.is_step_success and not self._is_check(event):
            self.console.print(f"{DONE} {event.step_key:<22} {self._seconds(event):6.1f} s", highlight=False)
        elif event.is_step_failure:
            self._fail(event)
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            self._check(event.asset_check_evaluation_data)

    @staticmethod
    def _is_check(event: dg.DagsterEvent) -> bool:
        return event.step_key.startswith("check_")

    def _seconds(self, event: dg.DagsterEvent) -> float:
        return time.monotonic() - self.started.get(event.step_key or "", time.monotonic())

    def _say(self, record: logging.LogRecord) -> None:
        message = getattr(record, "dagster_meta", {}).get("orig_message") or record.getMessage()
        style = "yellow" if record.levelno >= logging.WARNING else "dim"
        self.console.print(f"    {message}", style=style, highlight=False, markup=False)

    def _fail(self, event: dg.DagsterEvent) -> None:
        error = event.step_failure_data.error
        while error is not None and error.cause is not None:
            error = error.cause
        self.console.print(f"{FAILED} {event.step_key}", highlight=False)
        if error is not None:
            self.console.print(f"    {error.message.strip()}", style="red", highlight=False, markup=False)

    def _check(self, evaluation: dg.AssetCheckEvaluation) -> None:
        if not evaluation.passed:
            place = f"{evaluation.asset_key.to_user_string()}: check {evaluation.check_name}"
            color = "red" if evaluation.severity == dg.AssetCheckSeverity.ERROR else "yellow"
            text = f"    {place} failed: {evaluation.description or ''}"
            self.console.print(text, style=color, highlight=False, markup=False)


@dg.logger(description="Progress of a run on the terminal.")
def progress_logger(_: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.Logger("demand_forecast.progress", logging.DEBUG)
    logger.addHandler(ProgressHandler(Console(stderr=True)))
    return logger
