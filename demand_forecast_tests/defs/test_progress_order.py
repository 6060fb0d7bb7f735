"""Where on the terminal a run's lines stand: what a step said comes below it, indented; a check stands by itself."""

import io
import re

import dagster as dg
import pytest
from rich.console import Console

from demand_forecast.defs.progress import ProgressHandler

DAYS = ", ".join(f"2026-11-{day}" for day in range(21, 28))
SENTENCE = f"without sales: {DAYS}; the newest is 2026-10-04"
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|.*\r")  # colours, and what a spinner has drawn


@dg.asset
def raw_sales(context: dg.AssetExecutionContext) -> None:
    context.log.info("272,302 new rows")
    context.log.warning("one file was left")


@dg.asset_check(asset=raw_sales)
def days_have_arrived() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, description=SENTENCE)


@dg.asset(deps=[raw_sales])
def clean_sales(context: dg.AssetExecutionContext) -> None:
    context.log.info("271,729 clean")
    raise ValueError("no column price; map it")


def run(**console: object) -> list[str]:
    said = io.StringIO()
    handler = ProgressHandler(Console(file=said, **console))  # type: ignore[arg-type]

    @dg.logger({})
    def progress(_):
        import logging

        logger = logging.Logger("test", logging.DEBUG)
        logger.addHandler(handler)
        return logger

    jobs, config = [dg.define_asset_job("all")], {"loggers": {"progress": {}}}
    checks = [days_have_arrived]
    bound = dg.Definitions([raw_sales, clean_sales], jobs=jobs, asset_checks=checks, loggers={"progress": progress})
    with dg.DagsterInstance.ephemeral() as instance:
        bound.resolve_job_def("all").execute_in_process(instance=instance, run_config=config, raise_on_error=False)
    return [CONTROL.sub("", line).rstrip() for line in said.getvalue().split("\n")]


@pytest.fixture(scope="module")
def log() -> list[str]:
    return run(width=80)


def place(lines: list[str], beginning: str) -> int:
    (found,) = [number for number, line in enumerate(lines) if line.startswith(beginning)]
    return found


def test_what_a_step_said_stands_below_it_and_indented(log: list[str]) -> None:
    at = place(log, "  ✓ raw_sales ")
    assert log[at + 1 : at + 3] == ["    272,302 new rows", "    one file was left"]


def test_a_step_that_failed_says_first_what_it_did_then_why(log: list[str]) -> None:
    at = place(log, "  ✗ clean_sales")
    assert log[at + 1] == "    271,729 clean"
    assert "no column price; map it" in log[at + 2]


def test_a_check_names_its_asset_and_stays_one_line_in_a_log(log: list[str]) -> None:
    assert f"  ! raw_sales: check days_have_arrived failed: {SENTENCE}" in log


@pytest.mark.parametrize("width", [80, 120])
def test_on_a_terminal_long_sentences_are_indented_and_no_line_is_too_long(width: int) -> None:
    lines = run(width=width, force_terminal=True)
    at = next(number for number, line in enumerate(lines) if line.startswith("  ! raw_sales: check"))
    assert lines[at + 1].startswith("    "), lines[at : at + 2]
    assert not lines[at + 1].startswith("     ")
    assert max(map(len, lines[at : at + 2])) <= width
