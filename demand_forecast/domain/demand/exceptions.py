"""Exceptional days: one order far beyond all that a series ever sold says nothing of its demand."""

from datetime import date, timedelta

import polars as pl

from demand_forecast.domain.demand.exposure import exposure, units_of_demand
from demand_forecast.domain.tables import SERIES

TIMES = 10  # the largest period before: promotions (5x the level) and Christmas (8x) stay below, be the rest steady
MODEST_UNITS = 50  # no period up to this is exceptional
LEAST_SALES = 5  # periods with a sale before: fewer say little about a largest one
KNOWN_FOR = timedelta(days=56)
LEAST_PERIODS = 8  # be they weeks or months
RISING = 2.0  # times the largest period before
EVENT_SERIES, EVENT_SHARE = 3, 0.05  # of the series known for as long: where so many rise together it is an event
USUAL = timedelta(days=91)  # over which the usual period of an exceptional one is told


def without_exceptions(demand: pl.DataFrame, step: int, history: pl.LazyFrame | None = None) -> pl.DataFrame:
    """`demand` (daily_demand by store, product and date, periods of `step` days) with `in_stock` null on exceptional
    days; their units stay.

    A day is exceptional when its series sold more than TIMES as much as on any day before it, and more than
    MODEST_UNITS; known for KNOWN_FOR (and LEAST_PERIODS) with LEAST_SALES sales, on a day on which not many series rise
    together. What comes after says nothing: the second such day has one before it, a level that lasts is a level from
    there on. So the days of `demand` may be the newest, with `history`, daily_demand of the days before them.
    """
    if not (demand["units"] > MODEST_UNITS).any():
        return demand
    first: date = demand["date"].min()  # type: ignore[assignment]
    lately = pl.col("date") >= first - KNOWN_FOR  # leaves few, for whom all of the history is read
    suspects = _beyond(_with_past(demand, history.filter(lately) if history is not None else None))
    if len(suspects):
        of_them = suspects.select(SERIES).unique()
        own = history.join(of_them.lazy(), on=SERIES, how="semi") if history is not None else None
        known = _with_past(demand.join(of_them, on=SERIES, how="semi", maintain_order="left"), own)
        suspects = _beyond(known.filter(_well_known(step)))
    if suspects.is_empty():
        return demand
    found = suspects.join(_events(demand, history, suspects["date"].unique(), step), on="date", how="anti")
    marked = found.select(*SERIES, "date", exceptional=pl.lit(value=True))
    demand = demand.join(marked, on=[*SERIES, "date"], how="left", maintain_order="left")
    return demand.with_columns(in_stock=pl.when(pl.col("exceptional").is_null()).then("in_stock")).drop("exceptional")


def exceptions(demand: pl.DataFrame, since: date) -> pl.DataFrame:
    """`store_id, product_id, date, units, usual` (a period) of the exceptional days from `since` on, the newest first.

    `demand`: daily_demand from USUAL before `since`.
    """
    odd = demand.filter(pl.col("units").is_not_null(), pl.col("in_stock").is_null())
    found = odd.filter(pl.col("date") >= since).select(*SERIES, "date", "units")
    before = demand.join(found.select(*SERIES, day="date"), on=SERIES)
    within = before.filter(pl.col("date").is_between(pl.col("day") - USUAL, pl.col("day"), closed="left"))
    sums = within.group_by(*SERIES, date="day").agg(units_of_demand().sum(), could=exposure().sum())
    usual = sums.select(*SERIES, "date", usual=pl.col("units") / pl.col("could"))
    return found.join(usual, on=[*SERIES, "date"], how="left").sort("date", *SERIES, descending=[True, False, False])


def _with_past(demand: pl.DataFrame, history: pl.LazyFrame | None) -> pl.DataFrame:
    """Key and units of `demand` with the `largest` units before each day, and the periods `known` and `sold` before."""
    units = pl.col("units")
    running = {
        "largest": units.fill_null(0).cum_max(),
        "known": units.is_not_null().cum_sum(),
        "sold": (units.fill_null(0) > 0).cum_sum(),
    }
    numbered = demand.with_columns(series=pl.struct(SERIES).rle_id())  # of texts it would take five times as long
    before = {name: total.shift(1).over("series").fill_null(0) for name, total in running.items()}
    within = numbered.select(*SERIES, "date", "units", **before)
    if history is None:
        return within
    past = history.group_by(SERIES).agg(then_largest=units.max(), then_known=units.count(), then_sold=(units > 0).sum())
    both = within.join(past.collect(), on=SERIES, how="left", maintain_order="left")
    then = {name: pl.col(f"then_{name}").fill_null(0) for name in running}
    return both.select(
        *SERIES,
        "date",
        "units",
        largest=pl.max_horizontal("largest", then["largest"]),
        known=pl.col("known") + then["known"],
        sold=pl.col("sold") + then["sold"],
    )


def _beyond(days: pl.DataFrame) -> pl.DataFrame:
    return days.filter(pl.col("units") > MODEST_UNITS, pl.col("units") > TIMES * pl.col("largest"))


def _well_known(step: int) -> pl.Expr:
    periods = max(LEAST_PERIODS, KNOWN_FOR.days // step)
    return (pl.col("known") >= periods) & (pl.col("sold") >= LEAST_SALES)


def _events(demand: pl.DataFrame, history: pl.LazyFrame | None, days: pl.Series, step: int) -> pl.DataFrame:
    """Those of `days` on which many series rise together."""
    known = _with_past(demand, history).filter(pl.col("date").is_in(days.implode()), _well_known(step))
    rising = (pl.col("units") > RISING * pl.col("largest")).fill_null(value=False)
    counts = known.group_by("date").agg(rising=rising.sum(), share=rising.mean())
    return counts.filter(pl.col("rising") >= EVENT_SERIES, pl.col("share") >= EVENT_SHARE)
