"""Columns that are known ahead of every day, and are not for some of the days to forecast."""

from collections.abc import Iterator, Sequence
from datetime import date

import polars as pl

from demand_forecast.domain.demand.calendar import Calendar

DENSE = 0.9  # share of the periods of late: a column that says so much says it of every period, 0 where there is none
LEAST_GAPS = 4  # of days that a sparse column names, in a year: fewer tell nothing about the next


def dense_columns(panel: pl.DataFrame, names: Sequence[str], calendar: Calendar, last_day: date) -> tuple[str, ...]:
    """Those of `names` that the plan says of nearly every period of late, and not 1 of all of them: where they are null
    nothing is known. Others name the days on which something is, and where they are null there is nothing.

    `panel`: the rows of a History, whose last known period is `last_day`.
    """
    if not names:
        return ()
    since = calendar.ahead(last_day, -calendar.spread_window)
    past = panel.filter(pl.col("date").is_between(since, last_day), pl.col("exposure").is_not_null())
    shares, ones = past.select(pl.col(names).is_not_null().mean()), past.select(_names_alone(past, names))
    return tuple(name for name in names if (shares[name].item() or 0.0) >= DENSE and not ones[name].item())


def _names_alone(past: pl.DataFrame, names: Sequence[str]) -> Iterator[pl.Expr]:
    """Whether a column says 1 or nothing: a list of the days on which something is, be they many."""
    for name in names:
        number = past.schema[name].is_numeric()
        yield ((pl.col(name) > 0) & (pl.col(name) <= 1)).all().alias(name) if number else pl.lit(False).alias(name)


def plan_ends(
    panel: pl.DataFrame, names: Sequence[str], calendar: Calendar, last_day: date, horizon: int
) -> Iterator[str]:
    """A line for each of `names` that is unknown on some of the `horizon` periods after `last_day`: of a dense column
    where it is null, of a sparse one where the plan names no day, though it always did in so many periods.
    """
    dense = dense_columns(panel, names, calendar, last_day)
    until = calendar.ahead(last_day, horizon)
    ahead = panel.filter(pl.col("date").is_between(last_day, until, closed="right"))
    for name in names:
        known = panel.filter(pl.col(name).is_not_null())
        if known.is_empty():
            continue
        ends: date = known["date"].max()  # type: ignore[assignment]
        unknown = ahead.filter(pl.col(name).is_null())
        if name in dense and len(unknown):
            series = f"{unknown['series'].n_unique():,} of {panel['series'].n_unique():,} series"
            days = f"{unknown['date'].n_unique()} of {horizon} periods ahead"
            yield f"{name}: the plan ends on {ends}, unknown on {days} for {series}"
        elif name not in dense and ends <= last_day and _always_soon(known["date"], last_day, calendar, horizon):
            yield f"{name}: the plan names no day after {ends}, as it did in all of {horizon} periods before"


def _always_soon(named: pl.Series, last_day: date, calendar: Calendar, horizon: int) -> bool:
    """Whether the days that are `named` were never as many as `horizon` periods apart in the last year."""
    days = named.unique().sort()
    gaps = days.filter(days > calendar.ahead(last_day, -calendar.year)).diff().drop_nulls().dt.total_days()
    return len(gaps) >= LEAST_GAPS and bool((gaps < horizon * calendar.step).all())
