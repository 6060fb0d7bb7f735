"""What a finished run is worth against the truth: its bias by kind of seller, and the service its orders keep."""

from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.known_demand.landing import by_day, truth
from benchmarks.known_demand.plans import orders_at, read
from benchmarks.known_demand.sellers import KINDS, Retailer
from benchmarks.known_demand.shelf import Sales
from demand_forecast.domain.demand.calendar import calendar_of
from demand_forecast.domain.demand.hierarchy import SERIES_LEVEL, TOTAL
from demand_forecast.domain.evaluation.difference import (
    LOSSES,
    backtest_losses,
    by_series_and_day,
    compare,
    side_by_side,
)
from demand_forecast.domain.evaluation.promotion import Contender, decide
from demand_forecast.domain.evaluation.scoring import score_backtest, summary_table
from demand_forecast.domain.models import BASELINE_MODEL
from demand_forecast.domain.tables import series_key
from demand_forecast.settings import Promotion, Settings

ALL = "all"
SELLERS = (*KINDS, ALL)
DAY = [*series_key(), "date"]
FUTURES = 200


def forecast_figures(retailer: Retailer, sales: Sales, lake: Path, settings: Settings) -> pl.DataFrame:
    """A row per kind of seller, and `all`; shares, all against the truth but for `backtest_bias` and `calibration`.

    `out` of days, `lost` of units; `seen`: units sold to demand expected while goods were there, less one. `bias` of
    the published forecast and `bias_unaligned` of the model alone over the days ahead; `backtest_bias_true` of the
    backtest's forecasts. `backtest_bias` and `calibration` are the product's own scores.
    """
    forecast, backtest = read(lake, "demand_forecast"), read(lake, "backtest")
    known = truth(retailer)
    tried = backtest.filter(pl.col("model") == forecast["model"][0])
    parts = [
        _shelf_figures(retailer, sales),
        _by_kind(retailer, forecast.join(known, on=DAY), bias=_bias("mean"), bias_unaligned=_bias(_unaligned())),
        _by_kind(retailer, tried.join(known, on=DAY), backtest_bias_true=_bias("mean")),
        _own_scores(retailer, tried, read(lake, "daily_demand"), settings),
    ]
    figures = parts[0]
    for part in parts[1:]:
        figures = figures.join(part, on="seller", maintain_order="left")
    return figures


def _bias(forecast: str | pl.Expr) -> pl.Expr:
    mean = pl.col(forecast) if isinstance(forecast, str) else forecast
    return mean.cast(pl.Float64).sum() / pl.col("expected").sum() - 1


def _unaligned() -> pl.Expr:
    """The model's own mean; where alignment made it zero, the model said zero."""
    return pl.when(pl.col("alignment") > 0).then(pl.col("mean") / pl.col("alignment")).otherwise(0.0)


def _shelf_figures(retailer: Retailer, sales: Sales) -> pl.DataFrame:
    history = slice(retailer.history)
    expected, demand = retailer.expected[:, history], retailer.demand[:, history]
    days = by_day(retailer, units=sales.units, in_stock=sales.in_stock, expected=expected, demand=demand)
    share = pl.col("in_stock")
    return _by_kind(
        retailer,
        days,
        out=(share < 1).mean(),
        lost=1 - pl.col("units").sum() / pl.col("demand").sum(),
        seen=pl.col("units").sum() / (share * pl.col("expected")).sum() - 1,
    )


def _by_kind(retailer: Retailer, rows: pl.DataFrame, by: tuple[str, ...] = (), **figures: pl.Expr) -> pl.DataFrame:
    """`by`, `seller` and the figures, of every kind and of all."""
    named = rows.drop("kind", strict=False).join(retailer.series.select(*series_key(), "kind"), on=series_key())
    parts = [named.with_columns(seller="kind"), named.with_columns(seller=pl.lit(ALL))]
    found = [part.group_by(*by, "seller").agg(**figures) for part in parts]
    return pl.concat(found).sort(*by, pl.col("seller").cast(pl.Enum(SELLERS)))


def _own_scores(retailer: Retailer, tried: pl.DataFrame, demand: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    season = calendar_of(settings.frequency).season
    products = retailer.series.select("product_id", "department").unique()
    stores = retailer.series.select("store_id").unique()

    def scores(rows: pl.DataFrame) -> dict[str, float]:
        scored = score_backtest(rows, demand, [TOTAL, SERIES_LEVEL], products, stores, season=season)
        own = summary_table(scored).row(0, named=True)
        return {"backtest_bias": own["bias"], "calibration": own["calibration_error"]}

    kinds = retailer.series.partition_by("kind", as_dict=True)
    members: dict[str, pl.DataFrame] = {kind: kinds[kind,] for kind in KINDS} | {ALL: retailer.series}
    return pl.DataFrame(
        {"seller": seller, **scores(tried.join(series, on=series_key(), how="semi"))}
        for seller, series in members.items()
    )


def verdict(lake: Path) -> dict[str, str | float]:
    """What was promoted, how far its forecast is moved towards those of groups, and what the default gates say."""
    forecast, metrics, learned = (read(lake, name) for name in ("demand_forecast", "backtest_metrics", "alignment"))
    model = forecast["model"][0]
    weight = learned.filter(pl.col("forecast_origin").is_null() & (pl.col("model") == model))["weight"]
    origins = tuple(metrics["forecast_origin"].drop_nulls().unique().sort())
    by_model = read(lake, "backtest").partition_by("model", as_dict=True)
    losses = {str(name): backtest_losses(rows) for (name,), rows in by_model.items()}
    against = {
        name: compare(by_series_and_day(side_by_side(losses[BASELINE_MODEL], own)), LOSSES["wql"])
        for name, own in losses.items()
    }
    tried = [
        Contender("", row["model"], row, origins, against[row["model"]])
        for row in summary_table(metrics).iter_rows(named=True)
    ]
    baseline = next(one for one in tried if one.model == BASELINE_MODEL)
    decision = decide(tried, None, baseline, Promotion())
    alignment = float(weight[0]) if len(weight) else 0.0
    return {"model": model, "alignment": alignment, "gates": decision.outcome, "why": "; ".join(decision.reasons)}


def service_figures(retailer: Retailer, lake: Path, settings: Settings, seed: int) -> pl.DataFrame:
    """`asked, seller, promised, kept`: shares of protection periods covered by the plan's target stock.

    `kept` is over FUTURES draws of demand after the last day, the same for every level.
    """
    policy = settings.replenishment
    days = min(policy.lead_time + policy.review_period, settings.horizon)
    needed = retailer.futures(days, FUTURES, np.random.default_rng([seed, 3]))
    orders = orders_at(lake, settings)
    kept = pl.concat(_kept(retailer, plan, needed) for plan in orders.partition_by("asked"))
    return _by_kind(retailer, kept, ("asked",), promised=pl.col("promised").mean(), kept=pl.col("kept").mean())


def _kept(retailer: Retailer, plan: pl.DataFrame, needed: np.ndarray) -> pl.DataFrame:
    placed = retailer.series.select(series_key()).join(plan, on=series_key(), how="left", maintain_order="left")
    covered = (needed <= placed["stock"].fill_null(0).to_numpy()[:, None]).mean(axis=1)
    return placed.with_columns(pl.col("promised").cast(pl.Float64), kept=pl.Series(covered))
