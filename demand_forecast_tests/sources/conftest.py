"""Settings written as a user writes them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from demand_forecast.settings import Settings, load_settings

Configure = Callable[[dict[str, Any]], Settings]


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """`configure({...})` writes config.yaml into tmp_path and loads it."""

    def write(content: dict[str, Any]) -> Settings:
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        return load_settings(file)

    return write
