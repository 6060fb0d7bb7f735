"""The product's own forecasts at every weekly review, made with nothing that was not known there."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from demand_forecast.domain.evaluation.backtest import Candidate, run_backtest
from demand_forecast.domain.features import build_demand_features
from demand_forecast.domain.models import create
from demand_forecast.domain.models.proof import Proof
from demand_forecast.domain.models.training_rows import training_rows
from demand_forecast.domain.replenishment.policy import error_correlation
from demand_forecast.domain.tables import SERIES
from demand_forecast.settings import Settings

TABLES = ("daily_demand", "clean_plan", "clean_products", "clean_stores")


@dataclass(frozen=True)
class Window:
    """The days of the simulation: `cycles` orders, one each `review` days, each delivered `lead_time` days later.

    The last replenishment cycle ends on the last day of the data::

        backtest origins      start                                     last_day
        ---|-----|-----|--------|oooooo|oooooo|oooooo| … |oooooo|oooooo|
                                ^      ^      ^  reviews             + lead time
    """

    start: date
    review: int
    lead_time: int
    cycles: int

    @classmethod
    def until(cls, last_day: date, review: int, lead_time: int, cycles: int) -> "Window":
        return cls(last_day - timedelta(days=cycles * review + lead_time), review, lead_time, cycles)

    @property
    def protection(self) -> int:
        return self.review + self.lead_time

    @property
    def reviews(self) -> list[date]:
        return [self.start + timedelta(days=cycle * self.review) for cycle in range(self.cycles)]

    def backtest_origins(self, horizon: int, count: int) -> list[date]:
        """Origins whose horizon was known when the simulation starts."""
        return [self.start - timedelta(days=horizon * back) for back in reversed(range(1, count + 1))]


def make_forecasts(
    lake: Path, settings: Settings, window: Window, models: list[str], sold_within: int | None = None
) -> tuple[pl.DataFrame, ...]:
    """The forecasts at every review by models trained once, at the start; and the backtest that was possible then.

    Two frames of `store_id, product_id, date, forecast_origin, horizon, mean, q10 … q90, model, units`. With
    `sold_within` only of the series that sold something in so many days before the start.
    """
    demand, plan, products, stores = (pl.read_delta(str(lake / table)) for table in TABLES)
    demand = _sold(demand, window.start - timedelta(days=sold_within), window.start) if sold_within else demand
    before = window.backtest_origins(settings.horizon, settings.backtest.origins)
    features, contract = build_demand_features(
        demand,
        plan,
        products,
        stores,
        covariates=settings.covariates,
        frequency=settings.frequency,
        horizon=settings.horizon,
        origins=[*before, *window.reviews],
        training=settings.training,
        seed=settings.seed,
    )
    del demand, plan
    recipes: dict[str, Candidate] = {
        name: lambda _, name=name: create(name, seed=settings.seed, threads=1)  # type: ignore[misc]
        for name in models
    }
    backtest, _, spreads = run_backtest(features, contract, recipes, before)
    known = training_rows(features, window.start)
    once = {}
    for name, recipe in recipes.items():
        alike = error_correlation(backtest, name, settings.replenishment, settings.frequency)
        proof = Proof(correlation=alike, spread=spreads.get(name))
        once[name] = recipe(window.start).fit(known, contract).proven(proof)
    fitted: dict[str, Candidate] = {name: lambda _, model=model: model for name, model in once.items()}  # type: ignore[misc]
    protected = pl.col("training") | (pl.col("horizon") <= window.protection)
    forecasts, _, _ = run_backtest(features.filter(protected), contract, fitted, window.reviews)
    return _alive(forecasts, window), backtest


def _sold(demand: pl.DataFrame, since: date, until: date) -> pl.DataFrame:
    sales = demand.filter(pl.col("date").is_between(since, until), pl.col("units") > 0)
    return demand.join(sales.select(SERIES).unique(), on=SERIES, how="semi", maintain_order="left")


def _alive(forecasts: pl.DataFrame, window: Window) -> pl.DataFrame:
    """Without the series that sold for the first time after the simulation began."""
    since = forecasts.filter(pl.col("forecast_origin") == window.start).select(SERIES).unique()
    return forecasts.join(since, on=SERIES, how="semi", maintain_order="left")
