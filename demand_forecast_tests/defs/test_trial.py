"""A challenger tried out: chosen by the ledger, forecast once a night, packed beside the champion, and let go again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from demand_forecast.defs.forecasts import assets as forecasts
from demand_forecast.defs.forecasts.assets import forecast_by, published_forecasts
from demand_forecast.defs.project import Project
from demand_forecast.defs.serving import assets as serving
from demand_forecast.defs.serving.assets import forecast_service
from demand_forecast.defs.serving.checks import package_verifies, trial_package_verifies
from demand_forecast.domain.models.proof import Proof
from demand_forecast.domain.tables import SERIES, now
from demand_forecast.publishing.package import read_package, read_trial
from demand_forecast.service.state.arms import Arms
from demand_forecast.service.state.served import Served
from demand_forecast.tracking.ledger import PromotionLedger
from demand_forecast.tracking.trial import TrialChoice, choose_trial
from demand_forecast_tests.defs.registered import compare, promote, register
from demand_forecast_tests.domain.small_retailer import DECLARED, make_retailer

TRIAL = {"mode": "canary", "share": 0.3}


@pytest.fixture(scope="module")
def features() -> Any:
    retailer = make_retailer(products=2)
    return retailer, *retailer.features([retailer.last_day])


@pytest.fixture
def retailer_of(
    project_of: Callable[..., Project], features: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Project]:
    """A project on trial, the night's tables in its lake; a champion and a challenger that was compared with it."""
    monkeypatch.setattr(serving, "build_bento", lambda package, home: package.name)

    def make(decision: str = "kept", **trial: Any) -> Project:
        project = project_of(covariates=DECLARED, serving={"trial": TRIAL | trial})
        retailer, rows, contract = features
        made = retailer.ahead(contract)
        members = made.rows.select(SERIES).unique()
        days = made.rows.select("date", "forecast_origin").unique()
        groups = {"store_group": pl.lit("all"), "product_group": pl.lit("all")}
        tables = {
            "forecast_features": made.rows,
            "forecast_plan": made.planned,
            "new_product_features": made.new_products,
            "daily_demand": retailer.demand,
            "series_overview": members,
            "group_members": members.with_columns(**groups),
            "group_forecast": days.with_columns(**groups, mean=pl.lit(300, pl.Float32)),
        }
        for name, frame in tables.items():
            project.lake.replace(name, frame)
        project.tracking.prepare()
        champion, challenger = (register(project, (rows, contract), retailer.last_day, mark) for mark in ("one", "two"))
        promote(project, champion)
        compare(project, decision, challenger)
        project.tracking.keep_proof(champion, Proof(correlation=(0.2,) * 4, figures={"wql": 0.4}))
        project.tracking.keep_proof(challenger, Proof(0.75, correlation=(0.2,) * 4, figures={"wql": 0.5}))
        live = forecast_by(project, project.tracking.version(champion), made.rows)
        project.lake.replace("demand_forecast", live)
        return project

    return make


def night(project: Project) -> str:
    """Publishes; gives what the UI shows of the trial."""
    result = dg.materialize([published_forecasts, forecast_service], resources={"project": project})
    return str(result.asset_materializations_for_node("forecast_service")[0].metadata["trial"].value)


def roles(project: Project) -> dict[str, str]:
    published = project.lake.read("published_forecasts").select("role", "model_version").unique()
    return dict(published.iter_rows())


def test_a_challenger_that_was_kept_is_packed_beside_the_champion_and_forecast_once(
    retailer_of: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = retailer_of()
    aliases, made = project.tracking.aliases(), []

    def counted(project: Project, version: Any, rows: pl.DataFrame) -> pl.DataFrame:
        made.append(version.version)
        return forecast_by(project, version, rows)

    monkeypatch.setattr(forecasts, "forecast_by", counted)
    said = night(project)
    folder = project.home.serving
    trial = read_trial(folder)
    assert trial is not None
    assert (trial.mode, trial.share) == ("canary", 0.3)
    assert said == f"canary: seasonal_naive version {aliases['challenger']}, as configured ({trial.package})"
    assert made == [aliases["challenger"]]
    assert roles(project)["challenger"] == aliases["challenger"]
    arms = Arms(Served(read_package(folder)), Served(read_package(folder, trial.package), "challenger"), trial)
    assert [arms.champion.info.model_version, arms.challenger and arms.challenger.info.model_version] == [
        aliases["champion"],
        aliases["challenger"],
    ]
    packed, published = read_package(folder, trial.package), project.lake.read("published_forecasts")
    same = published.filter(role="challenger").join(packed.forecast, on=[*SERIES, "horizon", "mean", "q90"])
    assert same.height == packed.forecast.height
    assert packed.forecast["alignment"].n_unique() > 1
    assert (packed.info.promotion["decision"], packed.info.metrics["wql"]) == ("kept", 0.5)
    assert read_package(folder).info.metrics["wql"] == 0.4
    night(project)
    assert made == [aliases["challenger"]], "the same night again makes nothing again"


def test_a_challengers_package_that_does_not_verify_is_told_and_stops_nothing(
    retailer_of: Callable[..., Project],
) -> None:
    project = retailer_of()
    night(project)
    folder, trial = project.home.serving, read_trial(project.home.serving)
    assert trial is not None
    checked: Callable[[Project], Any] = trial_package_verifies
    assert checked(project).passed
    (folder / trial.package / "manifest.json").write_text("{}")
    told = checked(project)
    assert (told.passed, told.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert trial.package in str(told.description)
    live: Any = package_verifies(project)
    assert live.passed


def test_a_refused_challenger_is_at_most_tried_in_the_shadow(retailer_of: Callable[..., Project]) -> None:
    project = retailer_of("refused")
    said = night(project)
    trial = read_trial(project.home.serving)
    assert trial is not None
    assert trial.mode == "shadow"
    assert f"the promotion ledger has version {project.tracking.aliases()['challenger']} as refused" in said


def test_only_what_was_compared_with_todays_champion_answers_and_what_was_taken_back_is_not_tried(
    retailer_of: Callable[..., Project], features: Any
) -> None:
    project = retailer_of()
    ledger, aliases = PromotionLedger(project.lake), project.tracking.aliases()
    first, second = aliases["champion"], aliases["challenger"]

    def chosen() -> TrialChoice:
        return choose_trial(project.tracking, ledger, project.settings)

    assert chosen().mode == "canary"
    promote(project, second)
    assert chosen().reason == "the last challenger is the champion"
    third = register(project, features[1:], features[0].last_day, "three")
    compare(project, "kept", third)
    assert chosen().mode == "canary"
    for improvement, said in ((-0.02, "by 2.0%; at most 1.0% is borne"), (None, "by an unknown share")):
        compare(project, "kept", third, improvement)
        assert chosen().mode == "shadow"
        assert said in chosen().reason
    compare(project, "kept", third, -0.005)
    assert chosen().mode == "canary"
    back = {"decided_at": now(), "decision": "rolled_back", "run_id": "r", "reasons": "it lost"}
    project.tracking.promote(back | {"from_version": second, "to_version": first}, ledger)
    assert (chosen().mode, chosen().version and chosen().version.version) == ("shadow", third)
    assert f"version {third} was not compared with version {first}" in chosen().reason
    compare(project, "kept", second)
    assert (chosen().version, chosen().reason.partition(":")[0]) == (None, f"version {second} was taken back")


def test_a_trial_that_is_off_again_leaves_the_champion_alone(retailer_of: Callable[..., Project]) -> None:
    project = retailer_of(mode="shadow")
    assert night(project).startswith("shadow: ")
    live = read_package(project.home.serving).path
    config = Path(project.config)
    changed = config.with_name("off.yaml")  # settings are read once for each file
    changed.write_text(config.read_text().replace("mode: shadow", "mode: off"))
    off = Project(config=str(changed))
    assert night(off) == "none tried out: serving.trial.mode is off"
    assert read_trial(off.home.serving) is None
    assert read_package(off.home.serving).path == live
    assert "challenger" not in roles(off)


def test_a_challenger_that_does_not_forecast_costs_the_champion_nothing(
    retailer_of: Callable[..., Project], features: Any
) -> None:
    project = retailer_of()
    register(project, features[1:], features[0].last_day, "the newest naive, which is the baseline")
    night(project)
    project.lake.replace("challenger_forecast", pl.DataFrame({"model_version": ["of another night"]}))
    challenger = project.tracking.aliases()["challenger"]
    files = project.home.mlflow / "artifacts" / project.tracking.version(challenger).run_id
    files.rename(files.with_name("gone"))
    assert f"version {challenger} does not forecast: " in night(project)
    assert read_trial(project.home.serving) is None
    assert read_package(project.home.serving).info.model_version == project.tracking.aliases()["champion"]
