"""Nights on a small lake and a real registry: scored, reviewed, decided, requested, taken back."""

import os
from collections.abc import Callable
from datetime import date, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from demand_forecast.defs.automation.retraining import retraining, rollback
from demand_forecast.defs.evaluation.assets import _decide, promoted_model
from demand_forecast.defs.features.contract import data_versions, feature_notes
from demand_forecast.defs.forecasts.assets import forecast_by
from demand_forecast.defs.models.assets import fingerprint
from demand_forecast.defs.monitoring.accuracy import forecast_accuracy
from demand_forecast.defs.monitoring.decisions import champion_review, newest_row, retrain_decision
from demand_forecast.defs.project import Project
from demand_forecast.domain.demand.hierarchy import SERIES_LEVEL, TOTAL, Level
from demand_forecast.domain.models import create
from demand_forecast.domain.models.proof import Proof
from demand_forecast.domain.tables import QUANTILE_COLUMNS, now
from demand_forecast.domain.watching.live_accuracy import score_published
from demand_forecast.tracking.ledger import PromotionLedger
from demand_forecast_tests.defs.registered import promote, register
from demand_forecast_tests.domain.small_retailer import DECLARED, make_retailer
from demand_forecast_tests.landing_files import write_config, write_reports
from demand_forecast_tests.terminal import Command

FIRST = date(2026, 3, 2)
HORIZON = 7
KEYS = ["store_id", "product_id"]
SERIES = list(product(["north", "south"], ["apple", "bread"]))
Factors = dict[str, float]  # how far from the truth each role forecasts
GOOD: Factors = {"champion": 1.0, "previous": 1.2, "baseline": 1.4}
BAD: Factors = {"champion": 1.6, "previous": 1.1, "baseline": 1.4}


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def units(series: int, number: int) -> float:
    return 10.0 + 5 * series + 3 * (number % 7)


def make_demand(days: int) -> pl.DataFrame:
    rows = [
        (*names, day(number), units(place, number), 1.0, 1.0, True)
        for (place, names), number in product(enumerate(SERIES), range(days))
    ]
    kinds = {"units": pl.Float32, "price": pl.Float32, "in_stock": pl.Float32, "open": pl.Boolean}
    schema = {"store_id": pl.String, "product_id": pl.String, "date": pl.Date, **kinds}
    return pl.DataFrame(rows, schema=schema, orient="row")


def make_published(origin: int, factors: Factors, versions: dict[str, str]) -> pl.DataFrame:
    rows = []
    for (place, (store, sku)), ahead, (role, factor) in product(
        enumerate(SERIES), range(1, HORIZON + 1), factors.items()
    ):
        mean = units(place, origin + ahead) * factor
        rows.append(
            {"store_id": store, "product_id": sku, "date": day(origin + ahead), "forecast_origin": day(origin)}
            | {"horizon": ahead, "mean": mean, **dict.fromkeys(QUANTILE_COLUMNS, mean)}
            | {"model": "seasonal_naive", "model_version": versions.get(role, ""), "role": role}
        )
    return pl.DataFrame(rows).cast({"horizon": pl.Int32, pl.selectors.float(): pl.Float32})


@pytest.fixture(scope="module")
def features() -> pl.DataFrame:
    retailer = make_retailer(products=2)
    frame, contract = retailer.features([retailer.last_day])
    return frame, contract


@pytest.fixture
def project(tmp_path: Path, registry: str, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.delenv("DEMAND_FORECAST_HOME", raising=False)
    config = write_config(tmp_path, name=tmp_path.name, tracking_uri=registry, covariates=DECLARED)
    project = Project(config=str(config))
    write_reports(tmp_path, days=1)
    project.lake.replace("clean_products", pl.DataFrame({"product_id": ["apple", "bread"]}))
    project.lake.replace("clean_stores", pl.DataFrame({"store_id": ["north", "south"]}))
    project.tracking.prepare()
    return project


@pytest.fixture
def versions(project: Project, features: Any) -> dict[str, str]:
    """A champion trained on the fifth day that took over from another."""
    previous, champion = (register(project, features, day(5), mark) for mark in ("one", "two"))
    promote(project, previous)
    promote(project, champion)
    return {"previous": previous, "champion": champion}


def materialize(project: Project, *assets: Any, config: Any = None) -> dg.ExecuteInProcessResult:
    return dg.materialize([*assets], resources={"project": project}, run_config=config, raise_on_error=False)


Night = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def publish(project: Project, versions: dict[str, str]) -> Callable[[range, Factors], None]:
    def publish(numbers: range, factors: Factors) -> None:
        """The forecasts published in the nights after the days `numbers`."""
        rows = pl.concat(make_published(number, factors, versions) for number in numbers)
        project.lake.replace_since("published_forecasts", rows, day(numbers[0]), column="forecast_origin")

    return publish


@pytest.fixture
def night(project: Project, publish: Callable[[range, Factors], None], undrawn: pytest.MonkeyPatch) -> Night:
    def night(number: int, factors: Factors = GOOD, demand: pl.DataFrame | None = None) -> dg.ExecuteInProcessResult:
        """The night after day `number`: its actuals have arrived, the next days are forecast, then all is judged."""
        project.lake.replace("daily_demand", make_demand(number + 1) if demand is None else demand)
        publish(range(number, number + 1), factors)
        result = materialize(project, forecast_accuracy, retrain_decision, champion_review)
        assert result.success
        return result

    return night


def whole(project: Project) -> pl.DataFrame:
    """All scores, made in one go."""
    lake = project.lake
    levels = [TOTAL, Level("product_id", ("product_id",)), Level("store_id", ("store_id",)), SERIES_LEVEL]
    published, demand = lake.read("published_forecasts"), lake.read("daily_demand")
    return score_published(published, demand, levels, lake.read("clean_products"), lake.read("clean_stores"))


def test_the_kept_alignment_leads_from_the_models_own_mean_to_the_forecast(
    project: Project, versions: dict[str, str], features: Any
) -> None:
    rows = features[0].filter(~pl.col("training")).sample(fraction=1, shuffle=True, seed=1)
    members = rows.select(KEYS).unique().with_columns(store_group=pl.lit("all"), product_group="product_id")
    days = rows.select("date", "forecast_origin", product_group="product_id").unique()
    project.lake.replace("forecast_features", rows)
    project.lake.replace("group_members", members)
    project.lake.replace("group_forecast", days.with_columns(store_group=pl.lit("all"), mean=pl.lit(17.3, pl.Float32)))
    project.tracking.keep_proof(versions["champion"], Proof(alignment=0.75))
    forecast = forecast_by(project, project.tracking.champion(), rows)  # type: ignore[arg-type]
    model = create("seasonal_naive").fit(features[0].filter(pl.col("training")), features[1])
    asked = rows.sort(*KEYS, "horizon")
    made = model.distribution(asked, model.expected(asked) * forecast["alignment"].to_numpy())
    assert forecast["alignment"].n_unique() > 5
    assert_frame_equal(forecast.select(made.columns), made, check_exact=True)


def scores(project: Project) -> pl.DataFrame:
    return project.lake.read("forecast_accuracy").sort(pl.all())


def test_nights_one_by_one_give_the_scores_of_all_days_at_once(project: Project, night: Night) -> None:
    for number in range(10, 15):
        night(number)
    assert scores(project)["date"].unique().sort().to_list() == [day(number) for number in range(11, 15)]
    assert_frame_equal(scores(project), whole(project).sort(pl.all()))


@pytest.mark.slow
def test_the_same_night_twice_changes_nothing_and_a_late_correction_is_scored(project: Project, night: Night) -> None:
    for number in range(10, 15):
        night(number)
    tables = ("forecast_accuracy", "retrain_decision", "champion_review")
    before = project.lake.versions(tables)
    night(14)
    assert project.lake.versions(tables) == before
    late = make_demand(15).with_columns(units=pl.when(pl.col("date") == day(12)).then(50.0).otherwise("units"))
    result = night(14, demand=late.cast({"units": pl.Float32}))
    shown = result.asset_materializations_for_node("forecast_accuracy")[0].metadata
    assert shown["scored_from"].value == str(day(12))
    assert_frame_equal(scores(project), whole(project).sort(pl.all()))


@pytest.mark.slow
def test_scores_whose_forecasts_are_no_longer_kept_stay_as_they_are(project: Project, night: Night) -> None:
    for number in range(10, 16):
        night(number)
    before = scores(project)
    kept = project.lake.read("published_forecasts").filter(pl.col("forecast_origin") >= day(13))
    project.lake.replace("published_forecasts", kept)
    every_day = make_demand(17).with_columns(units=(pl.col("units") + 1).cast(pl.Float32))
    night(16, demand=every_day)
    old = pl.col("date") <= day(15)  # published from day 10 on: partly gone
    assert_frame_equal(scores(project).filter(old), before.filter(old))
    assert scores(project)["date"].max() == day(16)


def test_what_is_shown_tells_this_week_by_role(night: Night, undrawn: pytest.MonkeyPatch) -> None:
    for number in range(10, 13):
        night(number)
    undrawn.undo()
    result = night(13)
    shown = result.asset_materializations_for_node("forecast_accuracy")[0].metadata
    table = str(shown["last_week"].value).splitlines()
    assert "fva_wql_previous" in table[0]
    assert [line.split("|")[1] for line in table[2:]] == ["baseline", "champion", "previous"]
    assert "data:image/png" in str(shown["weeks"].value)


def said(sensor: Any, project: Project, instance: dg.DagsterInstance | None = None) -> Any:
    with dg.DagsterInstance.ephemeral() as empty:
        context = dg.build_sensor_context(resources={"project": project}, instance=instance or empty)
        with context:
            return sensor(context)


def test_a_champion_that_loses_is_taken_back_once(
    project: Project, night: Night, publish: Any, versions: dict[str, str], features: Any
) -> None:
    assert said(rollback, project).skip_message == "No review yet."
    project.lake.replace("forecast_features", features[0].filter(~pl.col("training")))
    publish(range(6, 27), BAD)
    night(27, BAD)
    review = newest_row(project, "champion_review") or {}
    assert (review["verdict"], review["lost_to_previous"], review["lost_to_naive"]) == ("roll_back", 3, 3)
    request = said(rollback, project)
    assert request.run_key == f"rollback-{versions['champion']}-{day(27)}"
    result = materialize(project, promoted_model, config=request.run_config)
    assert result.success
    assert project.tracking.aliases() == {
        "champion": versions["previous"],
        "previous": versions["champion"],
        "challenger": versions["champion"],
    }
    last = PromotionLedger(project.lake).rows()[-1]
    assert (last["decision"], last["by"]) == ("rolled_back", "sensor rollback")
    assert last["reasons"].startswith("against previous: worse by more than 2% of WQL in 3 of 3 whole weeks")
    assert materialize(project, promoted_model, config=request.run_config).success
    assert len(PromotionLedger(project.lake).rows()) == 3


def test_a_rollback_that_died_half_way_is_finished(project: Project, night: Night, versions: dict[str, str]) -> None:
    night(10)
    ledger = PromotionLedger(project.lake)
    line = {"decided_at": now(), "decision": "rolled_back", "run_id": "dead", "reasons": "it lost"}
    ledger.append(line | {"from_version": versions["champion"], "to_version": versions["previous"]})
    request = said(rollback, project)
    assert request.run_key == f"finish-dead-{day(10)}"
    assert materialize(project, promoted_model, config=request.run_config).success
    assert project.tracking.aliases()["champion"] == versions["previous"]
    assert len(ledger.rows()) == 3
    for published, requested in ((versions["champion"], True), (versions["previous"], False)):
        project.lake.replace("demand_forecast", pl.DataFrame({"model_version": [published]}))
        assert isinstance(said(rollback, project), dg.RunRequest) is requested


def test_a_previous_that_is_gone_fails_the_run_and_moves_nothing(
    project: Project, versions: dict[str, str], features: Any
) -> None:
    project.lake.replace("forecast_features", features[0].filter(~pl.col("training")))
    files = project.home.mlflow / "artifacts" / project.tracking.version(versions["previous"]).run_id
    files.rename(files.with_name("gone"))
    before = project.tracking.aliases()
    result = materialize(
        project, promoted_model, config={"ops": {"promoted_model": {"config": {"roll_back": "it lost"}}}}
    )
    assert not result.success
    (failure,) = result.get_step_failure_events()
    assert "its files are not at" in str(failure.step_failure_data.error)
    assert project.tracking.aliases() == before
    assert PromotionLedger(project.lake).rows()[-1]["decision"] == "rollback_failed"


def test_the_command_says_why_the_champion_stays(project: Project, versions: dict[str, str], features: Any) -> None:
    project.lake.replace("forecast_features", features[0].filter(~pl.col("training")))
    files = project.home.mlflow / "artifacts" / project.tracking.version(versions["previous"]).run_id
    files.rename(files.with_name("gone"))
    asked = ("rollback", "--config", project.config, "--reason", "odd")
    command = Command(asked, Path(project.config).parent, dict(os.environ))
    said = command.wait()
    assert command.status == 1
    assert f"version {versions['previous']} does not serve" in said
    assert f"version {versions['champion']} not taken back: version {versions['previous']} does not serve" in said
    assert "  - odd" in said
    assert "Traceback" not in said


def backtested(project: Project, features: Any, **wrmsse: float) -> Callable[[str], str]:
    """Leaves a backtest of models by their WRMSSE; gives the fingerprint of a family trained tonight."""
    rows = [
        (model, origin, level, metric, value if metric == "wrmsse" else 0.01)
        for model, value in wrmsse.items()
        for origin in (None, FIRST)
        for metric, level in (("wrmsse", "all"), ("bias", "total"), ("calibration_error", "series"), ("wql", "series"))
    ]
    schema = {
        "model": pl.String,
        "forecast_origin": pl.Date,
        "level": pl.String,
        "metric": pl.String,
        "value": pl.Float64,
    }
    project.lake.replace("backtest_metrics", pl.DataFrame(rows, schema=schema, orient="row"))
    off = pl.concat(
        make_published(0, {model: 1 + value}, {}).rename({"role": "name"}) for model, value in wrmsse.items()
    )
    made = off.drop("model", "model_version").rename({"name": "model"})
    sold = make_demand(HORIZON + 1)
    made = made.with_columns(exposure=pl.lit(1.0))
    project.lake.replace("backtest", made.join(sold.select(*KEYS, "date", "units"), on=[*KEYS, "date"]))
    project.lake.replace("daily_demand", sold)
    frame, contract = features
    how = {"covariates": project.settings.covariates, "training": project.settings.training, "origins": [FIRST]}
    project.lake.replace("demand_features", frame, feature_notes(contract, {}, how))
    return lambda family: fingerprint(create(family, seed=project.settings.seed), data_versions(project.lake))


def test_what_was_taken_back_is_no_challenger_again(project: Project, features: Any) -> None:
    tonight = backtested(project, features, seasonal_naive=0.9, gradient_boosting=0.5, champion=0.8)
    first = register(project, features, FIRST, "first")
    loser = register(project, features, FIRST, tonight("gradient_boosting"))
    promote(project, first)
    ledger = PromotionLedger(project.lake)
    assert _decide(project, ledger).to_version == loser
    promote(project, loser)
    line = {"decided_at": now(), "decision": "rolled_back", "run_id": "r", "reasons": "it lost"}
    project.tracking.promote(line | {"from_version": loser, "to_version": first}, ledger)
    decision = _decide(project, ledger)
    assert (decision.outcome, decision.reasons) == ("kept", ["there is no challenger"])


def test_a_decision_again_finds_the_champion_it_made_under_the_name_of_its_candidate(
    project: Project, features: Any
) -> None:
    """A backtest of before the first promotion knows no champion."""
    tonight = backtested(project, features, seasonal_naive=0.9, gradient_boosting=0.5)
    promote(project, register(project, features, FIRST, tonight("seasonal_naive")))
    decision = _decide(project, PromotionLedger(project.lake))
    assert (decision.outcome, decision.reasons) == ("kept", ["there is no challenger"])
    promote(project, register(project, features, FIRST, "of another night"))
    with pytest.raises(ValueError, match="champion version 2 is not among the models compared; materialize backtest"):
        _decide(project, PromotionLedger(project.lake))


def test_a_challenger_that_was_scored_on_other_origins_is_refused(project: Project, features: Any) -> None:
    tonight = backtested(project, features, seasonal_naive=0.9, gradient_boosting=0.5, champion=0.8)
    promote(project, register(project, features, FIRST, "first"))
    loser = register(project, features, FIRST, tonight("gradient_boosting"))
    metrics = project.lake.read("backtest_metrics")
    another = metrics.filter(pl.col("forecast_origin") == FIRST).with_columns(forecast_origin=pl.lit(day(28)))
    rivals = another.filter(pl.col("model") != "gradient_boosting")
    project.lake.replace("backtest_metrics", pl.concat([metrics, rivals]))
    decision = _decide(project, PromotionLedger(project.lake))
    assert (decision.outcome, decision.challenger) == ("refused", loser)
    assert decision.reasons[0] == (
        f"gradient_boosting {loser} was scored on {FIRST}, seasonal_naive 1 on {FIRST}, {day(28)}: only the same "
        "origins can be compared; backtest both again"
    )
    project.lake.replace("backtest_metrics", pl.concat([metrics, another]))
    assert _decide(project, PromotionLedger(project.lake)).outcome == "promoted"


def test_the_same_training_decides_once(project: Project, features: Any, undrawn: pytest.MonkeyPatch) -> None:
    """Its backtest has the figures of the champion before, which the second best would beat as well."""
    tonight = backtested(project, features, seasonal_naive=0.6, gradient_boosting=0.5, champion=0.8)
    promote(project, register(project, features, FIRST, "first", "lightgbm"))
    best, second = (
        register(project, features, FIRST, tonight(name), name) for name in ("gradient_boosting", "seasonal_naive")
    )
    for _ in range(2):
        result = materialize(project, promoted_model)
        assert result.success
        shown = result.asset_materializations_for_node("promoted_model")[0].metadata
        assert shown["decision"].value == "promoted"
        assert "|better|" in str(shown["evidence"].value)
    assert project.tracking.aliases()["champion"] == best
    *_, last = rows = PromotionLedger(project.lake).rows()
    assert (len(rows), last["to_version"], last["verdict"]) == (2, best, "better")
    assert last["p_value"] < 1e-9
    assert last["loss_difference"] == pytest.approx(0.5 - 0.8)
    again = _decide(project, PromotionLedger(project.lake))
    assert (again.outcome, again.challenger, again.champion_value) == ("kept", second, 0.5)


def test_days_without_goods_are_no_evidence(project: Project, features: Any) -> None:
    """The challenger is better on them alone."""
    tonight = backtested(project, features, seasonal_naive=0.9, gradient_boosting=0.5, champion=0.8)
    promote(project, register(project, features, FIRST, "first", "lightgbm"))
    register(project, features, FIRST, tonight("gradient_boosting"), "gradient_boosting")
    made, late = project.lake.read("backtest"), pl.col("date") > day(3)
    rivals = made.filter(pl.col("model") == "champion").with_columns(model=pl.lit("gradient_boosting"))
    swapped = pl.concat([made.filter((pl.col("model") != "gradient_boosting") | late), rivals.filter(~late)])
    project.lake.replace("backtest", swapped)
    assert _decide(project, PromotionLedger(project.lake)).loss_difference < 0
    project.lake.replace("backtest", swapped.with_columns(exposure=pl.when(late).then(0.0).otherwise(1.0)))
    decision = _decide(project, PromotionLedger(project.lake))
    assert (decision.outcome, decision.loss_difference, decision.verdict) == ("kept", 0, "not told apart")


def test_a_new_training_settles_the_same_evidence(project: Project, night: Night, publish: Any, features: Any) -> None:
    publish(range(5, 20), BAD)
    night(20, BAD)
    assert (newest_row(project, "retrain_decision") or {})["decision"] == "retrain"
    register(project, features, day(20), "three")
    night(20, BAD)
    assert (newest_row(project, "retrain_decision") or {})["decision"] == "keep"
    assert said(retraining, project).skip_message == "The newest decision is to keep the models."
