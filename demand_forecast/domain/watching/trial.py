"""The trial of a challenger: its forecasts beside the champion's on the same pairs, and whether they differ."""

from dataclasses import dataclass
from typing import Literal

import polars as pl

from demand_forecast.domain.evaluation.difference import LOSSES, Difference, compare, side_by_side
from demand_forecast.domain.evaluation.roles import CHALLENGER, CHAMPION
from demand_forecast.domain.tables import SERIES
from demand_forecast.domain.watching.live_accuracy import pair_losses

Verdict = Literal["challenger better", "champion better", "no significant difference yet", "too few days"]
Scope = Literal["served", "all"]
SCOPES: tuple[Scope, ...] = ("served", "all")
# The trial is reviewed every night, and every review is another chance to be wrong. Of 250 simulated trials of equal
# arms (as in test_trial), 2% were told apart in one of 28 nights from the 14th day on at this level, 14% at 5%.
SIGNIFICANCE = 0.01
LEAST_DAYS = 14  # clusters: with fewer, the variance between days is itself hardly known


@dataclass(frozen=True)
class TrialReview:
    """What a trial says so far. `wql` and `wape` are None where nothing was sold on the days that count.

    The verdict is on WQL, which orders depend on; `degrees_of_freedom` are those of its standard error, rounded down.
    """

    verdict: Verdict
    reason: str
    series: int
    days: int
    pairs: int
    units: float
    degrees_of_freedom: int
    wql: Difference | None = None
    wape: Difference | None = None


def arm_losses(published: pl.DataFrame, demand: pl.DataFrame, champion: str, challenger: str) -> pl.DataFrame:
    """Pairs that both versions forecast and whose actuals have come: `store_id, product_id, date, forecast_origin,
    horizon, units`, and `quantile_loss`, `absolute_error` of the champion, with `_challenger` of the challenger, in
    units.

    `published`: rows of `published_forecasts`; `demand`: of `daily_demand`, reaching back to the oldest origin.
    """
    losses = pair_losses(published, demand)
    arms = [
        losses.filter(pl.col("role") == role, pl.col("model_version") == version)
        for role, version in ((CHAMPION, champion), (CHALLENGER, challenger))
    ]
    return side_by_side(*arms)


def answered_pairs(losses: pl.DataFrame, served: pl.DataFrame) -> pl.DataFrame:
    """The rows of `losses` that the challenger answered: the first `periods` of each origin and series in `served`
    (`store_id, product_id, forecast_origin, periods`, each key once).
    """
    keys = [*SERIES, "forecast_origin"]
    return losses.join(served, on=keys).filter(pl.col("horizon") <= pl.col("periods")).drop("periods")


def review_trial(cells: pl.DataFrame) -> TrialReview:
    """The verdict on `cells`, rows of `by_series_and_day`: significant at 1%, and from 14 days on."""
    series, days = cells.select(pl.struct(SERIES).n_unique()).item(), cells["date"].n_unique()
    size = (series, days, int(cells["pairs"].sum()), float(cells["units"].sum()))
    wql, wape = (compare(cells, loss) for loss in LOSSES.values())
    if wql is None:
        return TrialReview("too few days", "no pair whose actuals have come", *size, 0)
    verdict = _verdict(wql, days)
    return TrialReview(verdict, _reason(verdict, wql, days), *size, int(wql.degrees_of_freedom), wql, wape)


def _verdict(wql: Difference, days: int) -> Verdict:
    if days < LEAST_DAYS:
        return "too few days"
    if wql.p_value >= SIGNIFICANCE:
        return "no significant difference yet"
    return "challenger better" if wql.difference < 0 else "champion better"


def _reason(verdict: Verdict, wql: Difference, days: int) -> str:
    said = f"WQL {wql.challenger:.4f} against {wql.champion:.4f} of the champion, {wql.difference:+.4f}"
    said += f" (standard error {wql.standard_error:.4f}, p = {wql.p_value:.3f})"
    if verdict == "too few days":
        return f"{said} on {days} days; a verdict needs {LEAST_DAYS}"
    return f"{said} on {days} days; a difference counts from p < {SIGNIFICANCE:g} on"
