"""A retailer of ten days of reports."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from demand_forecast.defs.project import SALES_DAYS, Project
from demand_forecast_tests.landing_files import write_config, write_reports


@pytest.fixture
def project_of(tmp_path: Path, registry: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Project]:
    """A project of `tmp_path` whose configuration has these keys. Its days end when those of the definitions do: they
    were made of another configuration, and between the midnights of two time zones the two would differ."""
    monkeypatch.delenv("DEMAND_FORECAST_HOME", raising=False)

    def make(automation: dict[str, Any] | None = None, **keys: Any) -> Project:
        keys |= {"name": tmp_path.name, "tracking_uri": registry}
        keys["automation"] = {"timezone": SALES_DAYS.timezone, **(automation or {})}
        return Project(config=str(write_config(tmp_path, **keys)))

    return make


@pytest.fixture
def project(project_of: Callable[..., Project], tmp_path: Path) -> Project:
    """Ten days of reports have arrived, nothing was collected."""
    write_reports(tmp_path, days=10)
    return project_of()
