"""Days whose sales are overdue, by the weekdays on which a retailer usually sells."""

from datetime import date, timedelta

import polars as pl

LOOKED_BACK = timedelta(weeks=8)  # over which a weekday's usual is measured
OWED = timedelta(days=14)  # days that are checked
USUAL = 0.5  # share of a weekday's dates with sales from which it is a selling day


def missing_days(held: pl.Series, closed: date) -> list[date]:
    """The days of the last fortnight up to `closed` that brought no sales, though such weekdays usually do.

    `held`: the days with sales. A weekday is usual when half of its days in the eight weeks to the newest had sales.
    """
    if held.is_empty():
        return []
    oldest, newest = held.to_frame("day").select(first=pl.col("day").min(), last=pl.col("day").max()).row(0)
    begin = max(newest - LOOKED_BACK + timedelta(days=1), oldest)
    days = pl.date_range(begin, newest, eager=True).to_frame("day")
    sold = days.with_columns(weekday=pl.col("day").dt.weekday(), sold=pl.col("day").is_in(held.implode()))
    usual = sold.group_by("weekday").agg(pl.col("sold").mean()).filter(pl.col("sold") >= USUAL)["weekday"].to_list()
    owed = pl.date_range(closed - OWED + timedelta(days=1), closed, eager=True)
    return owed.filter(owed.dt.weekday().is_in(usual) & ~owed.is_in(held.implode())).to_list()
