"""The sample's config.yaml loads and is true of the sample's files."""

import gzip
import re
import sqlite3
from pathlib import Path

import pytest

from demand_forecast.settings import Input, load_settings
from demand_forecast.sources.configured import read_sources
from demand_forecast.sources.kinds.sql import Sql

ROOT = Path(__file__).parents[3]


def _names(given: Input | None) -> set[str]:
    return {str(name) for name in given.columns.values()} if given else set()


def _header(file: Path) -> list[str]:
    with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as content:
        return content.readline().decode("utf-8-sig").strip().split(",")


def test_the_configuration_names_columns_that_exist() -> None:
    settings = load_settings(ROOT / "config.yaml")
    branches, ledger = read_sources(settings)
    assert (settings.horizon, settings.frequency, settings.missing_day) == (28, "daily", "closed")
    for given in (branches.sales, branches.products, branches.stores, *branches.plan, branches.stock):
        assert given
        assert given.path
        files = sorted(settings.resolve(".").glob(given.path))
        assert files, given.path
        assert all(_names(given) <= set(_header(file)) for file in files)
    assert isinstance(ledger, Sql)
    assert ledger.url == "sqlite:///data/ledger.sqlite"
    with sqlite3.connect(settings.resolve("data/ledger.sqlite")) as connection:
        columns = {name for _, name, *_ in connection.execute(f"PRAGMA table_info({ledger.sales.table})")}
    assert _names(ledger.sales) == columns


def test_the_configuration_declares_the_covariates_it_maps() -> None:
    settings = load_settings(ROOT / "config.yaml")
    branches = settings.all_sources[0]
    own = {"date", "store_id", "product_id", "price"}
    known = {name for given in branches.plan for name in given.columns} - own
    assert known == set(settings.covariates.known_future)
    assert branches.products
    assert branches.stores
    static = {*branches.products.columns, *branches.stores.columns} - own
    assert static == set(settings.covariates.static)


@pytest.mark.parametrize(
    ("file", "report"),
    [
        ("2026-09-02.csv", "2026-09-02"),
        ("2026-09-02_corrected.csv", "2026-09-02"),
        ("2026-08-14_late.csv", "2026-08-14_late"),
        ("2024-01-02.csv.gz", "2024-01-02"),
    ],
)
def test_the_configuration_knows_a_correction_from_a_late_report(file: str, report: str) -> None:
    sales = load_settings(ROOT / "config.yaml").all_sources[0].sales
    assert sales
    assert sales.report
    found = re.search(sales.report, file)
    assert found
    assert found.group() == report
