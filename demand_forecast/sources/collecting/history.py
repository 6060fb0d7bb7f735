"""The first and last day of sales in the sources."""

from datetime import date

import polars as pl

from demand_forecast.domain.cleaning.dates import EARLIEST_DAY, parse_dates
from demand_forecast.domain.tables import now
from demand_forecast.settings import Settings
from demand_forecast.sources.collecting.batches import frames
from demand_forecast.sources.collecting.content import unreadable_dates
from demand_forecast.sources.configured import deliveries
from demand_forecast.sources.days import Days, local_day, possible, union
from demand_forecast.sources.delivery import Delivery
from demand_forecast.sources.errors import SourceError, UnfinishedError
from demand_forecast.sources.landing import Landing


def span(settings: Settings, landing: Landing | None = None) -> Days:
    """First and last readable day of sales in the sources, within 1990-01-01 and today. Opens no file of which
    `landing` knows what is in it.

    Raises SourceError where there is none or a source cannot be read.
    """
    today, landing = local_day(settings, now()), landing or Landing()
    found = union(_span(delivery, today, landing) for delivery in deliveries(settings, "sales", landing))
    if found is None:
        raise SourceError(f"{settings.path}: {_why_no_day(settings)}")
    return found


def _why_no_day(settings: Settings) -> str:
    """What is wrong where no source has a day of sales: there is no row, or no date of any can be read."""
    landing = Landing()
    found = list(deliveries(settings, "sales", landing))
    for delivery in found:
        for frame in frames(delivery, None, landing):
            dates = frame["date"].drop_nulls()
            if dates.len():
                return f"{delivery.file}: {unreadable_dates(dates.len(), dates[0])}"
    if landing.left:
        return f"no sales file is whole yet: {'; '.join(landing.left.values())}"
    named = ", ".join(delivery.file for delivery in found[:3]) + (", …" if len(found) > 3 else "")
    return f"no row of sales with a date in {named}; deliver the sales again, or correct sales: path, table or query"


def _span(delivery: Delivery, today: date, landing: Landing) -> Days | None:
    if delivery.span is not None:
        return possible(delivery.span(), today)
    try:
        known = landing.contents(delivery, today)
    except UnfinishedError as error:
        landing.leave(delivery.file, error)
        return None
    if known is not None and known.fault is None and known.fixed_on is None:
        days = [day for day in known.days if EARLIEST_DAY <= day <= today]
        return (min(days), max(days)) if days else None
    keys, sensible = delivery.dates.keys, pl.col("day").is_between(EARLIEST_DAY, today)
    day = parse_dates(pl.col("date"), delivery.dates)
    dates = [frame.select(keys).unique() for frame in frames(delivery, None, landing)]
    read = [one.select(day=day).filter(sensible)["day"] for one in dates]
    return union((series.min(), series.max()) for series in read if series.len())  # type: ignore[misc]
