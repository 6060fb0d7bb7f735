"""Ours: the product's own features and models on the product's own tables."""

from functools import partial
from typing import Any

import polars as pl

from benchmarks.accuracy.task import Task
from demand_forecast.domain.backtest import training_rows
from demand_forecast.domain.features import build_demand_features
from demand_forecast.domain.models import CANDIDATES, create
from demand_forecast.settings import load_settings

TABLES = ("daily_demand", "clean_plan", "clean_products", "clean_stores")
THREADS = 1


def read(task: Task) -> dict[str, pl.DataFrame]:
    return {name: pl.read_parquet(task.folder / f"{name}.parquet") for name in TABLES}


def ours(tables: dict[str, pl.DataFrame], task: Task, candidate: str) -> pl.DataFrame:
    """What the product would publish at `task.origin` with `candidate` as its champion."""
    settings = load_settings(task.config)
    features, contract = build_demand_features(
        *(tables[name] for name in TABLES),
        covariates=settings.covariates,
        frequency=settings.frequency,
        horizon=settings.horizon,
        origins=[task.origin],
        training=settings.training,
        seed=settings.seed,
    )
    model = create(candidate, seed=settings.seed, threads=THREADS)
    model.fit(training_rows(features, task.origin), contract)
    return model.forecast(features.filter(~pl.col("training")))


def __getattr__(name: str) -> Any:
    """A recipe per candidate, by its name."""
    if name not in CANDIDATES:
        raise AttributeError(name)
    return partial(ours, candidate=name)
