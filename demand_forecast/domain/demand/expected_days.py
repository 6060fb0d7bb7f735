"""Days whose sales are overdue, by the weekdays on which a retailer usually sells."""

from datetime import date, timedelta

import polars as pl

from demand_forecast.domain.demand.calendar import DAILY, Calendar

LOOKED_BACK = timedelta(weeks=8)  # over which a weekday's usual is measured
OWED = timedelta(days=14)  # days that are checked
REPORTED = timedelta(days=7)  # after the end of a week or month its totals are there
USUAL = 0.5  # share of a weekday's dates with sales from which it is a selling day


def missing_days(held: pl.Series, closed: date, calendar: Calendar = DAILY) -> list[date]:
    """The days of the last fortnight up to `closed` that brought no sales, though such weekdays usually do.

    `held`: the days with sales. A weekday is usual when half of its days in the eight weeks to the newest had sales. Of
    totals of weeks or months the last two are owed that ended a week or more before `closed`.
    """
    if held.is_empty():
        return []
    if calendar.totals:
        return _missing_periods(held, closed, calendar)
    oldest, newest = held.to_frame("day").select(first=pl.col("day").min(), last=pl.col("day").max()).row(0)
    begin = max(newest - LOOKED_BACK + timedelta(days=1), oldest)
    days = pl.date_range(begin, newest, eager=True).to_frame("day")
    sold = days.with_columns(weekday=pl.col("day").dt.weekday(), sold=pl.col("day").is_in(held.implode()))
    usual = sold.group_by("weekday").agg(pl.col("sold").mean()).filter(pl.col("sold") >= USUAL)["weekday"].to_list()
    owed = pl.date_range(closed - OWED + timedelta(days=1), closed, eager=True)
    return owed.filter(owed.dt.weekday().is_in(usual) & ~owed.is_in(held.implode())).to_list()


def _missing_periods(held: pl.Series, closed: date, calendar: Calendar) -> list[date]:
    going_on = calendar.ahead(closed - REPORTED + timedelta(days=1), 0)
    owed = [calendar.ahead(going_on, -back) for back in (2, 1)]
    there = {*held.to_frame("day").select(calendar.dated(pl.col("day"))).to_series()}
    return [day for day in owed if day not in there and day > min(there)]
