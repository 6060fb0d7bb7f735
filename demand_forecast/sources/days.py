"""Spans of days, and which day it is where the shops are."""

from collections.abc import Iterable
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from demand_forecast.domain.cleaning.dates import EARLIEST_DAY
from demand_forecast.settings import Settings

Days = tuple[date, date]  # first and last, both included


def local_day(settings: Settings, moment: datetime) -> date:
    """The calendar day of `moment` (with time zone) where the shops are."""
    return moment.astimezone(ZoneInfo(settings.automation.timezone)).date()


def midnight(settings: Settings, day: date) -> datetime:
    """The moment at which `day` begins where the shops are."""
    return datetime.combine(day, time.min, ZoneInfo(settings.automation.timezone))


def overlap(days: Days, others: Days) -> Days | None:
    """First and last day that both spans have; None where they have none in common."""
    first, last = max(days[0], others[0]), min(days[1], others[1])
    return (first, last) if first <= last else None


def possible(days: Days | None, today: date) -> Days | None:
    """Those of `days` on which sales can have been made: from 1990-01-01 to `today`."""
    return days and overlap(days, (EARLIEST_DAY, today))


def union(spans: Iterable[Days | None]) -> Days | None:
    """First and last day of all spans; None where there is none."""
    known = [days for days in spans if days is not None]
    return (min(first for first, _ in known), max(last for _, last in known)) if known else None
