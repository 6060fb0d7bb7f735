"""The mean of several models: their errors differ, so that some of them cancel."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from demand_forecast.domain.models.base import FAMILIES, ForecastModel, LevelModel, ModelError, SpreadModel
from demand_forecast.domain.models.distribution import Floats


class Ensemble(SpreadModel):
    """The mean of the means of all families that are `averaged` (Bates and Granger 1969, The combination of forecasts,
    Operational Research Quarterly 20, 451-468, with equal weights); until its backtest, with the spread of the first.
    """

    name: ClassVar[str] = "ensemble"
    text: ClassVar[str] = "The mean of the forecasts of several models: their errors differ."
    libraries: ClassVar[tuple[str, ...]] = ()
    by_default: ClassVar[bool] = True

    @classmethod
    def members(cls) -> tuple[str, ...]:
        return tuple(sorted(_averaged()))

    def __init__(self, *, seed: int = 7, threads: int = 0) -> None:
        super().__init__(seed=seed, threads=threads)
        self._models: dict[str, LevelModel] = {}

    def adopt(self, fitted: Mapping[str, ForecastModel]) -> Self:
        members = self.members()
        self._models = {
            name: model for name, model in fitted.items() if name in members and isinstance(model, LevelModel)
        }
        return self

    def _learn(self, rows: pl.DataFrame) -> None:
        made = {name: family(**self.parameters) for name, family in _averaged().items() if name not in self._models}
        fitted = self._models | {name: model.fit(rows, self.contract) for name, model in made.items()}
        self._models = dict(sorted(fitted.items()))
        self.spread = next(iter(self._models.values())).spread

    def _mean(self, rows: pl.DataFrame, expected_open: Floats) -> Floats:  # noqa: ARG002
        return np.mean([model.expected(rows) for model in self._models.values()], axis=0)

    def _fitted(self, folder: Path) -> dict[str, Any]:
        for name, model in self._models.items():
            model.save(folder / name)
        return {"members": list(self._models)}

    def _restore(self, content: dict[str, Any], folder: Path) -> None:
        families = _averaged()
        unknown = [name for name in content["members"] if name not in families]
        if unknown:
            raise ModelError(
                f"{folder}: an ensemble of {content['members']}, known are {sorted(families)}; train it again"
            )
        self._models = {name: families[name].load(folder / name) for name in content["members"]}
        self.spread = next(iter(self._models.values())).spread


def _averaged() -> dict[str, type[LevelModel]]:
    """The families that are averaged and whose libraries are installed."""
    return {
        name: family
        for name, family in FAMILIES.items()
        if issubclass(family, LevelModel) and family.averaged and not family.missing()
    }
