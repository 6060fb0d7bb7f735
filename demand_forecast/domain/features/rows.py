"""Which rows are built: a weighted sample to train on, and every row of the requested origins.

The draw is a counter-based hash of (seed, series, origin, copy): it does not depend on the order of rows, and days that
are appended change nothing about the rows drawn before.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from hashlib import blake2b
from typing import Any

import numpy as np
import polars as pl

from demand_forecast.domain.demand.calendar import Frequency, calendar_of
from demand_forecast.domain.features.as_trained import as_trained, unseen
from demand_forecast.domain.features.build import build_numbered
from demand_forecast.domain.features.contract import ContractError, FeatureContract, make_contract
from demand_forecast.domain.features.declaration import base_level, with_levels
from demand_forecast.domain.features.history import History, build_history
from demand_forecast.domain.features.new_products import is_new_product
from demand_forecast.domain.features.plan_ends import plan_ends
from demand_forecast.domain.features.replan import planned_days
from demand_forecast.domain.tables import SERIES, series_key
from demand_forecast.settings import Covariates, Training

FULL_LEVEL = 2.0  # units a period from which a series' rows are all equally likely to be drawn
LEVEL_POWER = 0.7
MAX_COPIES = 8  # horizons drawn per origin where there are few rows
RATE_STEP = 2**0.125  # coarse, so that a growing history keeps its rate for long
MAX_RATE = 64.0  # every row of the smallest level is kept
ROW = [*SERIES, "forecast_origin", "horizon", "training"]
OF_TODAY = ("units", "exposure", "weight")  # of a row, whatever plan it reads

Floats = np.ndarray[Any, np.dtype[np.float64]]
Hashes = np.ndarray[Any, np.dtype[np.uint64]]
Rows = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Vintage:
    """`plan`: the table clean_plan as it was known at `origins`, where it was another one than today's."""

    plan: pl.DataFrame
    origins: tuple[date, ...]


@dataclass(frozen=True)
class ForecastFeatures:
    """What models read for the next forecast: `rows`, those of `new_products` that nobody sells yet, without a price,
    and the `planned_days` of both; the `contract` of all. `unfamiliar`: a line for everything in the tables that the
    models have not seen or that is read otherwise than it stands, `ends`: one for each column of the plan that is
    unknown on days to forecast.
    """

    rows: pl.DataFrame
    new_products: pl.DataFrame
    planned: pl.DataFrame
    contract: FeatureContract
    unfamiliar: tuple[str, ...]
    ends: tuple[str, ...] = ()


def build_demand_features(
    demand: pl.DataFrame,
    plan: pl.DataFrame,
    products: pl.DataFrame,
    stores: pl.DataFrame,
    stock: pl.DataFrame | None = None,
    *,
    covariates: Covariates,
    frequency: Frequency,
    horizon: int,
    origins: list[date],
    training: Training,
    seed: int,
    previous: FeatureContract | None = None,
    vintages: Iterable[Vintage] = (),
) -> tuple[pl.DataFrame, FeatureContract]:
    """The table `demand_features` and its contract.

    Rows to train on (`training` true, `weight` above zero, `units` known), and all rows of every series that is
    alive or announced at each of `origins` (`training` false, weight 0; `units` null after the last day of `demand`).
    Those of an origin of `vintages` are read from the plan that was known there, as the contract knows it (see
    `as_trained`); a series that it did not announce yet keeps its row. Outcomes and contract are those of `plan`.
    Raises MissingCovariateError where the tables do not hold what `covariates` declares, ContractError where nothing
    was ever sold.
    """
    if len(demand) and not (demand["units"] > 0).any():
        raise ContractError(
            f"daily_demand: {len(demand):,} rows and not one unit sold, so there is nothing to forecast; check which "
            "column sales.columns says is units"
        )
    last = demand["date"].max()
    since = looked_back(last, frequency) - timedelta(days=training.window) if isinstance(last, date) else None
    history = build_history(
        demand, plan, products, stores, stock, covariates=covariates, frequency=frequency, horizon=horizon, since=since
    )
    contract = make_contract(history.inputs, horizon, _categories(history, previous.categories if previous else {}))
    rows = pl.concat([draw_training_rows(history, training, seed), origin_rows(history, origins)])
    features = build_numbered(history, rows, contract)
    for vintage in vintages:
        known = as_trained(demand, vintage.plan, products, stores, covariates=covariates, inputs=contract.inputs)
        then = known.history(stock, frequency=frequency, horizon=horizon, since=since)
        read = build_numbered(then, origin_rows(then, [*vintage.origins]), contract)
        features = features.update(read.drop(OF_TODAY), on=ROW, include_nulls=True)
    return features, contract


def build_forecast_features(
    demand: pl.DataFrame,
    plan: pl.DataFrame,
    products: pl.DataFrame,
    stores: pl.DataFrame,
    stock: pl.DataFrame | None = None,
    *,
    started: pl.DataFrame,
    covariates: Covariates,
    frequency: Frequency,
    horizon: int,
    previous: FeatureContract,
) -> ForecastFeatures:
    """What the next forecast is made from; the rows are those of `build_demand_features` at the last day of `demand`.

    Of `demand` the days since `looked_back` are enough; `started`: `store_id, product_id, first_sale`. Everything is
    read as `previous`, the contract of the models, knows it (see `as_trained`); categories that are not in it come
    after those that are. Raises as `build_demand_features`, and ContractError for another frequency.
    """
    known = as_trained(demand, plan, products, stores, covariates=covariates, inputs=previous.inputs)
    history = known.history(
        stock,
        frequency=frequency,
        horizon=horizon,
        since=demand.select(pl.col("date").min()).item(),
        started=started,
        new_products=True,
    )
    contract = replace(previous, horizon=horizon, categories=_categories(history, previous.categories))
    rows = build_numbered(history, origin_rows(history, [history.last_day]), contract)
    return ForecastFeatures(
        rows=rows.filter(~is_new_product()),
        new_products=rows.filter(is_new_product()),
        planned=planned_days(history),
        contract=contract,
        unfamiliar=(*unseen(contract, previous), *known.unfamiliar),
        ends=(*_ends(history),),
    )


def _ends(history: History) -> Iterator[str]:
    sold = history.series.filter(~is_new_product(), pl.col("first_sale").is_not_null())["series"]
    panel = history.panel.filter(pl.col("series").is_in(sold.implode()))
    return plan_ends(panel, history.inputs.future, history.calendar, history.last_day, history.horizon)


def looked_back(origin: date, frequency: Frequency) -> date:
    """The first day that the features of `origin` look at."""
    calendar = calendar_of(frequency)
    return calendar.ahead(origin, -calendar.lookback)


def _categories(history: History, known: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    texts = {"store": history.series["store_id"]}
    texts |= {name: history.series[name] for name in history.inputs.static_category}
    texts |= {name: _texts(history.panel.schema[name]) for name in history.inputs.future_category}
    return {name: _extended(known.get(name, ()), column) for name, column in texts.items()}


def _extended(known: tuple[str, ...], texts: pl.Series) -> tuple[str, ...]:
    """The known categories, whose codes stay as they are for models trained before, then the new ones."""
    return (*known, *(text for text in texts.drop_nulls().unique().sort() if text not in known))


def _texts(dtype: pl.DataType) -> pl.Series:
    return dtype.categories if isinstance(dtype, pl.Enum) else pl.Series([], dtype=pl.String)


def origin_rows(history: History, origins: list[date]) -> pl.DataFrame:
    """Every horizon of every series alive at each of `origins`; the columns of `draw_training_rows`, weight 0."""
    horizons = pl.DataFrame({"horizon": range(1, history.horizon + 1)}, schema={"horizon": pl.Int32})
    days = pl.DataFrame({"forecast_origin": origins}, schema={"forecast_origin": pl.Date})
    rows = (
        history.series.select("series", "first")
        .join(days, how="cross")
        .filter(pl.col("first") <= pl.col("forecast_origin"))
    )
    return rows.drop("first").join(horizons, how="cross").with_columns(weight=pl.lit(0, pl.Float32), training=False)


def draw_training_rows(history: History, training: Training, seed: int) -> pl.DataFrame:
    """At most `training.max_rows` rows: `series, forecast_origin, horizon, weight, training`.

    Origins lie in the last `training.window` days, horizons are uniform in 1..H. A row of a small series is drawn less
    often and weighs more: the chance is (level / 2)^0.7, at most 1, the weight its inverse square root. Targets without
    goods, in a closed shop, or not yet known are never drawn.
    """
    panel, since = history.panel, history.last_day - timedelta(days=training.window)
    eligible = panel.select((pl.col("date") >= since) & (pl.col("date") < history.last_day)).to_series()
    origins = np.flatnonzero(eligible.to_numpy())
    copies = _copies(len(origins), history.horizon, training.max_rows)
    row, horizon, uniform = _draws(history, origins, copies, seed)
    counts = (panel["exposure"].fill_null(0) > 0).to_numpy()[row + horizon]
    row, horizon, uniform = row[counts], horizon[counts], uniform[counts]
    chance = _chance(history)[row]
    rate = _rate(uniform / chance, training.max_rows)
    kept = uniform < rate * chance
    row, horizon, chance = row[kept], horizon[kept], chance[kept]
    weight = (np.minimum(rate * chance, 1) / min(rate, 1)) ** -0.5
    drawn = panel.select("series", forecast_origin="date")[row]
    return drawn.with_columns(
        horizon=pl.Series(horizon, dtype=pl.Int32), weight=pl.Series(weight, dtype=pl.Float32), training=True
    )


def _copies(origins: int, horizon: int, max_rows: int) -> int:
    """How many horizons each origin gets: a power of two, more than one only where all fit."""
    copies = 1
    while 2 * copies <= min(MAX_COPIES, horizon) and 2 * copies * origins <= max_rows:
        copies *= 2
    return copies


def _draws(history: History, origins: Rows, copies: int, seed: int) -> tuple[Rows, Rows, Floats]:
    """Panel row of the origin, horizon, and a uniform number in [0, 1), for every copy of every origin."""
    series = history.panel["series"].to_numpy()[origins]
    ordinal = history.panel["date"].to_physical().to_numpy()[origins].astype(np.uint64)
    counter = _splitmix(_series_hashes(history)[series] ^ _splitmix(ordinal + np.uint64(seed) * np.uint64(1 << 32)))
    first = (_splitmix(counter) % np.uint64(history.horizon)).astype(np.int64)
    stride = max(1, history.horizon // copies)
    horizon = np.concatenate([(first + copy * stride) % history.horizon + 1 for copy in range(copies)])
    uniform = np.concatenate([_splitmix(counter + np.uint64(copy + 1)) / 2.0**64 for copy in range(copies)])
    return np.tile(origins, copies), horizon, uniform


def _series_hashes(history: History) -> Hashes:
    """A number per series that depends on its key alone, at the place of its number."""
    keys = history.series.select(*series_key()).iter_rows()
    digests = (blake2b("\0".join(key).encode(), digest_size=8).digest() for key in keys)
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def _splitmix(x: Hashes) -> Hashes:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014): every bit of the result depends on every bit of `x`."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _chance(history: History) -> Floats:
    levels = history.panel.select("series", pl.col("sellable", "evidence").cast(pl.Float64), "similar")
    level = with_levels(levels, [], history.calendar).select(base_level()).to_series().to_numpy()
    return np.minimum((level / FULL_LEVEL) ** LEVEL_POWER, 1)


def _rate(needed: Floats, max_rows: int) -> float:
    """The largest rate on a coarse scale that draws at most `max_rows`."""
    rate = MAX_RATE
    while np.count_nonzero(needed < rate) > max_rows:
        rate /= RATE_STEP
    return rate
