"""A model family is one file: dropped into the folder it is a candidate, an asset, in the backtest and in the Bento."""

import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from demand_forecast.cli.commands import main
from demand_forecast.defs.models import assets
from demand_forecast.domain import models
from demand_forecast.domain.evaluation.backtest import run_backtest
from demand_forecast.domain.models import (
    BASELINE_MODEL,
    ForecastModel,
    ModelError,
    create,
    families,
    family,
    load_model,
    with_candidates,
)
from demand_forecast.domain.models.base import FAMILIES, LevelModel
from demand_forecast.domain.models.training_rows import training_rows
from demand_forecast.publishing.bento import pinned
from demand_forecast.reports import style
from demand_forecast.settings import ConfigError, Settings, load_settings
from demand_forecast_tests.domain.small_retailer import make_retailer

OURS = ["seasonal_naive", "gradient_boosting", "lightgbm", "ensemble"]
LEVEL = '''
"""The base level, whatever the day: a ratio learned from all rows."""

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from demand_forecast.domain.models.base import LevelModel
from demand_forecast.domain.models.distribution import Floats


class BaseLevel(LevelModel):
    name: ClassVar[str] = "base_level"
    title: ClassVar[str] = "Base Level"
    text: ClassVar[str] = "The base level of each series, times a ratio that is the same for all."
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "scipy")
    averaged: ClassVar[bool] = True
    learner_file: ClassVar[str] = "ratio.json"
    ratio: float

    def _train(self, matrix: Any, units: Floats, level: Floats, weight: Floats) -> None:
        self.ratio = float(np.average(units, weights=weight) / np.average(level, weights=weight))

    def _ratio(self, matrix: Any) -> Floats:
        return np.full(len(matrix), self.ratio)

    def _save_learner(self, file: Path) -> None:
        file.write_text(json.dumps(self.ratio))

    def _load_learner(self, file: Path) -> None:
        self.ratio = json.loads(file.read_text())
'''
Write = Callable[[str], Settings]


@pytest.fixture
def registry() -> Iterator[dict[str, type[ForecastModel]]]:
    """The families, to be changed by one test."""
    known = dict(FAMILIES)
    yield FAMILIES
    FAMILIES.clear()
    FAMILIES.update(known)


@pytest.fixture
def dropped_in(registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if the file lay in the folder when the package was imported."""
    (tmp_path / "base_level.py").write_text(LEVEL)
    monkeypatch.setattr(models, "__path__", [str(tmp_path)])
    models.import_families()
    yield
    del sys.modules["demand_forecast.domain.models.base_level"]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def settings(candidates: str) -> Settings:
        file = tmp_path / "config.yaml"
        source = "source: {kind: files, sales: {path: '*.csv', columns: {date: Date}}}"
        file.write_text(f"home: state\ntraining: {{{candidates}}}\n{source}\n")
        return load_settings(file)

    return settings


def test_a_file_in_the_folder_is_a_family(dropped_in) -> None:
    assert list(families()) == ["seasonal_naive", "base_level", "gradient_boosting", "lightgbm", "ensemble"]
    assert family("ensemble").members() == ("base_level", "gradient_boosting", "lightgbm")


def test_it_is_a_candidate_where_settings_name_it(dropped_in, write: Write) -> None:
    named = with_candidates(write("candidates: [seasonal_naive, base_level]"))
    assert named.training.candidates == ["seasonal_naive", "base_level"]
    assert with_candidates(write("")).training.candidates == OURS, "it does not say that it is one by default"


def test_it_is_an_asset_of_its_own_kind_and_a_part_of_the_ensemble(dropped_in) -> None:
    candidates = [*OURS, "base_level"]
    made, ensemble = (next(iter(assets.model_asset(name, candidates).specs)) for name in ("base_level", "ensemble"))
    assert (made.key.to_user_string(), made.kinds) == ("base_level", {"mlflow", "numpy"})
    assert "times a ratio that is the same for all" in (made.description or "")
    assert "base_level" in {dep.asset_key.to_user_string() for dep in ensemble.deps}
    assert ensemble.kinds == {"mlflow", "numpy", "lightgbm", "scikitlearn"}


@pytest.mark.slow
def test_it_is_backtested_averaged_and_loaded_back(dropped_in, tmp_path: Path) -> None:
    retailer = make_retailer(days=380)
    origin = retailer.last_day - timedelta(days=14)
    features, contract = retailer.features([origin])
    candidates = {name: lambda _, name=name: create(name, threads=1) for name in ("base_level", "ensemble")}
    backtest, _, _ = run_backtest(features, contract, candidates, [origin])
    assert backtest["model"].unique(maintain_order=True).to_list() == ["base_level", "ensemble"]
    rows = features.filter(~pl.col("training"))
    for name in candidates:
        model = create(name, threads=1).fit(training_rows(features, origin), contract)
        model.save(tmp_path / name)
        forecast = load_model(tmp_path / name).forecast(rows)
        assert forecast.equals(model.forecast(rows))
        made = backtest.filter(model=name)
        both = (frame.sort("store_id", "product_id", "date")["mean"] for frame in (forecast, made))
        assert next(both).equals(next(both))
    members = [folder.name for folder in (tmp_path / "ensemble").iterdir() if folder.is_dir()]
    assert sorted(members) == ["base_level", "gradient_boosting", "lightgbm"]
    assert f'"scipy": "{version("scipy")}"' in (tmp_path / "base_level" / "model.json").read_text()


def test_readers_see_its_title_and_a_bento_packs_its_libraries(dropped_in, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [style.plain(name) for name in ("base_level", "gradient_boosting", "lightgbm", "store_id")] == [
        "Base Level",
        "gradient boosting",
        "LightGBM",
        "store",
    ]
    monkeypatch.setattr(family("base_level"), "libraries", ("rich",))
    assert f"rich=={version('rich')}" in pinned()


def test_models_saved_before_the_ensemble_had_another_member_still_load(
    registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    retailer = make_retailer(days=200, products=2)
    features, contract = retailer.features([retailer.last_day])
    saved = create("ensemble", threads=1).fit(training_rows(features, retailer.last_day), contract)
    saved.save(tmp_path / "two")
    monkeypatch.setattr(family("lightgbm"), "averaged", False)
    with pytest.raises(ModelError, match=r"two: an ensemble of .*lightgbm.*, known are .*gradient_boosting.*again"):
        load_model(tmp_path / "two")
    monkeypatch.setattr(family("lightgbm"), "averaged", True)
    registry["more"] = type("More", (LevelModel,), {"libraries": (), "averaged": True})
    rows = features.filter(~pl.col("training"))
    assert load_model(tmp_path / "two").forecast(rows).equals(saved.forecast(rows))


def test_a_family_whose_library_is_missing_is_no_candidate_and_says_why(registry, write: Write) -> None:
    about = {"name": "neural", "text": "…", "libraries": ("numpy", "no-such-library"), "averaged": True}
    type("Neural", (LevelModel,), about)
    assert "neural" in registry
    assert list(families()) == OURS
    assert family("ensemble").members() == ("gradient_boosting", "lightgbm")
    problem = "neural needs no-such-library, which is not installed; install it, or leave neural out"
    with pytest.raises(ModelError, match=problem):
        create("neural")
    with pytest.raises(ConfigError, match=rf"config.yaml: training.candidates: {problem}"):
        with_candidates(write("candidates: [seasonal_naive, neural]"))


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        ("[seasonal_naive, lightgmb]", r"unknown model lightgmb; did you mean lightgbm\? Known here: ensemble, "),
        ("[lightgbm]", r"seasonal_naive must be among them: every other is measured against it"),
    ],
)
def test_what_settings_name_wrongly_is_named_with_its_place(
    write: Write, tmp_path: Path, candidates: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = write(f"candidates: {candidates}")
    with pytest.raises(ConfigError, match=rf"config.yaml: training.candidates: {message}"):
        with_candidates(settings)
    monkeypatch.setenv("DEMAND_FORECAST_CONFIG", "")
    result = CliRunner().invoke(main, ["home", "--config", str(settings.path)])
    assert result.exit_code == 1
    assert f"Error: {tmp_path}/config.yaml: training.candidates: " in result.output


@pytest.mark.parametrize(
    ("about", "message"),
    [
        (
            {"name": "lightgbm", "text": "…"},
            r"demand_forecast.domain.models.lightgbm_tweedie has a model family lightg",
        ),
        ({"name": "silent"}, r"model family silent has no text: give the class one"),
    ],
)
def test_a_family_that_cannot_be_one_is_refused_where_it_is_defined(registry, about, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        type("Other", (LevelModel,), {"libraries": (), **about})


def test_the_baseline_comes_first_and_is_a_candidate_by_default() -> None:
    assert next(iter(families())) == BASELINE_MODEL
    assert family(BASELINE_MODEL).by_default
