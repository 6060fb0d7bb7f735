"""The candidates, by the name that settings give them."""

from pathlib import Path

from demand_forecast.domain.models.base import ForecastModel, ModelError, read_description
from demand_forecast.domain.models.ensemble import Ensemble
from demand_forecast.domain.models.gradient_boosting import GradientBoosting
from demand_forecast.domain.models.lightgbm_tweedie import LightGBMTweedie
from demand_forecast.domain.models.seasonal_naive import SeasonalNaive

CANDIDATES: dict[str, type[ForecastModel]] = {
    model.name: model for model in (SeasonalNaive, GradientBoosting, LightGBMTweedie, Ensemble)
}

__all__ = ["CANDIDATES", "Ensemble", "ForecastModel", "ModelError", "create", "describe", "load_model"]


def describe(name: str) -> type[ForecastModel]:
    """The class of a candidate: its `text` and `kinds`. Raises ModelError for an unknown name."""
    if name not in CANDIDATES:
        raise ModelError(f"training: candidates: {name} is not known; known are {', '.join(CANDIDATES)}")
    return CANDIDATES[name]


def create(name: str, *, seed: int = 7, threads: int = 0) -> ForecastModel:
    """A candidate, not fitted. `threads` 0: as many as the machine has. Raises ModelError for an unknown name."""
    return describe(name)(seed=seed, threads=threads)


def load_model(folder: Path | str) -> ForecastModel:
    """The model that was saved in `folder`, whatever candidate it is. Raises ModelError where there is none."""
    return describe(read_description(Path(folder))["name"]).load(Path(folder))
