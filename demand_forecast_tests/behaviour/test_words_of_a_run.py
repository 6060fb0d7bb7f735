"""A whole run as its reader meets it: on the terminal, by `status`, and on the pages of the Dagster UI."""

import dagster as dg
import pytest

from demand_forecast_tests.behaviour.conftest import Shopkeeper


@pytest.fixture(scope="module")
def lines(united: Shopkeeper) -> list[str]:
    return (united.folder / "said").read_text(encoding="utf-8").splitlines()


def test_what_an_asset_said_stands_below_it(lines: list[str]) -> None:
    at = next(number for number, line in enumerate(lines) if line.startswith("  ✓ cleaned_sales "))
    assert lines[at + 1].startswith("    ")
    assert "clean" in lines[at + 1]


def test_the_summary_names_the_checks_that_did_not_pass(lines: list[str]) -> None:
    at = next(number for number, line in enumerate(lines) if line.startswith("Checks: "))
    assert "passed" in lines[at]
    found = [
        line for line in lines[at + 1 :] if line.startswith("  ! raw_sales: expected_days_have_arrived: without sales")
    ]
    assert len(found) == 1, lines[at:]
    assert "warned" in lines[at]


def test_status_says_where_what_how_old_and_what_is_wrong(united: Shopkeeper) -> None:
    said = united.run("status").said
    for line in (
        f"Home      {united.folder / 'home'}",
        f"Config    {united.folder / 'config.yaml'}",
        f"version {united.champion()}, champion since ",
        "days ago: bring newer ones and run `demand-forecast night`",
        "! raw_sales: expected_days_have_arrived: without sales",
        "Service   http://127.0.0.1:",
        "Alerts    none open",
    ):
        assert line in said, said


@pytest.mark.parametrize(
    ("asset", "first"),
    [
        ("promoted_model", ["decision", "champion", "reasons", "evidence", "candidates", "history"]),
        ("evaluation_report", ["best", "candidates"]),
    ],
)
def test_a_page_that_decides_opens_with_the_decision_and_pictures(
    united: Shopkeeper, monkeypatch: pytest.MonkeyPatch, asset: str, first: list[str]
) -> None:
    home = united.folder / "home" / "dagster"
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        made = instance.get_latest_materialization_event(dg.AssetKey(asset))
        assert made is not None
        metadata = made.asset_materialization.metadata
    labels = [*metadata]
    assert labels[: len(first)] == first
    assert "dagster/column_schema" not in labels
    assert len(str(metadata["candidates"].value)) < 1000, "the UI shows more only after a click"
    pictures = [labels.index(name) for name, value in metadata.items() if "data:image" in str(value.value)]
    assert pictures
    assert max(pictures) < labels.index("columns")
