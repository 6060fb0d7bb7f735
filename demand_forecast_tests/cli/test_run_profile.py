"""Where a run's time went, read back from the instance that ran it."""

import io
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from rich.console import Console

from demand_forecast.cli.commands import main
from demand_forecast.cli.run_profile import last_profile, note_end, process_started
from demand_forecast.cli.summary import print_profile
from demand_forecast.workspace.home import Home

DAYS = dg.DailyPartitionsDefinition(start_date="2024-01-01", end_date="2024-01-04")


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def raw_sales(context: dg.AssetExecutionContext) -> None:
    for day in context.partition_keys:
        context.add_asset_metadata({"dagster/partition_row_count": 500}, partition_key=day)
    context.add_asset_metadata({"dagster/row_count": 500}, partition_key=context.partition_keys[-1])


@dg.asset(deps=["raw_sales"])
def lightgbm() -> dg.MaterializeResult:
    time.sleep(0.3)
    return dg.MaterializeResult(metadata={"fit_seconds": 0.25, "dagster/row_count": 7})


@dg.asset_check(asset="lightgbm")
def is_sound() -> dg.AssetCheckResult:
    time.sleep(0.2)
    return dg.AssetCheckResult(passed=True)


@dg.asset(deps=["lightgbm"])
def broken() -> None:
    raise ValueError("no")


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    for name in ("DEMAND_FORECAST_HOME", "DEMAND_FORECAST_CONFIG", *Home(tmp_path).environment()):
        monkeypatch.setenv(name, "")
    monkeypatch.delenv("DEMAND_FORECAST_HOME")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("home: state\nsource: {kind: m5, path: .}\n")
    Home(tmp_path / "state").prepare()
    with dg.DagsterInstance.get() as instance:
        yield instance


def run(instance: dg.DagsterInstance, *more: dg.AssetsDefinition) -> dg.ExecuteInProcessResult:
    bound = dg.Definitions(
        assets=[raw_sales, lightgbm, *more], asset_checks=[is_sound], jobs=[dg.define_asset_job("all", selection="*")]
    )
    days = {"dagster/asset_partition_range_start": "2024-01-01", "dagster/asset_partition_range_end": "2024-01-03"}
    return bound.resolve_job_def("all").execute_in_process(instance=instance, tags=days, raise_on_error=False)


def test_stages_add_up_to_the_time_of_the_process(instance: dg.DagsterInstance) -> None:
    began = time.time() - 5
    note_end(instance, run(instance).run_id, began)
    profile = last_profile(instance)
    assert profile is not None
    stages = {stage.name: stage for stage in profile.stages}
    assert list(stages) == ["start-up", "raw_sales", "lightgbm", "checks", "between steps", "finish"]
    assert profile.seconds == pytest.approx(time.time() - began, abs=1)
    assert stages["start-up"].seconds > 5
    assert 0.3 <= stages["lightgbm"].seconds < stages["lightgbm"].seconds + stages["checks"].seconds - 0.19
    assert profile.fit_seconds == stages["lightgbm"].fit_seconds == 0.25
    assert (stages["raw_sales"].rows, stages["lightgbm"].rows) == (1500, 7)
    assert min(stage.seconds for stage in profile.stages) >= 0
    assert profile.peak_bytes is not None
    assert 50e6 < profile.peak_bytes < 50e9


def test_a_run_of_the_daemon_is_profiled_too(instance: dg.DagsterInstance) -> None:
    run(instance)
    profile = last_profile(instance)
    assert profile is not None
    assert profile.peak_bytes is None
    assert profile.seconds > 0.5


def test_a_step_that_failed_is_a_stage(instance: dg.DagsterInstance) -> None:
    run(instance, broken)
    profile = last_profile(instance)
    assert profile is not None
    assert not profile.success
    assert "broken" in [stage.name for stage in profile.stages]
    assert "failed" in printed(instance)


def printed(instance: dg.DagsterInstance) -> str:
    profile, said = last_profile(instance), io.StringIO()
    assert profile is not None
    print_profile(profile, Console(file=said, width=120))
    return said.getvalue()


def test_fit_and_the_rest_are_told_apart(instance: dg.DagsterInstance) -> None:
    note_end(instance, run(instance).run_id, time.time() - 100)
    said = printed(instance)
    assert "1,500" in said
    assert "(0%) inside the models' fit and 1:4" in said
    assert "(100%) outside" in said
    assert "GB peak memory" in said


def test_the_command_shows_the_last_run(instance: dg.DagsterInstance) -> None:
    assert "run `demand-forecast run` first" in CliRunner().invoke(main, ["profile"]).output
    run(instance)
    result = CliRunner().invoke(main, ["profile"])
    assert result.exit_code == 0, result.output
    assert "lightgbm" in result.output


def test_a_process_began_before_now() -> None:
    assert 0 < time.time() - process_started() < 24 * 3600
