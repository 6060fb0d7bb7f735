"""Ours: the product's own features and models on the product's own tables."""

from datetime import date
from functools import partial
from typing import Any

import polars as pl

from benchmarks.accuracy.task import Task
from demand_forecast.domain.alignment.align import Groups
from demand_forecast.domain.alignment.group_forecast import backtest_groups
from demand_forecast.domain.alignment.groups import alignment_level, membership
from demand_forecast.domain.evaluation.backtest import backtest_origins, run_backtest
from demand_forecast.domain.features import FeatureContract, build_demand_features
from demand_forecast.domain.models import ForecastModel, create, families
from demand_forecast.domain.models.ensemble import Ensemble
from demand_forecast.domain.models.proof import Proof
from demand_forecast.domain.models.training_rows import training_rows
from demand_forecast.domain.tables import series_key
from demand_forecast.settings import load_settings

TABLES = ("daily_demand", "clean_plan", "clean_products", "clean_stores")
THREADS = 1


def read(task: Task) -> dict[str, pl.DataFrame]:
    return {name: pl.read_parquet(task.folder / f"{name}.parquet") for name in TABLES}


def candidate(tables: dict[str, pl.DataFrame], task: Task, name: str) -> pl.DataFrame:
    """The forecast of one candidate, as it is."""
    features, contract = _features(tables, task, [task.origin])
    model = _create(name, task)
    model.fit(training_rows(features, task.origin), contract)
    return model.forecast(_asked(features, task.origin))


def product(tables: dict[str, pl.DataFrame], task: Task) -> pl.DataFrame:
    """What the product publishes: the ensemble, aligned with groups as far as its backtest at earlier origins says."""
    settings, demand = load_settings(task.config), tables["daily_demand"]
    origins = backtest_origins(
        demand["date"].min(),  # type: ignore[arg-type]
        task.origin,
        horizon=settings.horizon,
        count=settings.backtest.origins,
        frequency=settings.frequency,
    )
    features, contract = _features(tables, task, [*origins, task.origin])
    groups = _groups(tables, task, [*origins, task.origin])
    _, learned, spreads = run_backtest(
        features, contract, {Ensemble.name: lambda _: _create(Ensemble.name, task)}, origins, groups
    )
    model = _create(Ensemble.name, task).fit(training_rows(features, task.origin), contract)
    rows = _asked(features, task.origin)
    weight = learned.filter(pl.col("forecast_origin").is_null())["weight"].item()
    model = model.proven(Proof(weight, spread=spreads[Ensemble.name]))
    return model.distribution(rows, groups.align(rows, model.expected(rows), weight))


def _features(tables: dict[str, pl.DataFrame], task: Task, origins: list[date]) -> tuple[pl.DataFrame, FeatureContract]:
    settings = load_settings(task.config)
    return build_demand_features(
        *(tables[name] for name in TABLES),
        covariates=settings.covariates,
        frequency=settings.frequency,
        horizon=settings.horizon,
        origins=origins,
        training=settings.training,
        seed=settings.seed,
    )


def _groups(tables: dict[str, pl.DataFrame], task: Task, origins: list[date]) -> Groups:
    settings = load_settings(task.config)
    demand, plan, products, stores = (tables[name] for name in TABLES)
    series = demand.select(series_key()).unique()
    level = alignment_level(series, products, stores, settings.covariates.static)
    forecast, _ = backtest_groups(
        demand,
        plan,
        products,
        stores,
        level,
        covariates=settings.covariates,
        frequency=settings.frequency,
        horizon=settings.horizon,
        origins=origins,
        training=settings.training,
        seed=settings.seed,
        threads=THREADS,
    )
    return Groups(forecast, membership(series, level, products, stores))


def _asked(features: pl.DataFrame, origin: date) -> pl.DataFrame:
    return features.filter(~pl.col("training") & (pl.col("forecast_origin") == origin))


def _create(name: str, task: Task) -> ForecastModel:
    return create(name, seed=load_settings(task.config).seed, threads=THREADS)


def __getattr__(name: str) -> Any:
    """A recipe per candidate, by its name."""
    if name not in families():
        raise AttributeError(name)
    return partial(candidate, name=name)
