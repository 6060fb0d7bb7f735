"""What a kind of source gives: its keys in the configuration, its deliveries, and how something new shows."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, get_args

from demand_forecast.settings import Input, Settings, Source

if TYPE_CHECKING:
    from demand_forecast.domain.cleaning.dates import DateReading
    from demand_forecast.sources.days import Days
    from demand_forecast.sources.delivery import Delivery, Table
    from demand_forecast.sources.landing import Landing

KINDS: dict[str, type["SourceKind"]] = {}


class SourceKind(Source, ABC):
    """One configured source, read as its kind is.

    A kind is a folder of `sources/kinds`. It joins by being defined there, with its name as the only value of `kind`;
    its other fields are the keys it asks for. The folder is imported when a configuration is opened: what is heavy is
    imported in the methods.
    """

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        KINDS.update(dict.fromkeys(get_args(cls.model_fields["kind"].annotation), cls))

    def inputs(self, table: "Table") -> list[Input]:
        """What the source has of `table`. `date_format` and `decimal` of each say how cleaning reads its texts."""
        given = getattr(self, table)
        return given if isinstance(given, list) else [given] if given else []

    def dates(self, settings: Settings, given: Input) -> "DateReading":
        """How the dates of `given` are written, and where the shops are."""
        return date_reading(settings, given.date_format, self.timezone)

    def place(self, given: Input) -> str:
        """Where sales of `given` lie, as it is configured and without secrets: by it a source is known again."""
        return f"{self.kind} {given.path or given.table or given.query}"

    @abstractmethod
    def deliveries(
        self, settings: Settings, name: str, table: "Table", given: Input, landing: "Landing"
    ) -> "list[Delivery]":
        """One delivery for each file or table of `given`, one of `inputs(table)`, as source `name`; none is opened.

        What is not whole is left and noted in `landing`. Raises NoFileError where nothing lies, SourceError where the
        configuration cannot be followed.
        """


def date_reading(settings: Settings, date_format: str | None, timezone: str | dict[str, str] | None) -> "DateReading":
    """How dates in `date_format` are read; `timezone`: a source's own, by store where it is several."""
    from demand_forecast.domain.cleaning.dates import DateReading

    zones = tuple(timezone.items()) if isinstance(timezone, dict) else ()
    said = "timezone" in settings.automation.model_fields_set or zones
    zone = timezone if isinstance(timezone, str) else settings.automation.timezone if said else None
    return DateReading(date_format, zone, zones, periods=settings.frequency != "daily")


class LandingKind(SourceKind):
    """A kind whose sales lie in files: the sensor `landing` lists them and opens those that are new to it."""

    def landed(self, settings: Settings) -> Iterator[Path]:  # noqa: ARG002
        """The files that a run started by hand waits for, until they are no longer written to."""
        return iter(())


class LedgerKind(SourceKind):
    """A kind whose sales lie in tables that answer totals by day: the sensor `ledger` asks for them."""

    @abstractmethod
    def ledger(self, settings: Settings, given: Input) -> "Ledger":
        """The sales table of `given`. Raises SourceError where the configuration cannot be followed."""


class Ledger(Protocol):
    """A table of sales that can be asked whether a day has changed without reading its rows."""

    def signature(self) -> list[int] | None:
        """Equal as long as nothing can have changed; None where only asking tells."""

    def daily_totals(self, days: "Days | None") -> dict[date, str]:
        """For each readable day of `days` (None: of all) a text that changes when its rows do.

        Raises SourceError where the table cannot be reached.
        """
