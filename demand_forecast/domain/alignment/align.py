"""Series' forecasts moved towards the forecast of their group, as far as the backtest says that it pays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from demand_forecast.domain.alignment.groups import GROUP
from demand_forecast.domain.models.distribution import Floats
from demand_forecast.domain.tables import SERIES

WEIGHTS = (0.0, 0.25, 0.5, 0.75)  # beyond, a few origins decide by luck: groups are not forecast without error
LARGEST = 2.0  # factor up or down: beyond it one of the two forecasts is wrong
DAY = [*GROUP, "date"]


@dataclass(frozen=True)
class Groups:
    """The groups of all series: `forecast` is the table group_forecast, `members` says the group of every series."""

    forecast: pl.DataFrame
    members: pl.DataFrame

    def align(self, rows: pl.DataFrame, mean: Floats, weight: float) -> Floats:
        """`mean` times its `factor`; shape (rows,)."""
        return mean * self.factor(rows, mean, weight)

    def factor(self, rows: pl.DataFrame, mean: Floats, weight: float) -> Floats:
        """What `mean`, expected units of `rows` (`store_id, product_id, forecast_origin, date`, all of one origin), is
        to be multiplied by: (group forecast / sum of the group's means) ^ weight by group and day; shape (rows,).

        Forecasts stay coherent: those of groups are the sums of those of series. A group that is not forecast, or has
        no demand that day, stays as it is: 1, and so do all with weight 0.
        """
        if weight == 0:
            return np.ones(len(rows))
        return self._ratio(rows, mean) ** weight

    def errors(self, rows: pl.DataFrame, mean: Floats) -> dict[float, float]:
        """The error that each of WEIGHTS leaves in groups and in their total: the mean over both levels of root mean
        squared daily errors, summed over the level's nodes, divided by the units sold a day. `rows` have `units` too.
        """
        ratio = self._ratio(rows, mean)
        days = rows.select(*SERIES, "date", pl.col("units").cast(pl.Float64))
        days = days.join(self.members, on=SERIES, how="left", maintain_order="left")
        return {weight: _error(days.with_columns(mean=pl.Series(mean * ratio**weight))) for weight in WEIGHTS}

    def _ratio(self, rows: pl.DataFrame, mean: Floats) -> Floats:
        days = rows.select(*SERIES, "forecast_origin", "date").join(
            self.members, on=SERIES, how="left", maintain_order="left"
        )
        known = self.forecast.select(*DAY, "forecast_origin", top="mean")
        days = days.with_columns(mean=pl.Series(mean)).join(
            known, on=[*DAY, "forecast_origin"], how="left", maintain_order="left"
        )
        ratio = pl.col("top") / pl.col("mean").sum().over(DAY)
        bounded = pl.when(ratio.is_finite()).then(ratio.clip(1 / LARGEST, LARGEST)).otherwise(1.0)
        return days.select(bounded.cast(pl.Float64)).to_series().to_numpy()


def learn_weights(errors: Mapping[date, Mapping[float, float]]) -> dict[date | None, float]:
    """The weight with the smallest error, from the errors (`Groups.errors`) of each of WEIGHTS at each origin.

    Under None: from all origins, for the next forecast. Under an origin: from the others alone, so that the origin's
    own score is that of a weight learned elsewhere. 0, no alignment, where there is one origin only, or where weights
    learned so would have made the origins' forecasts worse.
    """
    learned: dict[date | None, float] = {
        origin: _best([errors[other] for other in errors if other != origin]) for origin in errors
    }
    before = sum(errors[origin][0.0] for origin in errors)
    after = sum(errors[origin][learned[origin]] for origin in errors)
    if after >= before:
        return dict.fromkeys([None, *errors], 0.0)
    return {None: _best(list(errors.values())), **learned}


def _best(errors: Sequence[Mapping[float, float]]) -> float:
    return min(WEIGHTS, key=lambda weight: sum(error[weight] for error in errors)) if errors else 0.0


def _error(days: pl.DataFrame) -> float:
    by_group = days.group_by(DAY).agg(error=(pl.col("mean") - pl.col("units")).sum())
    total = by_group.group_by("date").agg(pl.col("error").sum())
    root = (pl.col("error").cast(pl.Float64) ** 2).mean().sqrt()
    groups = by_group.group_by(GROUP).agg(root)["error"].sum()
    a_day = float(days["units"].sum()) / len(total)
    return float(np.mean([groups, total.select(root).item()]) / max(a_day, 1e-9))
