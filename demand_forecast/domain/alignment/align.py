"""Series' forecasts moved towards the forecast of their group, as far as the backtest says that it pays."""

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import polars as pl

from demand_forecast.domain.alignment.groups import GROUP
from demand_forecast.domain.quantiles import Floats
from demand_forecast.domain.tables import SERIES

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
LARGEST = 2.0  # factor up or down: beyond it one of the two forecasts is wrong
DAY = [*GROUP, "date"]


def align(rows: pl.DataFrame, mean: Floats, groups: pl.DataFrame, members: pl.DataFrame, weight: float) -> Floats:
    """`mean`, expected units of `rows` (`store_id, product_id, date`, all of one origin), times
    (group forecast / sum of the group's means) ^ weight by group and day; shape (rows,).

    `groups`: group_forecast of the same origin; `members`: the group of every series. Forecasts stay coherent: those
    of groups are the sums of those of series. A group that is not forecast, or has no demand that day, stays as it is.
    """
    if weight == 0:
        return mean
    days = rows.select(*SERIES, "date").join(members, on=SERIES, how="left", maintain_order="left")
    days = days.with_columns(mean=pl.Series(mean)).join(
        groups.select(*DAY, top="mean"), on=DAY, how="left", maintain_order="left", nulls_equal=True
    )
    ratio = pl.col("top") / pl.col("mean").sum().over(DAY)
    factor = pl.when(ratio.is_finite()).then(ratio).otherwise(1.0).fill_null(1.0).clip(1 / LARGEST, LARGEST) ** weight
    return mean * days.select(factor).to_series().to_numpy()


def learn_weights(errors: Mapping[date, Mapping[float, float]]) -> dict[date | None, float]:
    """The weight that pays, from the `aligned_error` of each of WEIGHTS at each origin.

    Under None: from all origins, for the next forecast. Under an origin: from the others alone, so that the origin's
    own score is that of a weight learned elsewhere. 0, no alignment, where there is one origin only, or where weights
    learned so would have made the origins' forecasts worse.
    """
    learned = {origin: _best([errors[other] for other in errors if other != origin]) for origin in errors}
    before = sum(errors[origin][0.0] for origin in errors)
    after = sum(errors[origin][learned[origin]] for origin in errors)
    if after >= before:
        return dict.fromkeys([None, *errors], 0.0)
    return {None: _best(list(errors.values())), **learned}


def _best(errors: Sequence[Mapping[float, float]]) -> float:
    return min(WEIGHTS, key=lambda weight: sum(error[weight] for error in errors)) if errors else 0.0


def aligned_error(rows: pl.DataFrame, mean: Floats, groups: pl.DataFrame, members: pl.DataFrame) -> dict[float, float]:
    """For each of WEIGHTS the error of groups and of their total: the mean of both levels' root mean squared daily
    errors, each summed over its nodes and divided by the units sold. `rows` have `units`; NaN where nothing was sold.
    """
    days = rows.select(*SERIES, "date", "units").join(members, on=SERIES, how="left", maintain_order="left")
    return {
        weight: _error(days.with_columns(mean=pl.Series(align(rows, mean, groups, members, weight))))
        for weight in WEIGHTS
    }


def _error(days: pl.DataFrame) -> float:
    by_group = days.group_by(DAY).agg(error=(pl.col("mean") - pl.col("units")).sum())
    total = by_group.group_by("date").agg(pl.col("error").sum())
    root = (pl.col("error").cast(pl.Float64) ** 2).mean().sqrt()
    groups = by_group.group_by(GROUP).agg(root)["error"].sum()
    return float(np.mean([groups, total.select(root).item()]) / max(float(days["units"].sum()), 1e-9))
