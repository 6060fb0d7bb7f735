"""Series' forecasts moved towards the forecast of their group, as far as the backtest says that it pays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from demand_forecast.domain.alignment.groups import GROUP
from demand_forecast.domain.models.distribution import Floats
from demand_forecast.domain.tables import SERIES

WEIGHTS = tuple(float(weight) for weight in np.linspace(0, 1, 21))  # that are compared
DOUBT = 0.5  # the weight before any origin was seen: neither of the two forecasts is known to be better
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
        squared daily errors, summed over the level's nodes, divided by the units sold a day. `rows` have `units` and
        their `exposure` too: what is compared with units is what would have been sold in that time.
        """
        days = rows.select(
            *SERIES,
            "date",
            pl.col("units", "exposure").cast(pl.Float64),
            mean=pl.Series(mean),
            ratio=pl.Series(self._ratio(rows, mean)),
        ).join(self.members, on=SERIES, how="left")
        expected = (pl.col("mean") * pl.col("exposure")).sum()
        by_day = days.group_by(DAY).agg(pl.col("units").sum(), pl.col("ratio").first(), expected=expected)
        return {weight: _error(by_day, weight) for weight in WEIGHTS}

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
    """The weight with the smallest error, from the errors (`Groups.errors`) of each of WEIGHTS at each origin, drawn
    towards DOUBT as if one more origin spoke for that: a few origins tell little about it.

    Under None: from all origins, for the next forecast. Under an origin: from the others alone, so that the origin's
    own score is that of a weight learned elsewhere. 0, no alignment, where there is one origin only, or where weights
    learned so would have made the origins' forecasts worse.
    """
    learned: dict[date | None, float] = {
        origin: _drawn([errors[other] for other in errors if other != origin]) for origin in errors
    }
    before = sum(errors[origin][0.0] for origin in errors)
    after = sum(error_at(errors[origin], learned[origin]) for origin in errors)
    if len(errors) < 2 or not after < before:
        return dict.fromkeys([None, *errors], 0.0)
    return {None: _drawn(list(errors.values())), **learned}


def error_at(errors: Mapping[float, float], weight: float) -> float:
    """The error that any `weight`, 0..1, leaves: between those of WEIGHTS on a straight line."""
    return float(np.interp(weight, [*errors], [*errors.values()]))


def _drawn(errors: Sequence[Mapping[float, float]]) -> float:
    best = min(WEIGHTS, key=lambda weight: sum(error[weight] for error in errors))
    return (len(errors) * best + DOUBT) / (len(errors) + 1)


def _error(by_day: pl.DataFrame, weight: float) -> float:
    """`by_day`: DAY, `units`, `expected` in the time that goods were there, and what it is `ratio` ^ weight times."""
    moved = pl.col("expected") * pl.col("ratio") ** weight
    errors = by_day.select(*DAY, "units", error=moved - pl.col("units"))
    total = errors.group_by("date").agg(pl.col("error").sum())
    root = (pl.col("error") ** 2).mean().sqrt()
    groups = errors.group_by(GROUP).agg(root)["error"].sum()
    a_day = float(by_day["units"].sum()) / len(total)
    return float(np.mean([groups, total.select(root).item()]) / max(a_day, 1e-9))
