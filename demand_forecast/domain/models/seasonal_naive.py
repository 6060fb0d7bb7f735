"""The forecast that costs nothing: what was sold a season ago. Every other candidate must beat it."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl

from demand_forecast.domain.demand.calendar import calendar_of
from demand_forecast.domain.models.base import ForecastModel, column
from demand_forecast.domain.models.distribution import Floats, normal_probabilities, normal_quantiles


class SeasonalNaive(ForecastModel):
    """Units of the last same weekday (at weekly frequency: of the same week a year ago); the last units before that.

    Quantiles are normal with the root mean squared seasonal difference times the root of the seasons ahead
    (Hyndman and Athanasopoulos, Forecasting: principles and practice, 3rd edition, section 5.5).
    """

    name: ClassVar[str] = "seasonal_naive"
    text: ClassVar[str] = "What was sold a season ago, the forecast that every other candidate must beat."
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)
    by_default: ClassVar[bool] = True

    def _learn(self, rows: pl.DataFrame) -> None:
        """Nothing to learn: all it needs is in the row."""

    def _mean(self, rows: pl.DataFrame, expected_open: Floats) -> Floats:
        season_ago = column(rows, "last_season_units")
        mean = np.where(np.isnan(season_ago), column(rows, "last_units"), season_ago)
        return np.where(expected_open > 0, mean, 0.0)

    def _spread(self, rows: pl.DataFrame, mean: Floats) -> tuple[Floats, Floats]:
        deviation = self._deviation(rows)
        return normal_quantiles(mean, deviation), deviation**2

    def _probabilities(self, rows: pl.DataFrame, mean: Floats, units: Floats) -> tuple[Floats, Floats]:
        return normal_probabilities(mean, self._deviation(rows), units)

    def _deviation(self, rows: pl.DataFrame) -> Floats:
        """Standard deviation of units, none where the shop is expected closed; shape (rows,)."""
        scale, last = column(rows, "season_scale"), column(rows, "last_season_units")
        seasons = np.ceil(column(rows, "horizon") / calendar_of(self.contract.inputs.frequency).season)
        usual = np.sqrt(np.where(np.isnan(last), column(rows, "last_units"), last))
        deviation = np.where(np.isnan(scale), usual, scale) * np.sqrt(seasons)
        return np.where(column(rows, "expected_open") > 0, deviation, 0.0)

    def _fitted(self, folder: Path) -> dict[str, Any]:  # noqa: ARG002
        return {}

    def _restore(self, content: dict[str, Any], folder: Path) -> None:
        """Nothing was learned."""
