"""Nights on which versions of different contracts forecast: each reads rows of its own."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from demand_forecast.defs.evaluation.assets import promoted_model
from demand_forecast.defs.features.assets import forecast_features
from demand_forecast.defs.features.checks import night_is_as_the_models_know_it
from demand_forecast.defs.features.contract import feature_notes, read_unfamiliar
from demand_forecast.defs.features.readable import changes, outdated
from demand_forecast.defs.forecasts.assets import demand_forecast, published_forecasts
from demand_forecast.defs.forecasts.checks import every_series_is_forecast, forecast_was_made_tonight
from demand_forecast.defs.project import Project, settings_of
from demand_forecast.defs.serving import assets as serving
from demand_forecast.defs.serving.assets import forecast_service
from demand_forecast.domain.features import contract, declaration
from demand_forecast.domain.tables import SERIES
from demand_forecast.publishing.package import read_package
from demand_forecast.service.state.served import Served
from demand_forecast_tests.defs.registered import promote, register
from demand_forecast_tests.domain.small_retailer import DECLARED, SMALL, Retailer, make_retailer

BOTH = make_retailer(days=200, products=2)
SOUTH = replace(BOTH, demand=BOTH.demand.filter(pl.col("store_id") == "South"))
NIGHT = [forecast_features, demand_forecast, published_forecasts, forecast_service]
HOW = {"horizon": 14, "frequency": "daily", "seed": 7, "training": SMALL, "origins": [BOTH.last_day]}


@pytest.fixture
def retailer(project_of: Callable[..., Project], undrawn: Any, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The lake of the retailer of two shops and its newest training; no version in the registry."""
    monkeypatch.setattr(serving, "build_bento", lambda package, home: package.name)
    covariates = BOTH.covariates.model_copy(update={"known_future": ["promo", "event"]})
    project = project_of(covariates=covariates.model_dump(), horizon=14)
    stock = pl.DataFrame(
        schema={"date": pl.Date, "store_id": pl.String, "product_id": pl.String, "on_hand": pl.Float32}
    )
    for name in ("plan", "products", "stores"):
        project.lake.replace(f"clean_{name}", getattr(BOTH, name))
    project.lake.replace("clean_stock", stock)
    project.lake.replace("daily_demand", BOTH.demand)
    series = BOTH.demand.select(SERIES).unique()
    groups = {"store_group": pl.lit("all"), "product_group": pl.lit("all")}
    project.lake.replace("group_members", series.with_columns(**groups))
    days = pl.DataFrame({"date": [BOTH.last_day], "forecast_origin": [BOTH.last_day]})
    project.lake.replace("group_forecast", days.with_columns(**groups, mean=pl.lit(300, pl.Float32)))
    kinds = {"model_version": pl.String, "forecast_origin": pl.Date, "weight": pl.Float64}
    project.lake.replace("alignment", pl.DataFrame(schema=kinds))
    scores = {"model": ["seasonal_naive"], "value": [0.5], "level": ["series"], "metric": ["wql"]}
    project.lake.replace("backtest_metrics", pl.DataFrame(scores).with_columns(forecast_origin=pl.lit(None, pl.Date)))
    project.lake.replace("series_overview", series)
    project.tracking.prepare()
    train(project, BOTH)
    return project


def train(project: Project, retailer: Retailer) -> Any:
    """Writes demand_features of the retailer."""
    made = retailer.features([retailer.last_day])
    project.lake.replace("demand_features", made[0], feature_notes(made[1], {}, HOW | {"covariates": BOTH.covariates}))
    return made


def night(project: Project) -> dg.ExecuteInProcessResult:
    return dg.materialize(NIGHT, resources={"project": project}, raise_on_error=False)


def roles(project: Project) -> dict[str, str]:
    return dict(project.lake.read("published_forecasts").select("role", "model_version").unique().iter_rows())


def test_a_champion_of_one_shop_goes_on_beside_a_training_of_two(retailer: Project) -> None:
    old = register(retailer, SOUTH.features([SOUTH.last_day]), SOUTH.last_day, "of one shop")
    new = register(retailer, BOTH.features([BOTH.last_day]), BOTH.last_day, "of two")
    promote(retailer, new)
    promote(retailer, old)
    assert night(retailer).success
    assert roles(retailer)["champion"] == old
    assert roles(retailer)["previous"] == new
    forecast = retailer.lake.read("demand_forecast")
    assert forecast.select(SERIES).unique().height == 4
    served = Served(read_package(retailer.home.serving))
    assert served.model.contract.inputs.several_stores is False
    assert len(served.rows_of("features", [("North", "P-00")])) == 14
    promote(retailer, new)
    config = {"ops": {"promoted_model": {"config": {"roll_back": "it lost"}}}}
    assert dg.materialize([promoted_model], resources={"project": retailer}, run_config=config).success
    assert retailer.tracking.aliases()["champion"] == old


def test_a_shadow_that_read_what_is_not_declared_any_more_is_left_out(retailer: Project) -> None:
    windy = replace(
        BOTH,
        plan=BOTH.plan.with_columns(wind=pl.lit(1.0)),
        covariates=BOTH.covariates.model_copy(update={"known_future": ["promo", "event", "wind"]}),
    )
    promote(retailer, register(retailer, windy.features([windy.last_day]), windy.last_day, "windy"))
    live = register(retailer, BOTH.features([BOTH.last_day]), BOTH.last_day, "live")
    promote(retailer, live)
    assert night(retailer).success
    assert roles(retailer) == {"champion": live}


def test_what_the_models_have_not_seen_is_told_by_log_metadata_and_check(retailer: Project) -> None:
    made = train(retailer, SOUTH)
    promote(retailer, register(retailer, made, SOUTH.last_day, "of one shop"))
    doubled = BOTH.plan.with_columns(promo=pl.col("promo") * 2)
    retailer.lake.replace("clean_plan", doubled)
    result = night(retailer)
    assert result.success
    count = int((doubled["promo"] == 2).sum())
    told = ("unseen by the models: store 'North'", f"clean_plan: promo: '2' ({count} in all) is read as 0 or 1")
    assert read_unfamiliar(retailer.lake) == told
    shown = result.asset_materializations_for_node("forecast_features")[0].metadata
    assert shown["unfamiliar"].value == [*told]
    check: Any = night_is_as_the_models_know_it
    found = check(retailer)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.description == "; ".join(told)
    train(retailer, replace(BOTH, plan=doubled))
    assert night(retailer).success
    assert check(retailer).passed


LIVE = ["demand_forecast", "published_forecasts", "forecast_features"]


@pytest.fixture
def configured(retailer: Project, project_of: Callable[..., Project]) -> Callable[..., Project]:
    """The retailer, with a champion that has forecast, as it is configured from now on."""
    live = register(retailer, BOTH.features([BOTH.last_day]), BOTH.last_day, "live")
    promote(retailer, live)
    assert night(retailer).success

    def configure(**keys: Any) -> Project:
        settings_of.cache_clear()
        return project_of(**{"covariates": DECLARED, "horizon": 14} | keys)

    return configure


CHANGED: list[tuple[dict[str, Any], str]] = [
    ({"covariates": DECLARED | {"known_future": ["event"]}}, "covariate promo is not declared any more"),
    ({"horizon": 28}, "it was trained and proven for 14 periods ahead, 28 are asked for now"),
    ({"frequency": "weekly"}, "it was trained on daily demand, which is weekly now"),
]


@pytest.mark.parametrize(("keys", "why"), CHANGED, ids=lambda value: value if isinstance(value, str) else None)
def test_a_champion_that_cannot_read_what_is_configured_serves_its_last_forecast_on(
    configured: Callable[..., Project], keys: dict[str, Any], why: str
) -> None:
    project = configured(**keys)
    before = [project.lake.read(table) for table in LIVE], read_package(project.home.serving).path
    for _ in range(2):
        assert night(project).success
        for table, stood in zip(LIVE, before[0], strict=True):
            assert project.lake.read(table).equals(stood), table
        assert read_package(project.home.serving).path == before[1]
        check: Any = forecast_was_made_tonight
        found = check(project)
        assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
        assert f"since {BOTH.last_day} the forecast of {BOTH.last_day} serves on: version" in found.description
        assert why in found.description
        assert any(why in line for line in changes(project))
    checked: Any = every_series_is_forecast
    assert checked(project).passed
    project = configured()
    assert night(project).success
    assert check(project).passed
    assert changes(project) == []


def test_a_covariate_that_is_declared_later_stops_nothing_and_asks_for_a_training(
    configured: Callable[..., Project],
) -> None:
    project = configured(covariates=DECLARED | {"known_future": ["promo", "event", "wind"]})
    assert night(project).success
    check: Any = forecast_was_made_tonight
    assert check(project).passed
    assert changes(project) == ["covariate wind was declared after the newest training"]
    assert str(outdated(project, project.tracking.champion())).endswith("before covariate wind was declared")  # type: ignore[arg-type]


def test_a_shorter_horizon_is_the_shorter_part(configured: Callable[..., Project]) -> None:
    project = configured(horizon=7)
    whole = project.lake.read("demand_forecast")
    assert night(project).success
    part = project.lake.read("demand_forecast")
    assert_frame_equal(part, whole.filter(pl.col("horizon") <= 7))
    assert changes(project) == []


def test_features_of_a_new_release_keep_the_last_forecast(
    configured: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = configured()
    before = project.lake.read("demand_forecast")
    declared = declaration.declare
    monkeypatch.setattr(contract, "declare", lambda inputs: declared(inputs)[:-1])
    assert night(project).success
    assert project.lake.read("demand_forecast").equals(before)
    assert "features declared by this version differ" in changes(project)[0]


def test_a_way_back_that_cannot_be_read_is_none(configured: Callable[..., Project]) -> None:
    project = configured(horizon=28)
    longer = replace(BOTH, horizon=28)
    promote(project, register(project, longer.features([longer.last_day]), longer.last_day, "longer"))
    train(project, longer)
    assert night(project).success
    assert project.lake.read("demand_forecast")["horizon"].max() == 28
    assert roles(project).keys() == {"champion"}
    config = {"ops": {"promoted_model": {"config": {"roll_back": "it lost"}}}}
    done = dg.materialize([promoted_model], resources={"project": project}, run_config=config, raise_on_error=False)
    assert not done.success
    assert project.tracking.aliases()["champion"] == project.lake.read("demand_forecast")["model_version"][0]
