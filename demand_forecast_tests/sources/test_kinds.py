"""A kind of source is one folder: defined there, it is configured, checked and collected like those that ship."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from demand_forecast.settings import ConfigError, Settings
from demand_forecast.sources.collecting.history import span
from demand_forecast.sources.collecting.index import KNOWN, known_sales
from demand_forecast.sources.collecting.pending_days import pending_days
from demand_forecast.sources.collecting.sales import collect_sales
from demand_forecast.sources.configured import decimals, named_sources, read_sources
from demand_forecast_tests.folders_of_kinds import new_kinds

__all__ = ["new_kinds"]

Configure = Callable[[dict[str, Any]], Settings]
FILES = {"kind": "files", "sales": {"path": "sales/*.csv", "columns": {"date": "Date"}}}
TILL = {"kind": "till", "folder": "tills", "sales": {"shop": "S7", "columns": {"store_id": "shop", "units": "qty"}}}
ARRIVED = datetime(2024, 6, 1, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            FILES | {"sale": {}},
            r"config.yaml: unknown key source.sale; did you mean sales\? Known here: kind, name",
        ),
        (FILES | {"url": "sqlite:///x"}, r"config.yaml: unknown key source.url"),
        (FILES | {"sales": {"pth": "x"}}, r"config.yaml: unknown key source.sales.pth; did you mean path\?"),
        (FILES | {"plan": [{"pth": "x"}]}, r"config.yaml: unknown key source.plan.0.pth; did you mean path\?"),
        ({"kind": "files"}, r"config.yaml: source: kind files needs sales:"),
        ({"kind": "sql", "sales": {}}, r"config.yaml: source: kind sql needs url:"),
        ({"kind": "sql", "url": None, "sales": {}}, r"config.yaml: source: kind sql needs url:"),
        ({"kind": "sql", "url": "sqlite:///x"}, r"config.yaml: source: kind sql needs sales:"),
        ({"kind": "m5"}, r"config.yaml: source: kind m5 needs path:"),
        (
            {"kind": "sqll"},
            r"config.yaml: source.kind: unknown kind of source sqll; did you mean sql\? Known here: files, m5, sql",
        ),
    ],
)
def test_a_wrong_source_is_named_with_place_and_repair(
    configure: Configure, source: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_sources(configure({"source": source}))


def test_of_several_sources_the_wrong_one_is_named(configure: Configure) -> None:
    with pytest.raises(ConfigError, match=r"sources.1: kind sql needs url:\n.*unknown key sources.1.ulr"):
        read_sources(configure({"sources": [FILES, {"kind": "sql", "ulr": "x", "sales": {}}]}))


def test_a_password_is_shown_neither_by_settings_nor_by_sources_nor_by_errors(configure: Configure) -> None:
    url = "postgresql+psycopg2://me:secret@db/shop"
    settings = configure({"source": {"kind": "sql", "url": url, "sales": {"table": "sales"}}})
    assert "secret" not in repr(settings) + repr(read_sources(settings))
    with pytest.raises(ConfigError) as raised:
        read_sources(configure({"source": {"kind": "sql", "ulr": url, "sales": {}}}))
    assert "secret" not in str(raised.value)


def test_keys_may_come_from_variables(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMAND_FORECAST_SOURCE__URL", "sqlite:///ledger.sqlite")
    monkeypatch.setenv("DEMAND_FORECAST_SOURCE__SALES", '{"query": "SELECT 1"}')
    (source,) = read_sources(configure({"source": {"kind": "sql"}}))
    assert source.model_dump()["url"] == "sqlite:///ledger.sqlite"
    assert source.sales.query == "SELECT 1"


def collected(settings: Settings, known: pl.DataFrame | None = None) -> pl.DataFrame:
    empty = pl.DataFrame(schema=KNOWN)
    found = collect_sales(settings, empty if known is None else known, None, ARRIVED)
    return pl.concat([empty, *found], how="diagonal")


@pytest.mark.usefixtures("new_kinds")
def test_a_kind_that_someone_defines_is_collected(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "tills").mkdir()
    for day in (1, 2):
        row = {"date": f"2024-01-0{day}", "product_id": "P1", "qty": day}
        (tmp_path / "tills" / f"{day}.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    (tmp_path / "sales").mkdir()
    columns = {"date": "date", "store_id": "shop", "product_id": "sku", "units": "qty"}
    (tmp_path / "sales" / "a.csv").write_text("date,shop,sku,qty\n2024-01-03,S1,P1,9\n", encoding="utf-8")
    files = {"kind": "files", "sales": {"path": "sales/*.csv", "columns": columns, "decimal": ","}}
    settings = configure({"sources": [TILL, files]})
    assert span(settings) == (date(2024, 1, 1), date(2024, 1, 3))
    rows = collected(settings)
    assert rows.sort("day").select("source", "file", "day", "store_id", "product_id", "units").rows() == [
        ("till", "1.jsonl", date(2024, 1, 1), "S7", "P1", "1"),
        ("till", "2.jsonl", date(2024, 1, 2), "S7", "P1", "2"),
        ("files", "sales/a.csv", date(2024, 1, 3), "S1", "P1", "9"),
    ]
    assert collected(settings, known_sales(rows.lazy())).is_empty()
    assert pending_days(settings, known_sales(rows.lazy())) is None
    assert decimals(settings) == {"till": ".", "files": ","}


@pytest.mark.usefixtures("new_kinds")
def test_its_own_keys_are_checked_like_others(configure: Configure) -> None:
    for wrong, message in (
        (
            TILL | {"sales": {"shp": "S7"}},
            r"kind till needs sales\.shop:\n.*unknown key source\.sales\.shp",
        ),
        (TILL | {"foldr": "x"}, r"unknown key source\.foldr; did you mean folder\?"),
    ):
        with pytest.raises(ConfigError, match=message):
            named_sources(configure({"source": wrong}))


def test_a_configuration_is_opened_without_what_reads_it(configure: Configure) -> None:
    """Every command opens it, and most read no source."""
    settings = configure({"source": {"kind": "sql", "url": "sqlite:///x", "sales": {"table": "sales"}}})
    code = f"""
import sys
from demand_forecast.settings import load_settings
from demand_forecast.sources.configured import read_sources
read_sources(load_settings({str(settings.path)!r}))
assert not {{"polars", "sqlalchemy"}} & {{*sys.modules}}
"""
    subprocess.run([sys.executable, "-c", code], check=True)
