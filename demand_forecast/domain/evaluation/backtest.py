"""Every candidate on the same rolling origins: what each would have forecast, beside what happened."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from time import perf_counter
from typing import NamedTuple

import numpy as np
import polars as pl

from demand_forecast.domain.alignment.align import Groups, error_at, learn_weights
from demand_forecast.domain.demand.calendar import Frequency, calendar_of
from demand_forecast.domain.demand.exposure import for_the_time_in_stock
from demand_forecast.domain.features import FeatureContract
from demand_forecast.domain.models.base import ForecastModel, SpreadModel, column, exposure
from demand_forecast.domain.models.distribution import Floats
from demand_forecast.domain.models.spread import SPREAD_COLUMNS, Irregularity, Spread, fit_spread
from demand_forecast.domain.models.training_rows import training_rows
from demand_forecast.domain.tables import FORECAST_NUMBERS, SERIES

Candidate = Callable[[date], ForecastModel]
ALIGNMENT = {
    "model": pl.String,
    "forecast_origin": pl.Date,
    "weight": pl.Float64,
    "error_before": pl.Float64,
    "error_after": pl.Float64,
}
FORECASTS = {
    **dict.fromkeys(SERIES, pl.String),
    **{"date": pl.Date, "forecast_origin": pl.Date, "horizon": pl.Int32},
    **dict.fromkeys(FORECAST_NUMBERS, pl.Float32),
    **{"model": pl.String, "units": pl.Float32, "exposure": pl.Float32, "kind": pl.String},
    **{"pit_low": pl.Float32, "pit_high": pl.Float32},
}
MIN_CYCLES = 2  # weeks of history, beside what is proven, that the oldest origin has where there are as many


def proven_periods(periods: int, horizon: int, frequency: Frequency) -> int:
    """How many periods ahead a history of so many can prove: the horizon, or half of what is left beside two weeks."""
    least = min(MIN_CYCLES * calendar_of(frequency).cycle, periods // 2)
    return min(horizon, max((periods - least) // 2, 1 if periods > 1 else 0))


def unproven(backtest: pl.DataFrame, horizon: int, frequency: Frequency) -> list[str]:
    """What the table `backtest` cannot say of any model's forecast of `horizon` periods, and what would, in words."""
    reached = 0 if counting_rows(backtest).is_empty() else int(backtest["horizon"].max())  # type: ignore[arg-type]
    if not reached:
        return [
            "nothing is proven: on no day of the history could a forecast made before it be compared with what was "
            "sold; more history would tell"
        ]
    needed = 2 * horizon + MIN_CYCLES * calendar_of(frequency).cycle
    said = f"only the first {reached} of {horizon} periods ahead are proven; a history of {needed} periods proves all"
    return [said] if reached < horizon else []


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

    Fewer are returned where the history holds fewer: the oldest keeps one horizon and two weeks before it. Where it
    holds none so, the newest is placed so that `proven_periods` are known after it. None of a history of one period:
    nothing can be proven.
    """
    calendar = calendar_of(frequency)
    periods = calendar.count(first_day, last_day) + 1
    ahead = proven_periods(periods, horizon, frequency)
    if not ahead:
        return []
    apart, spare = step or ahead, max(periods - 2 * ahead - MIN_CYCLES * calendar.cycle, 0)
    possible = spare // apart + 1
    return [calendar.ahead(last_day, -ahead - apart * back) for back in reversed(range(min(count, possible)))]


def counting_rows(backtest: pl.DataFrame) -> pl.DataFrame:
    """The rows of the table `backtest` that count, with mean and quantiles for the time in which goods were there, as
    units are.
    """
    return backtest.filter(pl.col("exposure") > 0).with_columns(for_the_time_in_stock())


class OriginForecast(NamedTuple):
    """What a candidate expected at one origin; `as_it_is`: its model came fitted."""

    name: str
    model: ForecastModel
    as_it_is: bool
    rows: pl.DataFrame
    mean: Floats


class Backtest(NamedTuple):
    """What every candidate forecast, and what was learned from it about each: see `run_backtest`."""

    forecasts: pl.DataFrame
    alignment: pl.DataFrame
    spreads: dict[str, Spread]


def run_backtest(
    features: pl.DataFrame,
    contract: FeatureContract,
    candidates: Mapping[str, Candidate],
    origins: list[date],
    groups: Groups | None = None,
    *,
    on_fit: Callable[[str, date, float], None] | None = None,
) -> Backtest:
    """The tables `backtest` and `alignment`: what each candidate forecast at each of `origins`, with the `units` that
    were sold, their `exposure`, the series' `kind` of demand, `pit_low` and `pit_high` (the forecast's probabilities,
    for that exposure, of less than and of at most those units); and how far each was moved towards the forecasts of
    `groups`, as `learn_weights` says. `spreads`: of each candidate that learns one, the distribution around its means,
    for the next forecast.

    What is learned from outcomes is judged on others: weight and spread of an origin are those of the other origins; of
    a single origin, the spread of one half of the series is that of the other half.

    `features`: the table `demand_features`. A candidate gives the model for an origin, which is then trained on what
    was known there; a fitted model is used as it is, with the weight and the spread of its own proof: unfair where it
    has seen days after the origin. All candidates forecast the same rows. `on_fit` is called with every candidate,
    origin and the seconds of its fit.
    An origin without a known outcome has no rows, one that is less than a horizon ago those of the days that are over.
    Raises ContractError where `features` is not what `contract` says.
    """
    made = [one for origin in origins for one in _at_origin(features, contract, candidates, origin, on_fit)]
    if not made:
        return Backtest(pl.DataFrame(schema=FORECASTS), pl.DataFrame(schema=ALIGNMENT), {})
    learned = _alignment(made, groups)
    weights = {(row["model"], row["forecast_origin"]): row["weight"] for row in learned.iter_rows(named=True)}
    parts, spreads = [], {}
    for name in dict.fromkeys(one.name for one in made):
        own = [_aligned(one, groups, weights.get((name, _origin(one.rows)), 0.0)) for one in made if one.name == name]
        pieces = own if len(own) > 1 else _halves(own[0])
        parts += [_distributed(one, _learned_elsewhere(one, pieces)) for one in pieces]
        if isinstance(own[0].model, SpreadModel) and not all(one.as_it_is for one in own):
            spreads[name] = _learned(own)
    return Backtest(pl.concat(parts), learned, spreads)


def _aligned(one: OriginForecast, groups: Groups | None, weight: float) -> OriginForecast:
    return one._replace(mean=groups.align(one.rows, one.mean, weight)) if groups else one


def _halves(one: OriginForecast) -> list[OriginForecast]:
    """Two forecasts, each of one half of the series."""
    first = one.rows.select(pl.struct(SERIES).rank("dense") % 2 == 0).to_series()
    return [
        one._replace(rows=one.rows.filter(half), mean=one.mean[half.to_numpy()])
        for half in (first, ~first)
        if half.any()
    ]


def _learned_elsewhere(one: OriginForecast, pieces: Sequence[OriginForecast]) -> Spread | None:
    """The spread of the other `pieces`; None where the model keeps its own."""
    if not isinstance(one.model, SpreadModel) or one.as_it_is or len(pieces) < 2:
        return None
    return _learned([other for other in pieces if other is not one])


def _learned(pieces: Sequence[OriginForecast]) -> Spread:
    rows = pl.concat(one.rows.select("units", "exposure", "forecast_origin", *SPREAD_COLUMNS) for one in pieces)
    mean = np.concatenate([one.mean for one in pieces]) * exposure(rows)
    origin = rows["forecast_origin"].to_physical().to_numpy()
    return fit_spread(mean, column(rows, "units"), Irregularity.of(rows), origin)


def _distributed(one: OriginForecast, spread: Spread | None) -> pl.DataFrame:
    """The rows of the table `backtest`, around the means as they are, with `spread` or with the model's own."""
    if isinstance(one.model, SpreadModel) and spread is not None:
        one.model.spread = spread
    forecast = one.model.distribution(one.rows, one.mean).with_columns(
        one.rows["units"], one.rows["exposure"], Irregularity.of(one.rows).names, model=pl.lit(one.name)
    )
    return pl.concat([forecast, one.model.probabilities(one.rows, one.mean)], how="horizontal")


def _alignment(made: list[OriginForecast], groups: Groups | None) -> pl.DataFrame:
    """The table `alignment` of the models that may be aligned; a null origin is the next forecast's."""
    rows: list[tuple[str, date | None, float, float, float]] = []
    for name in dict.fromkeys(one.name for one in made if one.model.aligned and groups):
        errors = {_origin(one.rows): groups.errors(one.rows, one.mean) for one in made if one.name == name}  # type: ignore[union-attr]
        weights = learn_weights(errors) | _proven(made, name)
        for origin, error in errors.items():
            rows.append((name, origin, weights[origin], error[0.0], error_at(error, weights[origin])))
        before, after = (float(np.mean([row[place] for row in rows if row[0] == name])) for place in (3, 4))
        rows.append((name, None, weights[None], before, after))
    return pl.DataFrame(rows, schema=ALIGNMENT, orient="row")


def _proven(made: Sequence[OriginForecast], name: str) -> dict[date, float]:
    """The alignment of the forecasts of `name` by models that come with a proof."""
    own = [one for one in made if one.name == name and one.as_it_is]
    return {_origin(one.rows): one.model.proof.alignment for one in own if one.model.proof is not None}


def _origin(rows: pl.DataFrame) -> date:
    return rows["forecast_origin"][0]  # type: ignore[no-any-return]


def _at_origin(
    features: pl.DataFrame,
    contract: FeatureContract,
    candidates: Mapping[str, Candidate],
    origin: date,
    on_fit: Callable[[str, date, float], None] | None,
) -> Iterator[OriginForecast]:
    known = training_rows(features, origin)
    over = pl.col("date") <= features.drop_nulls("units")["date"].max()
    ahead = features.filter(~pl.col("training") & (pl.col("forecast_origin") == origin) & over)
    # a series that starts after the origin is known from its first sale only: scoring it would look like a low bias
    scored = ahead.filter(pl.col("units").is_not_null().all().over(SERIES))
    if scored.is_empty():
        return
    fitted: dict[str, ForecastModel] = {}
    for name, candidate in candidates.items():
        started = perf_counter()
        recipe = candidate(origin)
        as_it_is = recipe.is_fitted
        model = _trained(recipe, fitted, known, contract)
        if on_fit:
            on_fit(name, origin, perf_counter() - started)
        yield OriginForecast(name, model, as_it_is, scored, model.expected(scored))


def _trained(
    model: ForecastModel, fitted: dict[str, ForecastModel], known: pl.DataFrame, contract: FeatureContract
) -> ForecastModel:
    """`model` as it is where it is fitted, else fitted on `known`, or the one of `fitted` with the same parameters."""
    if model.is_fitted:
        return model
    same = fitted.get(model.name)
    if same is None or same.parameters != model.parameters:
        same = model.adopt(fitted).fit(known, contract)
        fitted.setdefault(model.name, same)
    return same
