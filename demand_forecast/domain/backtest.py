"""Every candidate on the same rolling origins: what each would have forecast, beside what happened."""

from collections.abc import Callable, Iterator, Mapping
from datetime import date

import polars as pl

from demand_forecast.domain.calendar import Frequency, calendar_of
from demand_forecast.domain.features import FeatureContract
from demand_forecast.domain.models.base import ForecastModel

Candidate = ForecastModel | Callable[[], ForecastModel]
MIN_CYCLES = 2  # weeks of history, beside one horizon, that the oldest origin needs


class HistoryTooShort(ValueError):  # noqa: N818 - it says what is wrong, not that something is
    """There are not enough periods to prove a forecast on."""


def backtest_origins(
    first_day: date,
    last_day: date,
    *,
    horizon: int,
    count: int,
    step: int | None = None,
    frequency: Frequency = "daily",
) -> list[date]:
    """The last `count` forecast origins whose whole horizon is known, `step` periods apart (the horizon by default).

    With count=3 and step=horizon, `-` history and `o` the periods forecast::

        first_day                                last_day
        |----------------------|oooooo|                       oldest origin, first in the list
        |-----------------------------|oooooo|
        |------------------------------------|oooooo|         newest origin, last in the list

    Fewer are returned where the history holds fewer: the oldest keeps one horizon and two weeks before it.
    Raises HistoryTooShort where it holds none.
    """
    calendar = calendar_of(frequency)
    periods = (last_day - first_day).days // calendar.step + 1
    apart = step or horizon
    needed = 2 * horizon + MIN_CYCLES * calendar.cycle
    possible = (periods - needed) // apart + 1 if periods >= needed else 0
    if not possible:
        raise HistoryTooShort(
            f"horizon: {horizon} {frequency} periods need a history of {needed} to prove a forecast; there are "
            f"{periods} ({first_day} to {last_day}); shorten horizon:, or bring older sales"
        )
    return [calendar.ahead(last_day, -horizon - apart * back) for back in reversed(range(min(count, possible)))]


def training_rows(features: pl.DataFrame, origin: date) -> pl.DataFrame:
    """The rows of a feature frame that were known at `origin`: their target day is not after it."""
    return features.filter(pl.col("training") & (pl.col("date") <= origin))


def newest_origin(features: pl.DataFrame) -> date:
    """The origin of the next forecast. Raises HistoryTooShort when there are no rows."""
    newest = features["forecast_origin"].max()
    if not isinstance(newest, date):
        raise HistoryTooShort("demand_features has no rows: materialize daily_demand and demand_features again")
    return newest


def run_backtest(
    features: pl.DataFrame,
    contract: FeatureContract,
    candidates: Mapping[str, Candidate],
    origins: list[date],
    *,
    on_forecast: Callable[[str, date], None] | None = None,
) -> pl.DataFrame:
    """What each candidate forecast at each of `origins`, with the `units` that were sold: the table `backtest`.

    `features`: the table `demand_features`. A candidate is a way to make a model, which is then trained at every
    origin on what was known there, or a fitted model, which is used as it is: unfair where it has seen days after an
    origin. All candidates forecast the same rows. `on_forecast` hears of every candidate and origin that is done.
    Raises HistoryTooShort where an origin has nothing to train on or no known outcome.
    """
    parts = []
    for origin in origins:
        for forecast in _at_origin(features, contract, candidates, origin):
            parts.append(forecast)
            if on_forecast:
                on_forecast(forecast["model"][0], origin)
    return pl.concat(parts)


def _at_origin(
    features: pl.DataFrame, contract: FeatureContract, candidates: Mapping[str, Candidate], origin: date
) -> Iterator[pl.DataFrame]:
    known = training_rows(features, origin)
    asked = features.filter(~pl.col("training") & (pl.col("forecast_origin") == origin) & pl.col("units").is_not_null())
    for rows, what in ((known, "to train on"), (asked, "with a known outcome")):
        if rows.is_empty():
            raise HistoryTooShort(
                f"backtest origin {origin}: no rows {what} in demand_features (horizon {contract.horizon}); lower "
                "backtest: origins or horizon:, bring older sales, or materialize demand_features again"
            )
    for name, candidate in candidates.items():
        model = candidate if isinstance(candidate, ForecastModel) else candidate().fit(known, contract)
        forecast = model.forecast(asked).with_columns(asked["units"], model=pl.lit(name))
        yield forecast
