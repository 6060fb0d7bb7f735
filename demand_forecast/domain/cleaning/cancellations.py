"""Which sale a cancellation undoes."""

import polars as pl

from demand_forecast.settings import Cancellation


def cancelled_sales(lines: pl.DataFrame, cancellation: Cancellation) -> pl.Series:
    """The `row` of every sale that a later cancellation undoes.

    `lines`: `row, date, clock, file, line, units, cancellation` (Boolean) and the shared columns (`same_<column>` for
    those that are not ids). A cancellation undoes the most recent sale before it (by date and time, then file and line)
    that is not yet undone, has the same shared columns and the same absolute units. An empty shared column equals
    nothing: nobody knows whose sale it was.

    Per key the sales are a stack: a sale goes on top, a cancellation takes the top off. A sale that lies at a height is
    undone exactly when the next event at its height is a cancellation.
    """
    keys = [name if name in lines.columns else f"same_{name}" for name in cancellation.same] + ["amount"]
    events = lines.with_columns(amount=pl.col("units").abs()).drop_nulls(keys)
    undoing = events.filter("cancellation").select(keys).unique()
    events = events.join(undoing, on=keys, how="semi").sort("date", "clock", "file", "line", "row")
    events = events.with_columns(key=pl.struct(keys).rank("dense")).with_columns(height=_height().over("key"))
    level = pl.col("height") + pl.col("cancellation")
    undone = pl.col("cancellation").shift(-1).over("key", level).fill_null(False)
    return events.filter(undone & ~pl.col("cancellation"))["row"]


def _height() -> pl.Expr:
    """Sales on the stack after each event; a cancellation that finds none leaves it empty."""
    balance = pl.when("cancellation").then(-1).otherwise(1).cum_sum()
    return balance - pl.min_horizontal(balance.cum_min(), 0)
