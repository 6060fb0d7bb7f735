"""Pages of assets that decide open with what was decided: Dagster shows a column schema of its own above all else."""

from collections.abc import Callable
from datetime import date
from typing import Any

import dagster as dg
import polars as pl
import pytest

from demand_forecast.defs.evaluation import assets as evaluation
from demand_forecast.defs.metadata import bars, decision_first, table_metadata
from demand_forecast.defs.monitoring.decisions import retrain_decision
from demand_forecast.defs.project import Project
from demand_forecast.tracking.ledger import PromotionLedger
from demand_forecast_tests.defs.registered import compare, promote, register
from demand_forecast_tests.domain.small_retailer import make_retailer

OVERVIEW = "dagster/column_schema"
DAY = date(2026, 3, 20)


@pytest.fixture(scope="module")
def features() -> Any:
    retailer = make_retailer(products=2)
    return retailer.features([retailer.last_day])


def shown(project: Project, asset: dg.AssetsDefinition) -> list[str]:
    """The labels of the asset's metadata, in the order in which the page has them."""
    result = dg.materialize([asset], resources={"project": project}, raise_on_error=False)
    assert result.success
    (made,) = result.asset_materializations_for_node(asset.op.name)
    return [*made.metadata]


def test_who_serves_comes_first_and_the_ledger_last(
    project_of: Callable[..., Project], features: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = project_of()
    project.tracking.prepare()
    promote(project, register(project, features, DAY, "first"))
    compare(project, "kept", register(project, features, DAY, "second"))
    metrics = {"model": ["ensemble"], "wrmsse": [0.4]}
    project.lake.replace("backtest_metrics", pl.DataFrame(metrics))
    monkeypatch.setattr(evaluation, "summary_table", lambda frame: frame)
    monkeypatch.setattr(evaluation, "_promote", lambda *_: ("kept", ["no better by the margin"]))
    labels = shown(project, evaluation.promoted_model)
    assert labels[:6] == ["decision", "champion", "reasons", "evidence", "candidates", "history"]
    assert OVERVIEW not in labels
    assert {"columns", "first_rows", "aliases"} <= set(labels[6:])
    assert len(PromotionLedger(project.lake).rows()) == 2


def test_a_retrain_decision_comes_first(project_of: Callable[..., Project]) -> None:
    project = project_of()
    series = {"store_id": ["S1"], "product_id": ["P1"], "date": [DAY], "units": [1.0]}
    project.lake.replace("daily_demand", pl.DataFrame(series))
    labels = shown(project, retrain_decision)
    assert labels[:3] == ["decision", "reasons", "bounds"]
    assert OVERVIEW not in labels


def test_a_table_says_the_same_below_a_decision() -> None:
    table = table_metadata(pl.DataFrame({"units": [1.0]}), version=3)
    below = decision_first({"decision": "kept"}, table)
    assert [*below] == ["decision", "dagster/row_count", "columns", "first_rows", "lake_version"]
    assert below["columns"] == table[OVERVIEW]


def test_bars_are_as_long_as_what_they_stand_for_and_are_shown_in_place() -> None:
    text = str(bars({"a": 0.8, "b": 0.4, "c": 0.01, "d": 0.0}, "WRMSSE").value)
    assert text.splitlines()[:2] == ["||WRMSSE||", "|---|---|---|"]
    lengths = [line.split("|")[3] for line in text.splitlines()[2:]]
    assert lengths == ["█" * 14, "█" * 7, "▏", ""]
    many = bars({f"a_rather_long_name_of_a_model_{number}": 1.0 for number in range(12)}, "WRMSSE")
    assert len(str(many.value)) < 1000, "the UI shows more only after a click"
