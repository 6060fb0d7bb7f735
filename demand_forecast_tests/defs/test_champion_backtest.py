"""The champion on the same origins as its challengers: as it is where it saw nothing after, else its recipe again."""

from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from demand_forecast.defs.evaluation import assets
from demand_forecast.defs.evaluation.assets import _candidates, _is_echo
from demand_forecast.domain.evaluation.backtest import run_backtest
from demand_forecast.domain.evaluation.roles import CHAMPION
from demand_forecast.domain.models import create
from demand_forecast.domain.models.training_rows import training_rows
from demand_forecast.settings import Training
from demand_forecast_tests.domain.small_retailer import make_retailer

ORIGINS = [28, 14]


class Night:
    """Features with two backtest origins, and a champion trained at `trained`."""

    def __init__(self, folder: Path) -> None:
        retailer = make_retailer()
        self.folder = folder
        self.origins = [retailer.last_day - timedelta(days=back) for back in ORIGINS]
        self.features, self.contract = retailer.features([*self.origins, retailer.last_day])
        recipe = {"lightgbm": lambda _: create("lightgbm")}
        self.made, _, _ = run_backtest(self.features, self.contract, recipe, self.origins)

    def forecasts_of_champion(self, trained: date) -> tuple[pl.DataFrame, pl.DataFrame]:
        model = create("lightgbm").fit(training_rows(self.features, trained), self.contract)
        model.save(self.folder)
        version = SimpleNamespace(version="1", model="lightgbm", forecast_origin=trained)
        tracking = SimpleNamespace(champion=lambda: version, download=lambda *_: self.folder)
        project = SimpleNamespace(tracking=tracking, settings=SimpleNamespace(seed=7, training=Training()))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(assets, "outdated", lambda *_: None)
            champion = _candidates(project, self.contract)[CHAMPION]  # type: ignore[arg-type]
        made, _, _ = run_backtest(self.features, self.contract, {CHAMPION: champion}, self.origins)
        return made, model.forecast(self.features.filter(~pl.col("training")))


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return Night(tmp_path_factory.mktemp("champion"))


def means(frame: pl.DataFrame, origin: date) -> pl.DataFrame:
    return frame.filter(pl.col("forecast_origin") == origin).select("store_id", "product_id", "horizon", "mean")


def test_a_champion_older_than_every_origin_is_scored_as_it_is(night: Night) -> None:
    champion, as_it_is = night.forecasts_of_champion(night.origins[0] - timedelta(days=30))
    for origin in night.origins:
        assert_frame_equal(means(champion, origin), means(as_it_is, origin))
    assert champion["model"].unique().to_list() == ["champion"]
    assert not _is_echo(pl.concat([night.made, champion]))


def test_an_origin_that_it_has_seen_gets_its_recipe_trained_again(night: Night) -> None:
    champion, as_it_is = night.forecasts_of_champion(night.origins[1])
    assert_frame_equal(means(champion, night.origins[0]), means(night.made, night.origins[0]))
    assert not means(champion, night.origins[0]).equals(means(as_it_is, night.origins[0]))
    assert_frame_equal(means(champion, night.origins[1]), means(as_it_is, night.origins[1]))


def test_a_champion_of_tonight_says_nothing_that_its_challenger_does_not(night: Night) -> None:
    champion, _ = night.forecasts_of_champion(night.origins[1] + timedelta(days=14))
    assert _is_echo(pl.concat([night.made, champion.select(night.made.columns)]))
