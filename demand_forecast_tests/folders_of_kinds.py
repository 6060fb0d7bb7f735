"""Kinds of sources that the system does not ship, as if their folders lay beside those that it does."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from demand_forecast.sources import kinds
from demand_forecast.sources.kind import KINDS

FOLDER = Path(__file__).parent / "new_kinds"


@pytest.fixture
def new_kinds(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`kind: till` and `kind: book` are there; nothing but their folders says so."""
    shipped = dict(KINDS)
    monkeypatch.setattr(kinds, "__path__", [*kinds.__path__, str(FOLDER)])
    yield
    KINDS.clear()
    KINDS.update(shipped)
    for folder in FOLDER.iterdir():
        sys.modules.pop(f"{kinds.__name__}.{folder.name}", None)
