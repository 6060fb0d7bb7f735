"""What the ledger sensor remembers of a table: the totals of its newest days, as they were collected."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from typing import Any, Self

from demand_forecast.defs.project import Project, known_deliveries
from demand_forecast.sources.delivery import Days
from demand_forecast.sources.news import days_not_held
from demand_forecast.sources.sql import Ledger, daily_totals, file_signature

SEPARATOR = "\t"


def day_of(item: str) -> date:
    """The day that an item of ledger news is about."""
    return date.fromisoformat(item.split(SEPARATOR)[1])


@dataclass
class LedgerState:
    """`held`: by day (ISO) the totals that were collected; `newest`: the last day with totals at the last look."""

    name: str = ""
    held: dict[str, str] = field(default_factory=dict)
    newest: str | None = None
    looked_at: list[Any] = field(default_factory=list)  # an SQLite file's signature and the days it was asked for

    @classmethod
    def read(cls, said: dict[str, Any] | None) -> Self:
        return cls(**said) if said else cls()

    def write(self) -> dict[str, Any]:
        return asdict(self)

    def hold(self, news: Iterable[str]) -> None:
        """Note that the days of these `news` of this table were collected as they say."""
        for name, day, totals in (item.split(SEPARATOR, 2) for item in news):
            if name == self.name:
                self.held[day] = totals

    def look(self, project: Project, name: str, ledger: Ledger, closed: Days) -> list[str]:
        """News (name, day and totals) of the days whose totals are not those that were collected.

        One aggregate query over the newest days; at the first look over all, and what the lake holds is compared.
        Raises SourceError where the database cannot be reached.
        """
        looked_at = [file_signature(ledger), *map(str, closed)]
        if looked_at[0] is not None and looked_at == self.looked_at:
            return []
        lookback = timedelta(days=project.settings.automation.ledger_lookback)
        first = max(closed[0], date.fromisoformat(self.newest) - lookback) if self.newest else closed[0]
        totals = daily_totals(ledger, (first, closed[1]))
        if self.newest is None:
            missing = days_not_held(project.settings, known_deliveries(project.lake), name, totals)
            self.held = {day.isoformat(): said for day, said in totals.items() if day not in missing}
        self.name, self.looked_at = name, looked_at
        changed = [(str(day), said) for day, said in totals.items() if self.held.get(str(day)) != said]
        self.newest = max(filter(None, [*map(str, totals), self.newest]), default=None)
        oldest = str(date.fromisoformat(self.newest) - lookback) if self.newest else ""
        self.held = {day: said for day, said in self.held.items() if day >= oldest}
        return [SEPARATOR.join((name, day, said)) for day, said in changed]
