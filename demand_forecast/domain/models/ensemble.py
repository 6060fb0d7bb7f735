"""The mean of several models: their errors differ, so that some of them cancel."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from demand_forecast.domain.models.base import ForecastModel, ModelError, column
from demand_forecast.domain.models.distribution import Dispersion, Floats
from demand_forecast.domain.models.gradient_boosting import GradientBoosting
from demand_forecast.domain.models.lightgbm_tweedie import LightGBMTweedie

MEMBERS: dict[str, type[GradientBoosting] | type[LightGBMTweedie]] = {
    member.name: member for member in (LightGBMTweedie, GradientBoosting)
}


class Ensemble(ForecastModel):
    """The mean of LightGBM's and scikit-learn's means, with the mean of their dispersions (Bates and Granger 1969,
    The combination of forecasts, Operational Research Quarterly 20, 451-468, with equal weights).
    """

    name: ClassVar[str] = "ensemble"
    text: ClassVar[str] = "The mean of LightGBM's and scikit-learn's forecasts: their errors differ."
    kinds: ClassVar[frozenset[str]] = frozenset({"lightgbm", "scikitlearn"})
    members: ClassVar[tuple[str, ...]] = tuple(MEMBERS)
    aligned: ClassVar[bool] = True

    def __init__(self, *, seed: int = 7, threads: int = 0) -> None:
        super().__init__(seed=seed, threads=threads)
        self._models: dict[str, LightGBMTweedie | GradientBoosting] = {}

    def adopt(self, fitted: Mapping[str, ForecastModel]) -> Self:
        self._models = {name: fitted[name] for name in MEMBERS if name in fitted}  # type: ignore[misc]
        return self

    def _learn(self, rows: pl.DataFrame) -> None:
        for name, member in MEMBERS.items():
            if name not in self._models:
                self._models[name] = member(**self.parameters).fit(rows, self.contract)

    def _mean(self, rows: pl.DataFrame, expected_open: Floats) -> Floats:  # noqa: ARG002
        return np.mean([model.expected(rows) for model in self._models.values()], axis=0)

    def _quantiles(self, rows: pl.DataFrame, mean: Floats) -> Floats:
        return self._dispersion.quantiles(mean, column(rows, "variance_to_mean"))

    def _probabilities(self, rows: pl.DataFrame, mean: Floats, units: Floats) -> tuple[Floats, Floats]:
        return self._dispersion.probabilities(mean, column(rows, "variance_to_mean"), units)

    @property
    def _dispersion(self) -> Dispersion:
        found = [model.dispersion for model in self._models.values()]
        constant, own, square = np.mean([(one.constant, one.own, one.square) for one in found], axis=0)
        return Dispersion(float(constant), float(own), float(square), counts=all(one.counts for one in found))

    def _fitted(self, folder: Path) -> dict[str, Any]:
        for name, model in self._models.items():
            model.save(folder / name)
        return {"members": list(self._models)}

    def _restore(self, content: dict[str, Any], folder: Path) -> None:
        if content["members"] != list(MEMBERS):
            raise ModelError(f"{folder}: an ensemble of {content['members']}, known is {list(MEMBERS)}; train it again")
        self._models = {name: MEMBERS[name].load(folder / name) for name in MEMBERS}
