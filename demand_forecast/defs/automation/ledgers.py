"""What the ledger sensor remembers of a table: the totals of its newest days, as they were collected."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from typing import Any, Self

from demand_forecast.defs.project import Project, known_deliveries
from demand_forecast.sources.collecting.pending_days import days_not_held
from demand_forecast.sources.days import Days
from demand_forecast.sources.kind import Ledger

SEPARATOR = "\t"


def day_of(change: str) -> date:
    """The day that a change (name, day and totals) is about."""
    return date.fromisoformat(change.split(SEPARATOR)[1])


@dataclass
class LedgerState:
    """`held`: by day (ISO) the totals that were collected; `newest`: the last day with totals when last asked.

    Its fields are stored in the sensor's cursor.
    """

    name: str = ""
    held: dict[str, str] = field(default_factory=dict)
    newest: str | None = None
    looked_at: list[Any] = field(default_factory=list)  # the table's signature and the days it was asked for

    @classmethod
    def read(cls, stored: dict[str, Any] | None) -> Self:
        return cls(**stored) if stored else cls()

    def write(self) -> dict[str, Any]:
        return asdict(self)

    def hold(self, collected: Iterable[str]) -> None:
        """Notes that these changes, where they are of this table, were collected."""
        for name, day, totals in (change.split(SEPARATOR, 2) for change in collected):
            if name == self.name:
                self.held[day] = totals

    def changes(self, project: Project, name: str, ledger: Ledger, closed: Days) -> list[str]:
        """The days (as name, day and totals) whose totals are not those that were collected.

        One aggregate query over the newest days; the first time over all, and what the lake holds is compared. Raises
        SourceError where the database cannot be reached.
        """
        looked_at = [ledger.signature(), *map(str, closed)]
        if looked_at[0] is not None and looked_at == self.looked_at:
            return []
        lookback = timedelta(days=project.settings.automation.ledger_lookback)
        first = max(closed[0], date.fromisoformat(self.newest) - lookback) if self.newest else closed[0]
        totals = ledger.daily_totals((first, closed[1]))
        if self.newest is None:
            missing = days_not_held(project.held_settings, known_deliveries(project.lake), name, totals)
            self.held = {day.isoformat(): total for day, total in totals.items() if day not in missing}
        self.name, self.looked_at = name, looked_at
        changed = [(str(day), total) for day, total in totals.items() if self.held.get(str(day)) != total]
        self.newest = max(filter(None, [*map(str, totals), self.newest]), default=None)
        oldest = str(date.fromisoformat(self.newest) - lookback) if self.newest else ""
        self.held = {day: total for day, total in self.held.items() if day >= oldest}
        return [SEPARATOR.join((name, day, total)) for day, total in changed]
