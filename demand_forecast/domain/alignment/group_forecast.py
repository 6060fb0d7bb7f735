"""The demand of groups of series, forecast directly: sums are steadier than what they are made of."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl

from demand_forecast.domain.alignment.calendar_regression import regress
from demand_forecast.domain.alignment.groups import GROUP, GroupTables, group_tables, membership
from demand_forecast.domain.demand.calendar import Frequency
from demand_forecast.domain.demand.hierarchy import Level
from demand_forecast.domain.features import (
    FeatureContract,
    History,
    Vintage,
    as_trained,
    build_demand_features,
    build_features,
    build_history,
    plan_as_trained,
)
from demand_forecast.domain.models.base import ForecastModel
from demand_forecast.domain.models.lightgbm_tweedie import POWER, LightGBMTweedie
from demand_forecast.domain.models.training_rows import training_rows
from demand_forecast.domain.tables import SERIES
from demand_forecast.settings import Covariates, Training

ROUNDS = 250  # groups follow the calendar closely enough to learn single days of it
MAX_ROWS = 50_000


def backtest_groups(
    demand: pl.DataFrame,
    plan: pl.DataFrame,
    products: pl.DataFrame,
    stores: pl.DataFrame,
    level: Level,
    *,
    covariates: Covariates,
    frequency: Frequency,
    horizon: int,
    origins: list[date],
    training: Training,
    seed: int,
    threads: int = 0,
    vintages: Iterable[Vintage] = (),
    on_fit: Callable[[date, float], object] = lambda *_: None,
) -> tuple[pl.DataFrame, LightGBMTweedie]:
    """The table `group_backtest`: `store_group, product_group, forecast_origin, date, horizon, mean` of every group of
    `level` at each of `origins`, from what was known there; and the model of the last of them, trained on all.

    The mean is that of two forecasts that err differently: one LightGBM for the groups of all levels, on the features
    that series have, and a regression on the calendar by group. `vintages` are of the plan of series, and read as in
    `build_demand_features`. Raises as that.
    """
    series = demand.select(SERIES).unique()
    tables = group_tables(demand, series, plan, products, stores, covariates)
    groups = _groups_of(series, level, products, stores)
    arguments: dict[str, Any] = {"covariates": tables.covariates, "frequency": frequency, "horizon": horizon}
    few = training.model_copy(update={"max_rows": MAX_ROWS})
    history = build_history(*tables.for_features, **arguments)
    of_groups = [_of_groups(vintage, tables, history) for vintage in vintages]
    features, contract = build_demand_features(
        *tables.for_features, **arguments, origins=origins, training=few, seed=seed, vintages=of_groups
    )
    then = {origin: _history_then(vintage, tables, history) for vintage in of_groups for origin in vintage.origins}
    parts = []
    for origin in sorted(origins):
        started = perf_counter()
        model = _boosting(features, contract, origin, seed, threads)
        on_fit(origin, perf_counter() - started)
        rows = features.filter(~pl.col("training") & (pl.col("forecast_origin") == origin))
        parts.append(_combined(model, rows, then.get(origin, history), groups, origin))
    return pl.concat(parts), model


def forecast_groups(
    model: ForecastModel,
    demand: pl.DataFrame,
    series: pl.DataFrame,
    plan: pl.DataFrame,
    products: pl.DataFrame,
    stores: pl.DataFrame,
    level: Level,
    *,
    covariates: Covariates,
    frequency: Frequency,
) -> pl.DataFrame:
    """The table `group_forecast`: that of `backtest_groups` at the last day of `demand`, by the `model` trained there
    or before and read as it knows them (see `as_trained`). `series`: those of `demand` (`store_id, product_id`). Raises
    as `build_features`.
    """
    inputs, horizon = model.contract.inputs, model.contract.horizon
    tables = group_tables(demand, series, plan_as_trained(plan, inputs), products, stores, covariates, level)
    declared = tables.covariates.model_copy(update={"known_future": covariates.known_future})
    known = as_trained(*tables.for_features, covariates=declared, inputs=inputs)
    groups = _groups_of(series, level, products, stores)
    history = known.history(frequency=frequency, horizon=horizon)
    origin = pl.lit(history.last_day)
    rows = groups.join(pl.select(horizon=pl.int_range(1, horizon + 1, dtype=pl.Int32)), how="cross")
    rows = build_features(history, rows.with_columns(forecast_origin=origin), model.contract)
    return _combined(model, rows, history, groups, history.last_day)


def _of_groups(vintage: Vintage, tables: GroupTables, history: History) -> Vintage:
    """The plan of then as that of the groups, each column of the kind that it is in their `history`."""
    return replace(vintage, plan=tables.plan_of(plan_as_trained(vintage.plan, history.inputs)))


def _history_then(vintage: Vintage, tables: GroupTables, history: History) -> History:
    """`history` of the groups with the plan of then, read as the plan of now is."""
    inputs, horizon = history.inputs, history.horizon
    demand, _, *rest = tables.for_features
    known = as_trained(demand, vintage.plan, *rest, covariates=tables.covariates, inputs=inputs)
    return known.history(frequency=inputs.frequency, horizon=horizon)


def _groups_of(series: pl.DataFrame, level: Level, products: pl.DataFrame, stores: pl.DataFrame) -> pl.DataFrame:
    """The groups of `level`, under the names of series."""
    groups = membership(series, level, products, stores).select(GROUP).unique()
    return groups.rename(dict(zip(GROUP, SERIES, strict=True))).sort(SERIES)


def _boosting(
    features: pl.DataFrame, contract: FeatureContract, origin: date, seed: int, threads: int
) -> LightGBMTweedie:
    # by level^(power - 2) the deviance of units is that of units over level: every group counts the same
    known = training_rows(features, origin).with_columns(weight=pl.col("base_level") ** (POWER - 2))
    # no group sells seldom: a penalty would only keep small groups from being learned beside the total
    return LightGBMTweedie(seed=seed, threads=threads, rounds=ROUNDS, penalty=0.0).fit(known, contract)


def _combined(
    model: ForecastModel, rows: pl.DataFrame, history: History, groups: pl.DataFrame, origin: date
) -> pl.DataFrame:
    rows = rows.join(groups, on=SERIES, how="semi", maintain_order="left")
    boosted = rows.select(*SERIES, "forecast_origin", "date", "horizon", boosted=pl.Series(model.expected(rows)))
    both = boosted.join(_regressed(history, groups, origin), on=[*SERIES, "horizon"], how="inner")
    mean = pl.mean_horizontal("boosted", "regressed").cast(pl.Float32)
    named = both.select(*SERIES, "forecast_origin", "date", "horizon", mean=mean)
    return named.rename(dict(zip(SERIES, GROUP, strict=True))).sort(*GROUP, "horizon")


def _regressed(history: History, groups: pl.DataFrame, origin: date) -> pl.DataFrame:
    parts = []
    for row in history.series.join(groups, on=SERIES).iter_rows(named=True):
        panel = history.panel.slice(row["start"], row["rows"])
        known = int((panel["date"] <= origin).sum())
        if known:
            mean = regress(panel, history.inputs, history.calendar, known, history.horizon)
            horizons = np.arange(1, history.horizon + 1, dtype=np.int32)
            key = {name: [row[name]] * history.horizon for name in SERIES}
            parts.append(pl.DataFrame({**key, "horizon": horizons, "regressed": mean}))
    return pl.concat(parts)
