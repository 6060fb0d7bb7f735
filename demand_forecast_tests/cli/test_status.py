"""`demand-forecast status`: where, what is live and how old, what serves it, what is wrong."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import dagster as dg
import polars as pl
import pytest
from rich.console import Console

from demand_forecast.cli.service_probe import ask_service
from demand_forecast.cli.status import print_status
from demand_forecast.domain.tables import now
from demand_forecast.lake.tables import Lake
from demand_forecast.reports.terminal import Line
from demand_forecast.settings import Serving, Settings, load_settings
from demand_forecast.tracking.ledger import PromotionLedger
from demand_forecast.workspace.home import Home
from demand_forecast_tests.conftest import free_port
from demand_forecast_tests.landing_files import write_config

MODEL = {
    "package": "4-abc",
    "model": "ensemble",
    "model_version": "4",
    "forecast_origin": "2026-05-03",
    "refused": None,
}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.delenv("DEMAND_FORECAST_HOME", raising=False)
    for name in Home(tmp_path).environment():
        monkeypatch.setenv(name, "")
    settings = load_settings(write_config(tmp_path, serving={"port": free_port()}))
    Home(settings.root).prepare()
    return settings


@pytest.fixture
def no_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves them out where they are not the subject: asking for them loads every definition."""
    monkeypatch.setattr("demand_forecast.cli.status._checks", lambda: [Line("left out")])


def forecast(settings: Settings, age: int) -> None:
    """Version 4 is champion by a decision of two hours ago; its forecast knows the sales to `age` days ago."""
    lake, origin = Lake(Home(settings.root).lake), now().date() - timedelta(days=age)
    days = [origin + timedelta(days=ahead) for ahead in (1, 2)]
    rows = {"store_id": ["S1"] * 2, "product_id": ["P1"] * 2, "date": days, "forecast_origin": [origin] * 2}
    lake.replace(
        "demand_forecast", pl.DataFrame(rows | {"mean": [2.0, 3.0], "model": "ensemble", "model_version": "4"})
    )
    line = {
        "decided_at": now() - timedelta(hours=2),
        "decision": "promoted",
        "run_id": "r",
        "reasons": "0.39 against 0.75",
    }
    PromotionLedger(lake).append({**line, "to_version": "4"})


def status(settings: Settings, width: int = 200) -> str:
    text = io.StringIO()
    print_status(settings, Console(file=text, width=width))
    return text.getvalue()


def test_it_says_where_home_and_configuration_are_before_anything_is_live(settings: Settings) -> None:
    said = status(settings)
    assert f"Home      {settings.root}\nConfig    {settings.path}\n" in said
    for line in (
        "run `demand-forecast run` first",
        "Forecast  none yet",
        "Checks    none evaluated",
        "Alerts    none open",
    ):
        assert line in said


@pytest.mark.usefixtures("no_checks")
def test_it_says_what_is_live_since_when_and_how_old_the_forecast_is(settings: Settings) -> None:
    forecast(settings, age=1)
    said = status(settings)
    assert "Live      ensemble version 4, champion since " in said
    assert "(2 hours ago)" in said
    assert "- 0.39 against 0.75" in said
    assert "by ensemble version 4, made " in said
    assert "(just now)" in said
    assert f"knows the sales to {now().date() - timedelta(days=1)}, yesterday\n" in said
    assert "demand-forecast night" not in said


@pytest.mark.usefixtures("no_checks")
def test_reservations_of_the_champion_are_lines_of_their_own(settings: Settings) -> None:
    forecast(settings, age=1)
    assert "with reservations" not in status(settings)
    lake = Lake(Home(settings.root).lake)
    line = {"decided_at": now(), "decision": "promoted", "run_id": "s", "reasons": "none beats it", "to_version": "4"}
    PromotionLedger(lake).append({**line, "reservations": "bias +31.0% is outside\nonly 14 of 28 periods are proven"})
    said = status(settings)
    assert ", with reservations\n" in said
    assert "! bias +31.0% is outside\n" in said
    assert "! only 14 of 28 periods are proven\n" in said


@pytest.mark.usefixtures("no_checks")
def test_an_old_forecast_is_called_old_with_what_to_do(settings: Settings) -> None:
    forecast(settings, age=9)
    assert ", 9 days ago: bring newer ones and run `demand-forecast night`" in status(settings)


def test_it_lists_failed_checks_with_their_sentence_and_counts_those_that_passed(settings: Settings) -> None:
    checks = [
        ("volume_is_usual", "daily_demand", True, dg.AssetCheckSeverity.ERROR, "900 units"),
        ("expected_days_have_arrived", "raw_sales", False, dg.AssetCheckSeverity.WARN, "without sales: 2026-05-02"),
        ("package_verifies", "forecast_service", False, dg.AssetCheckSeverity.ERROR, "model.json is missing"),
    ]
    with dg.DagsterInstance.get() as instance:
        for name, asset, passed, severity, text in checks:
            found = {"passed": passed, "severity": severity, "description": text, "metadata": {}}
            instance.report_runless_asset_event(
                dg.AssetCheckEvaluation(check_name=name, asset_key=dg.AssetKey(asset), **found)
            )
    said = status(settings)
    assert "Checks    1 passed, 1 failed, 1 warned\n" in said
    assert "✗ forecast_service: package_verifies: model.json is missing\n" in said
    assert "! raw_sales: expected_days_have_arrived: without sales: 2026-05-02\n" in said
    assert said.index("package_verifies") < said.index("expected_days_have_arrived")
    assert "900 units" not in said


def test_records_that_cannot_be_read_hide_nothing_else(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    forecast(settings, age=1)
    monkeypatch.setattr(dg.DagsterInstance, "get", lambda: 1 / 0)
    said = status(settings)
    assert "Checks    not known: ZeroDivisionError" in said
    assert "Alerts    none open" in said
    assert "champion since" in said


@contextmanager
def service(answers: dict[str, tuple[int, Any]], port: int = 0) -> Iterator[int]:
    """A server that answers each path with a status and JSON; gives its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, body = answers[self.path]
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


def publish(settings: Settings, package: str) -> None:
    folder = Home(settings.root).serving
    (folder / package).mkdir()
    (folder / "current.json").write_text(json.dumps({"package": package}))


READY = {"/readyz": (200, ""), "/v1/model": (200, MODEL)}


@pytest.mark.usefixtures("no_checks")
def test_a_service_that_does_not_answer_is_said_with_its_address(settings: Settings) -> None:
    assert f"Service   http://127.0.0.1:{settings.serving.port}: nothing answers; `make serve` starts it" in status(
        settings
    )


@pytest.mark.usefixtures("no_checks")
def test_a_service_is_named_with_its_package(settings: Settings) -> None:
    publish(settings, "4-abc")
    with service(READY, settings.serving.port):
        said = status(settings)
    address = f"http://127.0.0.1:{settings.serving.port}"
    assert f"Service   {address} serves package 4-abc: ensemble version 4, from 2026-05-03\nChecks" in said


@pytest.mark.usefixtures("no_checks")
def test_a_service_that_serves_another_package_than_the_published_says_why(settings: Settings) -> None:
    publish(settings, "5-def")
    refused = {"refused": {"package": "5-def", "reason": "forecast.parquet is not the file that was published"}}
    with service(READY | {"/v1/model": (200, MODEL | refused)}, settings.serving.port):
        said = status(settings)
    assert "! package 5-def is published: forecast.parquet is not the file that was published\n" in said


@pytest.mark.parametrize(
    ("answers", "trouble", "model"),
    [
        (READY, "", MODEL),
        ({"/readyz": (503, "no champion")}, "it is not ready (HTTP status 503)", {}),
        (READY | {"/v1/model": (401, {})}, "", {}),
        (READY | {"/v1/model": (200, "no dictionary")}, "nothing answers", {}),
    ],
)
def test_what_a_service_answers_is_read(
    answers: dict[str, tuple[int, Any]], trouble: str, model: dict[str, Any]
) -> None:
    with service(answers) as port:
        found = ask_service(Serving(host="0.0.0.0", port=port))
    assert (found.url, found.trouble, found.model) == (f"http://127.0.0.1:{port}", trouble, model)


@pytest.mark.usefixtures("no_checks")
@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_longer_than_the_terminal(settings: Settings, width: int) -> None:
    forecast(settings, age=9)
    text = io.StringIO()
    print_status(settings, Console(file=text, width=width, force_terminal=True, color_system=None))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) > 8
