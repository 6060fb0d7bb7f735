"""Demand by series and day: complete, with what is known of price, stock and opening."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Literal

import numpy as np
import polars as pl

from demand_forecast.domain.demand.calendar import UNIX, Calendar, Frequency, by_day, calendar_of
from demand_forecast.domain.demand.grid import Grid
from demand_forecast.domain.demand.periods import whole_periods
from demand_forecast.domain.demand.precedence import by_key
from demand_forecast.domain.tables import SERIES

RECENT = timedelta(days=56)
NEXT_TO_NOTHING = 1e-6  # weight of a line without units in the mean price of its day


def build_daily_demand(
    sales: pl.DataFrame,
    stock: pl.DataFrame | None,
    plan: pl.DataFrame | None = None,
    *,
    frequency: Frequency,
    missing_day: Literal["no_sale", "closed"],
    past_only: Sequence[str] = (),
    before: pl.DataFrame | None = None,
    unknown: pl.DataFrame | None = None,
    arrived: date | None = None,
) -> pl.DataFrame:
    """daily_demand: `store_id, product_id, date, units, price, in_stock, open, <past_only>`, complete and sorted.

    Every day from a series' first sale (its first row, if it never sold) to the last closed day. `units`: the day's
    lines summed. `price`: what the plan asks (it holds until the next), else the units-weighted mean of the day's
    lines, else the last price known, before the first price that one. `in_stock`: 1 where `stock` does not say.
    `open`: false where the plan's `open` is 0 and, with `missing_day` closed, where the store has no line at all that
    day; a store that sold was open. `past_only`: mean of the day's lines. Of the days in `unknown` (`store_id, date`),
    on which nothing was heard of the store (see `silences`), and of periods that hold one, units, in_stock and open are
    null.

    Weekly and monthly: whole periods of the sales history, from that of the first sale, with their dates (see
    `Calendar`); units are summed, price, in_stock and past-only columns averaged, open is any day open. Where the
    retailer's rows are totals of periods, a period is whole that was over by the day on which the newest `arrived`, and
    rows of stock and plan hold for all its days; else one that sales reach the end of, but for weekdays that never
    have any.

    Arguments are clean_sales, clean_stock and clean_plan. Numbers are Float32, `open` is Boolean. With `before`, the
    rows of daily_demand of one day, the days after it alone are built, of `sales` after it: they are those of the whole
    where `continues` says so. Daily only: a week's price is not that of its last day.
    """
    calendar = calendar_of(frequency)
    if calendar.totals:
        sales = sales.with_columns(calendar.first_day(pl.col("date")))
    stock, plan = (table if table is None else by_day(table, calendar) for table in (stock, plan))
    grid = _grid(sales, calendar, before, arrived)
    units, columns = _sales_columns(grid, sales, past_only)
    price = _price(grid, columns.pop("price"), plan, before)
    is_open = _open(grid, sales, plan, missing_day) | (units > 0)
    daily = {"units": units, "price": price, "in_stock": _in_stock(grid, stock), "open": is_open, **columns}
    silent = _silent(grid, unknown)
    if frequency == "daily":
        return _without(grid.table(daily), silent)
    starts = _period_starts(grid, calendar)
    table = grid.table({name: _period(name, days, starts) for name, days in daily.items()}, starts)
    unheard = np.asarray(np.logical_or.reduceat(silent, starts)) if len(starts) else silent
    return _without(table, unheard).with_columns(calendar.dated(pl.col("date")))


def _silent(grid: Grid, unknown: pl.DataFrame | None) -> np.ndarray:
    """Whether nothing is known of each position's store on its day."""
    silent = np.zeros(len(grid), bool)
    if unknown is not None and len(unknown):
        silent[grid.positions(unknown.select("store_id", "date"), ["store_id"])["position"].to_numpy()] = True
    return silent


def _without(table: pl.DataFrame, silent: np.ndarray) -> pl.DataFrame:
    """daily_demand with the `silent` rows unknown."""
    if not silent.any():
        return table
    known = pl.Series("known", ~silent)
    return table.with_columns(pl.when(known).then(name).alias(name) for name in ("units", "in_stock", "open"))


def _period_starts(grid: Grid, calendar: Calendar) -> np.ndarray:
    """The positions at which a period begins."""
    number = pl.Series(grid.day).cast(pl.Date).to_frame("day").select(calendar.number(pl.col("day"))).to_series()
    return np.flatnonzero(np.diff(number.to_numpy(), prepend=-1) | np.diff(grid.number, prepend=-1))


def _period(name: str, days: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """A column by period, from its days; each period begins at one of `starts`."""
    if not len(starts):
        return days
    if name == "units":
        return np.add.reduceat(days.astype(np.float64), starts).astype(np.float32)
    if name == "open":
        return np.logical_or.reduceat(days, starts)
    known = ~np.isnan(days)
    total, count = (np.add.reduceat(values, starts) for values in (np.where(known, days, 0.0), known.astype(np.int64)))
    return np.divide(total, count, out=np.full(len(starts), np.nan), where=count > 0).astype(np.float32)


def continues(before: pl.DataFrame, after: pl.DataFrame, history: pl.LazyFrame) -> bool:
    """Whether appending `after` leaves the days up to that of `before` unchanged.

    It does not where `after` has the first price of a series, which counts for the time before it too, or the first
    sale of one that only had rows, or no day at all. `before`, `after`: as for `build_daily_demand`, and what it made;
    `history`: daily_demand up to `before`.
    """
    unpriced = before.filter(pl.col("price").is_null()).select(SERIES)
    priced = after.filter(pl.col("price").is_not_null())
    if after.is_empty() or len(unpriced.join(priced, on=SERIES, how="semi")):
        return False
    selling = after.filter(pl.col("units") > 0).select(SERIES).unique().join(before, on=SERIES, how="semi")
    sold = history.filter(pl.col("units") > 0)
    for since in (before["date"].max() - RECENT, date.min) if len(selling) else ():  # type: ignore[operator]
        lately = (
            sold.filter(pl.col("date") >= since).join(selling.lazy(), on=SERIES, how="semi").select(SERIES).unique()
        )
        selling = selling.join(lately.collect(), on=SERIES, how="anti")
        if selling.is_empty():
            break
    return selling.is_empty()


def _grid(sales: pl.DataFrame, calendar: Calendar, before: pl.DataFrame | None, arrived: date | None) -> Grid:
    sold = pl.when(pl.col("units") > 0).then("date")
    starts = sales.group_by(SERIES).agg(sold=sold.min(), first=pl.col("date").min())
    start = pl.coalesce("sold", "first")
    if calendar.frequency == "daily":
        first, last = sales["date"].min(), sales["date"].max()
    else:
        first, last = whole_periods(sales["date"], calendar, arrived)
        start = pl.max_horizontal(calendar.first_day(start), pl.lit(first))
    starts = starts.select(*SERIES, start=start.to_physical().cast(pl.Int64))
    if before is not None:
        known = before.select(*SERIES, start=pl.col("date").to_physical().cast(pl.Int64) + 1)
        starts = pl.concat([known, starts.join(known, on=SERIES, how="anti")])
    return Grid.of(starts, (last - UNIX).days if isinstance(last, date) else -1)


def _sales_columns(
    grid: Grid, sales: pl.DataFrame, past_only: Sequence[str]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The day's units, and the day's means of `price` (weighted by units) and the past-only columns."""
    lines = grid.positions(sales.select(*SERIES, "date", "units", "price", *past_only), SERIES)
    place, units = lines["position"].to_numpy(), lines["units"].to_numpy()
    total = np.bincount(place, weights=units, minlength=len(grid)).astype(np.float32)
    weights = {"price": np.maximum(units, NEXT_TO_NOTHING)} | {name: np.ones_like(units) for name in past_only}
    return total, {name: _mean(lines[name], place, weight, len(grid)) for name, weight in weights.items()}


def _mean(values: pl.Series, place: np.ndarray, weight: np.ndarray, length: int) -> np.ndarray:
    """Weighted mean of the values at each place; NaN where there is none."""
    if not values.count():
        return np.full(length, np.nan, np.float32)
    known = values.is_not_null().to_numpy()
    place, weight, numbers = place[known], weight[known], values.drop_nulls().to_numpy()
    total = np.bincount(place, weights=weight * numbers.astype(np.float64), minlength=length)
    weights = np.bincount(place, weights=weight, minlength=length)
    return np.divide(total, weights, out=np.full(length, np.nan), where=weights > 0).astype(np.float32)


def _price(grid: Grid, sold_at: np.ndarray, plan: pl.DataFrame | None, before: pl.DataFrame | None) -> np.ndarray:
    planned = _plan_values(grid, plan, "price", hold=True)
    known = np.where(np.isnan(planned), sold_at, planned)
    if before is not None and len(grid):
        held = grid.positions(before.drop_nulls("price").select(*SERIES, "date", "price"), SERIES, carry=True)
        place = held["position"].to_numpy()  # each series' first day
        known[place] = np.where(np.isnan(known[place]), held["price"].to_numpy(), known[place])
    return grid.backward(grid.forward(known))


def _plan_values(grid: Grid, plan: pl.DataFrame | None, column: str, *, hold: bool) -> np.ndarray:
    """The plan's `column` at each position, of the most particular key that has one; NaN where none has.

    With `hold` a value counts until the next of its key, else for its date only.
    """
    values = np.full(len(grid), np.nan, np.float32)
    if plan is None or column not in plan.columns:
        return values
    for keys, rows in by_key(plan.drop_nulls(column)):
        if rows.is_empty():
            continue
        placed = grid.positions(rows.select("date", *keys, column), keys, carry=hold).sort("position", "day")
        of_key = np.full(len(grid), np.nan, np.float32)
        of_key[placed["position"].to_numpy()] = placed[column].to_numpy()  # of equal positions the last, the latest day
        of_key = grid.forward(of_key) if hold else of_key
        values = np.where(np.isnan(values), of_key, values)
    return values


def _in_stock(grid: Grid, stock: pl.DataFrame | None) -> np.ndarray:
    shares = np.ones(len(grid), np.float32)
    if stock is not None and not stock.is_empty():
        known = grid.positions(stock.select(*SERIES, "date", "in_stock").drop_nulls("in_stock"), SERIES)
        shares[known["position"].to_numpy()] = known["in_stock"].to_numpy()
    return shares


def _open(grid: Grid, sales: pl.DataFrame, plan: pl.DataFrame | None, missing_day: str) -> np.ndarray:
    is_open = _plan_values(grid, plan, "open", hold=False) != 0
    if missing_day == "closed" and len(grid):
        is_open &= _store_reported(grid, sales)
    return is_open


def _store_reported(grid: Grid, sales: pl.DataFrame) -> np.ndarray:
    """Whether the position's store has any line on its day."""
    store = grid.series["store_id"].rank("dense").cast(pl.Int64) - 1
    stores = grid.series.select("store_id", store=store).unique()
    lines = sales.select("store_id", "date").unique().join(stores, on="store_id")
    first = int(grid.day.min())
    days = lines.filter(pl.col("date").to_physical().is_between(first, grid.last))
    reported = np.zeros((len(stores), grid.last - first + 1), bool)
    reported[days["store"].to_numpy(), days["date"].to_physical().to_numpy() - first] = True
    return reported[store.to_numpy()[grid.number], grid.day - first]
