"""A first training always ends with a champion, and whoever has reservations is told as a warning."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import polars as pl
import pytest

from demand_forecast.defs.automation.alert_sources.checks import KIND
from demand_forecast.defs.evaluation import assets as evaluation
from demand_forecast.defs.evaluation.checks import champion_has_no_reservations, same_rows_for_every_candidate
from demand_forecast.defs.features.contract import feature_notes
from demand_forecast.defs.project import Project
from demand_forecast.domain.demand.hierarchy import hierarchy_levels
from demand_forecast.domain.evaluation.backtest import backtest_origins, run_backtest
from demand_forecast.domain.evaluation.scoring import score_backtest
from demand_forecast.domain.models import create
from demand_forecast.domain.tables import now
from demand_forecast.settings import Covariates, Training
from demand_forecast.tracking.ledger import PromotionLedger
from demand_forecast_tests.defs.registered import register
from demand_forecast_tests.domain.small_retailer import Retailer, tiny_series

SAME_EVERY_WEEK = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0] * 12
NAIVE = "seasonal_naive 1 serves because nothing beats it yet"
Proven = Callable[..., Project]


@pytest.fixture
def proven(project_of: Callable[..., Project], monkeypatch: pytest.MonkeyPatch) -> Proven:
    """A project whose candidates, seasonal naive and LightGBM, were backtested on the days of `retailer`."""

    def make(retailer: Retailer) -> Project:
        project = project_of(horizon=retailer.horizon)
        project.home.prepare()
        project.tracking.prepare()
        known = {"horizon": retailer.horizon, "frequency": retailer.frequency}
        origins = backtest_origins(retailer.demand["date"].min(), retailer.last_day, count=3, **known)  # type: ignore[arg-type]
        features, contract = retailer.features([*origins, retailer.last_day])
        names = ("seasonal_naive", "lightgbm")
        versions = {name: register(project, (features, contract), retailer.last_day, name) for name in names}
        found = {name: project.tracking.version(version) for name, version in versions.items()}
        monkeypatch.setattr(evaluation, "registered_candidates", lambda _: found)
        candidates = {name: lambda _, name=name: create(name, threads=1) for name in names}
        made = run_backtest(features, contract, candidates, origins)
        levels = hierarchy_levels(retailer.products, retailer.stores, [])
        demand, products, stores = retailer.demand, retailer.products, retailer.stores
        how: dict[str, Any] = {"covariates": Covariates(), "training": Training(), "origins": origins}
        project.lake.replace("demand_features", features, feature_notes(contract, {"daily_demand": 0}, how))
        for table, frame in {
            "backtest": made.forecasts.drop("correlation"),
            "alignment": made.alignment,
            "proofs": pl.DataFrame(schema={"model": pl.String, "proof": pl.String}),
            "daily_demand": demand,
            "clean_products": products,
            "clean_stores": stores,
            "backtest_metrics": score_backtest(made.forecasts, demand, levels, products, stores, season=7),
        }.items():
            project.lake.replace(table, frame)
        return project

    return make


def promote(project: Project) -> list[str]:
    """Materializes promoted_model; what its check warns of."""
    assert dg.materialize([evaluation.promoted_model], resources={"project": project}).success
    found = champion_has_no_reservations(project)
    assert isinstance(found, dg.AssetCheckResult)
    assert found.passed or KIND[found.severity.value] == "check_warning", "it stops nothing, and is an alert"
    return [] if found.passed else (found.description or "").split(". ")


def passed(check: dg.AssetChecksDefinition, project: Project) -> bool:
    found = check(project)
    assert isinstance(found, dg.AssetCheckResult)
    return found.passed


def test_where_nothing_beats_seasonal_naive_it_is_promoted_with_a_warning(proven: Proven) -> None:
    project = proven(tiny_series(SAME_EVERY_WEEK))
    (warned,) = promote(project)
    assert warned.startswith(NAIVE)
    champion = project.tracking.champion()
    assert champion is not None
    assert (champion.model, champion.version) == ("seasonal_naive", "1")
    line = PromotionLedger(project.lake).rows()[-1]
    assert (line["decision"], line["from_version"], line["reservations"]) == ("promoted", None, warned)
    assert promote(project) == [warned], "the same night twice adds nothing"
    assert len(PromotionLedger(project.lake).rows()) == 1


def test_a_champion_without_reservations_warns_of_nothing(proven: Proven) -> None:
    project = proven(tiny_series(SAME_EVERY_WEEK))
    line = {"decided_at": now(), "decision": "promoted", "run_id": "r", "reasons": "better", "to_version": "2"}
    project.tracking.promote(line, PromotionLedger(project.lake))
    assert passed(champion_has_no_reservations, project)


def test_a_history_of_one_day_is_reported_decided_and_forecast(proven: Proven) -> None:
    """Nothing can be compared with anything: the evaluation says so, and seasonal naive serves."""
    project = proven(tiny_series([3.0]))
    assert dg.materialize([evaluation.evaluation_report], resources={"project": project}).success
    assert "No model could be compared" in (project.home.reports / "evaluation_report.html").read_text("utf-8")
    assert passed(same_rows_for_every_candidate, project)
    warned = promote(project)
    assert [line.partition(":")[0] for line in warned] == [NAIVE, "nothing is proven"]
