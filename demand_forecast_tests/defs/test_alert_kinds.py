"""A kind of alert is declared once, where it is found: `only:`, the docs and the sensor know it from there."""

import re
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import dagster as dg
import pytest
from click.testing import CliRunner

from demand_forecast.alerts.alert import Alert
from demand_forecast.cli.commands import main
from demand_forecast.defs.automation.alert_sources import source
from demand_forecast.defs.automation.alert_sources.source import (
    EventSource,
    StateSource,
    Watched,
    alert_kinds,
    check_alert_kinds,
)
from demand_forecast.defs.automation.alerts import gather
from demand_forecast.settings import ConfigError, Settings, load_settings
from demand_forecast_tests.landing_files import write_config

DOCS = Path(__file__).parents[2] / "docs" / "alerts.md"
AT = datetime(2026, 5, 4, 3, tzinfo=UTC)


def settings(folder: Path, *only: str) -> Settings:
    channel = {"kind": "webhook", "url": "http://secret", "only": [*only]}
    return load_settings(write_config(folder, alerts={"channels": [{"kind": "slack", "url": "http://a"}, channel]}))


def test_the_docs_name_every_kind_as_it_is_declared() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert dict(rows) == alert_kinds()
    assert {"run_failed", "check_failed", "check_warning", "freshness_lost", "freshness_warning", "rollback"} <= {
        kind for kind, _ in rows
    }


def test_a_channel_may_name_every_kind(tmp_path: Path) -> None:
    check_alert_kinds(settings(tmp_path, *alert_kinds()))


def test_an_unknown_kind_is_named_with_key_file_and_the_nearest_and_without_the_address(tmp_path: Path) -> None:
    said = (
        r"config\.yaml: alerts\.channels\.1\.only\.1: unknown kind of alert rollbak; did you mean rollback\? Known here"
    )
    with pytest.raises(ConfigError, match=said) as caught:
        check_alert_kinds(settings(tmp_path, "run_failed", "rollbak"))
    assert "secret" not in str(caught.value)


def test_the_command_line_refuses_an_unknown_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMAND_FORECAST_CONFIG", "")
    config = settings(tmp_path, "rollbak").path
    result = CliRunner().invoke(main, ["home", "--config", str(config)])
    assert result.exit_code == 1
    assert "did you mean rollback?" in result.output


def raised(kind: str, key: str) -> Alert:
    return Alert(kind, "shop", "raised", "Too warm", "30 degrees", "http://ui", AT, key)


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> list[source.AlertSource]:
    """Those that a test defines, alone."""
    monkeypatch.setattr(source, "SOURCES", mine := [])
    monkeypatch.setattr("demand_forecast.defs.automation.alerts.SOURCES", mine)
    return mine


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    lake = SimpleNamespace(exists=lambda _: False, location=lambda table: f"{tmp_path}/{table}")
    return Watched(SimpleNamespace(lake=lake), dg.DagsterInstance.ephemeral(), SimpleNamespace())


def tick(watched: Watched, cursor: dict[str, float]) -> tuple[list[str], Any]:
    found, moved = gather(dg.build_sensor_context(), watched, cursor)
    return [alert.kind for alert in found], moved


def test_a_source_that_is_read_as_it_stands_joins_by_being_defined(
    tmp_path: Path, sources: list[source.AlertSource], watched: Watched
) -> None:
    class Heat(StateSource):
        name = "heat"
        kinds: ClassVar = {"heat": "it is too warm"}

        def keys(self, graph: Any) -> set[str]:
            return {self.key("shop")}

        def state(self, watched: Watched) -> list[Alert]:
            return [raised("heat", self.key("shop"))]

    check_alert_kinds(settings(tmp_path, "heat"))
    assert [type(one) for one in sources] == [Heat]
    assert tick(watched, {"since": AT.timestamp() - 1})[0] == ["heat"]
    assert tick(watched, {"since": AT.timestamp() + 1})[0] == [], "what was before is history"


def test_a_source_that_is_read_on_begins_where_the_cursor_does_not_know_it(
    sources: list[source.AlertSource], watched: Watched
) -> None:
    class Storms(EventSource):
        name = "storm"
        kinds: ClassVar = {"storm": "a storm has come"}
        position = "storms"

        def start(self, watched: Watched) -> float:
            return 7

        def events(self, watched: Watched, after: float) -> tuple[list[Alert], float]:
            return [raised("storm", self.key(str(after)))], after + 1

    old = {"since": 1.0, "event": 5}  # of a home from before there were storms
    found, cursor = tick(watched, old)
    assert (found, cursor) == ([], {**old, "storms": 7})
    assert tick(watched, cursor) == (["storm"], {**old, "storms": 8})
