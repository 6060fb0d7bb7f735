"""What a run says on the terminal."""

import io

import dagster as dg
import pytest
from rich.console import Console

from demand_forecast.defs.progress import ProgressHandler


def run(*definitions: object) -> str:
    said = io.StringIO()
    handler = ProgressHandler(Console(file=said, width=200))

    @dg.logger({})
    def progress(_):
        import logging

        logger = logging.Logger("test", logging.DEBUG)
        logger.addHandler(handler)
        return logger

    assets = [item for item in definitions if not isinstance(item, dg.AssetChecksDefinition)]
    checks = [item for item in definitions if isinstance(item, dg.AssetChecksDefinition)]
    jobs = [dg.define_asset_job("all")]
    bound = dg.Definitions(assets=assets, asset_checks=checks, jobs=jobs, loggers={"progress": progress})
    with dg.DagsterInstance.ephemeral() as instance:
        config = {"loggers": {"progress": {}}}
        bound.resolve_job_def("all").execute_in_process(instance=instance, run_config=config, raise_on_error=False)
    return said.getvalue()


@dg.asset
def daily_demand(context: dg.AssetExecutionContext) -> None:
    context.log.info("360 series")


@dg.asset(deps=["daily_demand"])
def demand_features() -> None:
    try:
        raise KeyError("inner")
    except KeyError as error:
        raise ValueError("clean_plan has no column price; map it") from error


@dg.asset(deps=["demand_features"])
def lightgbm() -> None: ...


@dg.asset_check(asset="daily_demand", blocking=True)
def volume_is_usual() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, description="3 units per day, 900 before")


def test_a_step_says_what_it_did_and_how_long_it_took() -> None:
    said = run(daily_demand)
    assert "360 series" in said
    assert "✓ daily_demand" in said


def test_a_failure_shows_its_cause_once_and_not_what_could_not_run() -> None:
    said = run(daily_demand, demand_features, lightgbm)
    assert "✗ demand_features" in said
    assert said.count("clean_plan has no column price; map it") == 1
    assert "Traceback" not in said
    assert "lightgbm" not in said


@pytest.mark.parametrize("downstream", [demand_features])
def test_a_blocking_check_says_what_it_found(downstream: dg.AssetsDefinition) -> None:
    said = run(daily_demand, volume_is_usual, downstream)
    assert "daily_demand: check volume_is_usual failed: 3 units per day, 900 before" in said
    assert "demand_features" not in said
