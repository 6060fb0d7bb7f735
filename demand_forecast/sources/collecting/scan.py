"""A scan of the sources: what is asked of them, and which deliveries have to be read to answer."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import polars as pl

from demand_forecast.domain.tables import now
from demand_forecast.settings import Settings
from demand_forecast.sources.collecting.index import CollectedIndex
from demand_forecast.sources.columns import KEYS, declared
from demand_forecast.sources.configured import named_inputs
from demand_forecast.sources.days import Days, local_day
from demand_forecast.sources.delivery import Delivery
from demand_forecast.sources.landing import Landing


@dataclass
class Scan:
    """What is asked of the sources, and what was collected before.

    With `days` only rows of those days are asked for; with `lookback`, of a table that was collected before, those from
    so long before its newest day on. A `full` scan reads everything, copies too, of which nothing is new. It notes, of
    what it reads, `groups` (`source, report, file, day, content_hash, rows, new`), and the `proven` sources and reports
    that it need not read: their file is the one that was collected whole.
    """

    columns: list[str]
    collected: CollectedIndex
    days: Days | None
    arrived_at: datetime
    today: date
    landing: Landing
    full: bool = False
    lookback: timedelta | None = None
    groups: list[pl.DataFrame] = field(default_factory=list)
    proven: set[tuple[str, str]] = field(default_factory=set)
    copies: set[tuple[str, str]] = field(default_factory=set)  # source and file

    def needs(self, delivery: Delivery) -> bool:
        """Whether the delivery has to be read to know what is new in it.

        Raises UnfinishedError where its file is gone, SourceError where it cannot be opened.
        """
        if self.full and not (delivery.span and delivery.file_hash):
            if self.collected.is_copy(delivery):
                self.copies.add((delivery.source, delivery.file))
            return True
        if self.collected.has_all_of(delivery):
            return False
        contents = None if delivery.span else self.landing.contents(delivery, self.today)
        if contents is None:
            return True
        if contents.damaged:
            self.landing.left[delivery.file] = str(contents.fault)
        if contents.fault is not None:
            return not contents.damaged
        return self.days is None or any(self.days[0] <= day <= self.days[1] for day in contents.days)

    def days_of(self, delivery: Delivery) -> Days | None:
        """The days to read of the delivery, if it can be asked for some; None: all."""
        newest = self.collected.newest.get((delivery.source, delivery.file))
        if self.days is not None or self.lookback is None or newest is None:
            return self.days
        return newest - self.lookback, self.today


def scan_of_sales(
    settings: Settings,
    known: pl.DataFrame,
    days: Days | None = None,
    arrived_at: datetime | None = None,
    landing: Landing | None = None,
    full: bool = False,
) -> Scan:
    """A scan for sales that are not in `known` (`known_sales` of the lake); `full`: reads every file.

    Raises ConfigError and SourceError where the configuration cannot be followed.
    """
    moment = arrived_at or now()
    columns, today = sales_columns(settings), local_day(settings, moment)
    return Scan(columns, CollectedIndex(known), days, moment, today, landing or Landing(), full)


def sales_columns(settings: Settings) -> list[str]:
    """The mapped columns of raw_sales: keys first, then what any source maps, then declared past-only covariates."""
    mapped = [name for _, _, given in named_inputs(settings, "sales") for name in given.columns]
    return list(dict.fromkeys((*KEYS["sales"], *mapped, *declared(settings, "sales"))))
