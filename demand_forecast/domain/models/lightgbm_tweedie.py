"""LightGBM on demand relative to the series' level, with the Tweedie loss."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl

from demand_forecast.domain.models.base import LevelModel, smallest_leaf
from demand_forecast.domain.models.distribution import Floats

ROUNDS = 150
POWER = 1.1  # of the Tweedie variance: sums of a few counted sales a day


class LightGBMTweedie(LevelModel):
    """One global model for all series and horizons; boosting starts from the base level. `penalty`: in units
    of that of `smallest_leaf`.
    """

    name: ClassVar[str] = "lightgbm"
    title: ClassVar[str] = "LightGBM"
    text: ClassVar[str] = "Gradient-boosted trees (LightGBM, Tweedie loss), one model for all series and horizons."
    libraries: ClassVar[tuple[str, ...]] = ("lightgbm",)
    by_default: ClassVar[bool] = True
    averaged: ClassVar[bool] = True
    learner_file: ClassVar[str] = "model.txt"

    def __init__(self, *, seed: int = 7, threads: int = 0, rounds: int = ROUNDS, penalty: float = 1.0) -> None:
        super().__init__(seed=seed, threads=threads, rounds=rounds, penalty=penalty)
        self._booster: Any = None

    def _train(self, matrix: Any, units: Floats, level: Floats, weight: Floats) -> None:
        import lightgbm

        names, categories = self.contract.model_columns, self.contract.category_columns
        data = lightgbm.Dataset(
            matrix, units, weight=weight, init_score=np.log(level), feature_name=names, categorical_feature=categories
        )
        self._booster = lightgbm.train(self._options(weight * level), data, num_boost_round=self.parameters["rounds"])

    def _options(self, expected: Floats) -> dict[str, Any]:
        leaf, units_in_leaf = smallest_leaf(expected)
        return {
            "objective": "tweedie",
            "tweedie_variance_power": POWER,
            "learning_rate": 0.08,
            "num_leaves": int(np.clip(len(expected) // (2 * leaf), 2, 63)),
            "min_data_in_leaf": leaf,
            "lambda_l2": self.parameters["penalty"] * units_in_leaf,
            "feature_fraction": 0.3,
            "seed": self.parameters["seed"],
            "num_threads": self.parameters["threads"],
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }

    def _ratio(self, matrix: Any) -> Floats:
        raw = self._booster.predict(matrix, raw_score=True, num_threads=self.parameters["threads"])
        return np.exp(raw)

    def importance(self) -> pl.DataFrame | None:
        gain = self._booster.feature_importance("gain")
        frame = pl.DataFrame({"feature": self._booster.feature_name(), "gain": gain / max(gain.sum(), 1e-12)})
        return frame.sort("gain", descending=True)

    def _save_learner(self, file: Path) -> None:
        self._booster.save_model(file)

    def _load_learner(self, file: Path) -> None:
        import lightgbm

        self._booster = lightgbm.Booster(model_file=file)
