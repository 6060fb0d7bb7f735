"""scikit-learn's histogram gradient boosting on demand relative to the series' level, with the Poisson loss."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from demand_forecast.domain.models.base import LevelModel, ModelError, smallest_leaf
from demand_forecast.domain.models.distribution import Floats

SUBSAMPLE = 200_000  # up to here scikit-learn 1.9 weighs every row for every bin: 255 bins took 14 s of a fit of 17 s
TRUSTED_TYPES = ["sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"]


class GradientBoosting(LevelModel):
    """One global model for all series and horizons, of units over base level, weighted by the base level: the Poisson
    likelihood of the units themselves. Category codes are read as numbers: fewer types to trust in a saved model.
    """

    name: ClassVar[str] = "gradient_boosting"
    text: ClassVar[str] = "Gradient-boosted trees (scikit-learn, Poisson loss), one model for all series and horizons."
    libraries: ClassVar[tuple[str, ...]] = ("scikit-learn", "skops")
    by_default: ClassVar[bool] = True
    averaged: ClassVar[bool] = True
    learner_file: ClassVar[str] = "model.skops"

    def __init__(self, *, seed: int = 7, threads: int = 0) -> None:
        super().__init__(seed=seed, threads=threads)
        self._learner: Any = None

    def _train(self, matrix: Any, units: Floats, level: Floats, weight: Floats) -> None:
        from sklearn.ensemble import HistGradientBoostingRegressor

        rows = len(units)
        leaf, units_in_leaf = smallest_leaf(weight * level)
        matrix[:, np.isnan(matrix).all(axis=0)] = 0  # a column without any value cannot be cut into bins
        self._learner = HistGradientBoostingRegressor(
            loss="poisson",
            learning_rate=0.13,
            max_iter=60,  # as accurate as 100 at 0.08 on M5 and the sample, for 60% of the time
            max_leaf_nodes=int(np.clip(rows // 20, 2, 31)),
            min_samples_leaf=leaf,
            max_bins=63 if rows <= SUBSAMPLE else 255,
            l2_regularization=units_in_leaf,
            max_features=0.5,
            early_stopping=False,
            random_state=self.parameters["seed"],
        )
        with self._threads():
            self._learner.fit(matrix, units / level, sample_weight=weight * level)

    def _ratio(self, matrix: Any) -> Floats:
        with self._threads():
            return self._learner.predict(matrix)

    def _threads(self) -> AbstractContextManager[Any]:
        from threadpoolctl import threadpool_limits

        threads = self.parameters["threads"]
        return threadpool_limits(threads, user_api="openmp") if threads else nullcontext()

    def _save_learner(self, file: Path) -> None:
        import skops.io

        skops.io.dump(self._learner, file)

    def _load_learner(self, file: Path) -> None:
        import skops.io

        foreign = sorted(set(skops.io.get_untrusted_types(file=file)) - set(TRUSTED_TYPES))
        if foreign:
            raise ModelError(f"{file}: holds {', '.join(foreign)}, which this model never saves; do not use the file")
        self._learner = skops.io.load(file, trusted=TRUSTED_TYPES)
