"""The door for terminals and scripts: what it prints and the status it ends with."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from demand_forecast.alerts.alert import Alert
from demand_forecast.alerts.log import AlertLog, Line
from demand_forecast.cli.commands import main
from demand_forecast.lake.tables import Lake
from demand_forecast.workspace.home import Home

CONFIG = "home: state\nsource: {kind: files, sales: {path: sales.csv, columns: {date: Date}}}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "config.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DEMAND_FORECAST_HOME", raising=False)
    for name in ("DEMAND_FORECAST_CONFIG", *Home(tmp_path).environment()):
        monkeypatch.setenv(name, "")
    return tmp_path


def test_home_is_named(folder: Path) -> None:
    result = CliRunner().invoke(main, ["home"])
    assert (result.exit_code, result.output.strip()) == (0, str(folder / "state"))


def test_init_writes_what_dagster_dev_needs(folder: Path) -> None:
    assert CliRunner().invoke(main, ["init"]).exit_code == 0
    lines = (folder / ".env").read_text().splitlines()
    assert f"DAGSTER_HOME={folder / 'state' / 'dagster'}" in lines
    assert f"DEMAND_FORECAST_CONFIG={folder / 'config.yaml'}" in lines
    assert (folder / "state" / "dagster" / "dagster.yaml").exists()


def test_status_before_the_first_run_says_what_to_do(folder: Path) -> None:
    result = CliRunner().invoke(main, ["status"])
    assert result.exit_code == 0
    assert "run `demand-forecast run` first" in result.output


def test_status_shows_open_alerts_before_anything_is_live(folder: Path) -> None:
    at = datetime(2026, 5, 4, 3, 10, tzinfo=UTC)
    text, link = "raw_sales: no [file]", f"http://ui/runs/{'4f' * 40}"
    failed = Alert("run_failed", "nightly", "raised", "Run of nightly failed", text, link, at, "run:a")
    stale = replace(failed, key="freshness:b", title="b is old")
    fresh = replace(stale, state="resolved", at=at + timedelta(hours=1))
    AlertLog(Lake(folder / "state" / "lake")).write([Line(alert, (), at) for alert in (failed, stale, fresh)])
    result = CliRunner().invoke(main, ["status"])
    assert result.exit_code == 0, result.output
    for shown in ("Alerts    1 open", "2026-05-04 03:10", "run_failed", "Run of nightly failed", "no [file]"):
        assert shown in result.output
    assert link in "".join(result.output.split())  # folded, not cut
    assert "b is old" not in result.output


def test_a_rollback_before_the_first_run_says_what_to_do(folder: Path) -> None:
    result = CliRunner().invoke(main, ["rollback"])
    assert result.exit_code == 1
    assert "nothing is live, so nothing can be taken back: demand-forecast run" in result.stderr


def test_a_wrong_configuration_ends_with_status_one_and_no_traceback(folder: Path) -> None:
    (folder / "config.yaml").write_text("horizn: 3\n" + CONFIG)
    result = CliRunner().invoke(main, ["run"])
    assert result.exit_code == 1
    assert "unknown key horizn; did you mean horizon?" in result.output
    assert "Traceback" not in result.output


def test_a_missing_file_is_named(folder: Path) -> None:
    result = CliRunner().invoke(main, ["run", "--config", "nowhere.yaml"])
    assert result.exit_code == 1
    assert "nowhere.yaml: no such configuration file; give one by --config" in result.output


def test_sample_is_written_where_it_is_asked(folder: Path) -> None:
    result = CliRunner().invoke(main, ["sample", "--out", "shop"])
    assert result.exit_code == 0
    assert len(list((folder / "shop" / "landing" / "sales").iterdir())) > 1000
    assert (folder / "shop" / "ledger.sqlite").stat().st_size > 1_000_000
