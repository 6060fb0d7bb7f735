"""What would have happened to the stock of every series under an order-up-to policy, day by day.

Periodic review as in Silver, Pyke & Thomas (2017), Inventory and Production Management in Supply Chains, 4th ed.,
ch. 7.9: at the end of a review day the inventory position (on hand, on order, less what is owed) is raised to the
target. The order arrives in the evening `lead_time` days later, so it serves the days after that, until the next one
arrives: the protection period of an order is lead time + review period.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from demand_forecast.domain.models.distribution import Floats
from demand_forecast.domain.replenishment.policy import ROUNDING
from demand_forecast.domain.tables import series_key

Unmet = Literal["lost", "backordered"]


@dataclass(frozen=True)
class ServiceFigures:
    """How well demand was served and what stock it took; stock is that of all series together, on an average day."""

    fill_rate: float  # share of the units asked for that were served at once
    cycle_service: float  # share of replenishment cycles of a series in which nothing was missing
    stock_units: float
    stock_value: float  # at the day's price
    cover_days: float  # stock over mean daily demand


def simulate_stock(
    targets: pl.DataFrame, demand: pl.DataFrame, stock: pl.DataFrame, *, lead_time: int, unmet: Unmet = "lost"
) -> pl.DataFrame:
    """One row per series and day after the first review: `store_id, product_id, date, cycle, units, opening, served,
    closing, ordered`.

    `targets`: `store_id, product_id, forecast_origin, target_stock`, the same review days for every series (the columns
    of reorder_plan). `demand`: `store_id, product_id, date, units`, every day from the first review to the last day of
    the simulation. `stock`: `store_id, product_id, on_hand` at the end of the first review day; its series are
    simulated. Orders are whole units, `ordered` that evening; `opening` is what is there to sell in the morning,
    `closing` what is left in the evening before a delivery (below zero: owed to customers). `cycle` counts deliveries:
    0 until the first arrives. Demand that is not met is `lost`, or `backordered` and served from the next delivery.
    Raises ValueError where a series has not all the reviews or all the days.
    """
    series = stock.select(*series_key()).sort(series_key())
    reviews = targets["forecast_origin"].unique().sort()
    days = demand.filter(pl.col("date") > reviews[0])["date"].unique().sort()
    wanted = _matrix(targets.rename({"forecast_origin": "date"}), series, reviews, "target_stock")
    asked = _matrix(demand, series, days, "units")
    on_hand = stock.sort(series_key())["on_hand"].cast(pl.Float64).to_numpy()
    at = [(review - reviews[0]).days for review in reviews]
    columns = _run(wanted, at, asked, on_hand, lead_time, unmet)
    cycle = np.searchsorted(np.array(at) + lead_time, np.arange(1, len(days) + 1))
    keys = series.join(days.to_frame(), how="cross", maintain_order="left_right")
    number: Floats = np.broadcast_to(cycle.astype(np.int32), asked.shape)
    values = {"cycle": number, "units": asked, **columns}
    return keys.with_columns(pl.Series(name, matrix.ravel()) for name, matrix in values.items())


def _matrix(frame: pl.DataFrame, series: pl.DataFrame, days: pl.Series, value: str) -> Floats:
    """Series x days of `value`."""
    chosen = frame.join(series, on=series_key(), how="semi").filter(pl.col("date").is_in(days.implode()))
    if len(chosen) != len(series) * len(days) or chosen[value].null_count():
        raise ValueError(
            f"{value}: {len(chosen):,} rows of {len(series):,} series on {len(days)} days, "
            f"{chosen[value].null_count()} of them unknown; give one for every series and day"
        )
    values = chosen.sort(*series_key(), "date")[value].cast(pl.Float64).to_numpy()
    return values.reshape(len(series), len(days)).copy()


def _run(
    targets: Floats, reviews: list[int], demand: Floats, on_hand: Floats, lead_time: int, unmet: Unmet
) -> dict[str, Floats]:
    """`opening`, `served`, `closing` and `ordered` (series x days); evening 0 is that of the first review."""
    days = demand.shape[1]
    opening, served, closing, ordered = (np.zeros(demand.shape) for _ in range(4))
    arriving = np.zeros((len(demand), days + lead_time + 1))
    stock = on_hand.copy()
    for day in range(days + 1):
        if day:
            opening[:, day - 1] = stock
            served[:, day - 1] = np.clip(stock, 0, demand[:, day - 1])
            stock -= served[:, day - 1] if unmet == "lost" else demand[:, day - 1]
            closing[:, day - 1] = stock
        if day in reviews:
            position = stock + arriving[:, day:].sum(axis=1)
            order = np.maximum(np.ceil(targets[:, reviews.index(day)] - position - ROUNDING), 0)
            arriving[:, day + lead_time] += order
            if day:
                ordered[:, day - 1] = order
        stock += arriving[:, day]
    return {"opening": opening, "served": served, "closing": closing, "ordered": ordered}


def service_figures(simulated: pl.DataFrame, prices: pl.DataFrame) -> ServiceFigures:
    """The figures of the days after the first delivery of `simulate_stock`'s frame.

    `prices`: `store_id, product_id, price`; a series without one counts nothing in `stock_value`. An average day's
    stock is the mean of what was there in the morning and in the evening.
    """
    days = simulated.filter(pl.col("cycle") > 0)
    held = (pl.col("opening").clip(0) + pl.col("closing").clip(0)) / 2
    series = days.group_by(series_key()).agg(
        stock=held.mean(), demand=pl.col("units").mean(), served=pl.col("served").mean()
    )
    short = days.group_by(*series_key(), "cycle").agg(missed=(pl.col("units") - pl.col("served")).sum())
    value = series.join(prices, on=series_key(), how="left").select((pl.col("stock") * pl.col("price")).sum()).item()
    stock, demand, served = series.select(pl.col("stock", "demand", "served").sum()).row(0)
    return ServiceFigures(
        fill_rate=served / demand if demand else 1.0,
        cycle_service=float((short["missed"] < ROUNDING).mean()),  # type: ignore[arg-type]
        stock_units=stock,
        stock_value=value,
        cover_days=stock / demand if demand else float("inf"),
    )
