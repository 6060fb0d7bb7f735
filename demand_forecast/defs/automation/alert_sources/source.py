"""A source of alerts: read as it stands, or read on from a cursor. Dagster is imported where it is asked, so that the
command line knows the kinds without waiting for it."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from demand_forecast.alerts.alert import Alert
from demand_forecast.alerts.log import AlertLog, Trouble
from demand_forecast.domain.tables import now
from demand_forecast.settings import ConfigError, Settings, unknown

if TYPE_CHECKING:
    import dagster as dg
    from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph

    from demand_forecast.defs.project import Project

SINCE = "since"  # of the cursor: what was before is history and alerts nobody
SOURCES: list["AlertSource"] = []
Cursor = Mapping[str, float]


@dataclass(frozen=True)
class Watched:
    """What sources read from: the retailer's project, Dagster's instance, the asset graph as it is now loaded."""

    project: "Project"
    instance: "dg.DagsterInstance"
    graph: "BaseAssetGraph | None"

    @property
    def ui(self) -> str:
        """The address that links begin with."""
        return self.project.settings.alerts.ui.rstrip("/")

    def page_of(self, asset: "dg.AssetKey") -> str:
        return f"{self.ui}/assets/{'/'.join(asset.path)}"


class AlertSource(ABC):
    """Finds alerts and sends none. A class with `kinds` joins `SOURCES` by being defined."""

    name: ClassVar[str]  # with which the keys of its alerts begin
    kinds: ClassVar[dict[str, str]]  # the kinds of its alerts, as `only:` names them, with when each is raised

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "kinds" in vars(cls):
            SOURCES.append(cls())

    def key(self, *parts: str) -> str:
        return ":".join((self.name, *parts))

    @abstractmethod
    def read(self, watched: Watched, cursor: Cursor) -> tuple[list[Alert], Cursor]:
        """Its alerts at this tick, and what changes in the sensor's cursor. An error is logged, and it is read again at
        the next tick.
        """


class StateSource(AlertSource):
    """Read as it stands: downtime of the daemon misses nothing that still holds."""

    def read(self, watched: Watched, cursor: Cursor) -> tuple[list[Alert], Cursor]:
        if watched.graph is None:
            return [], {}
        since = datetime.fromtimestamp(cursor[SINCE], UTC)
        found = [alert for alert in self.state(watched) if alert.state == "resolved" or alert.at >= since]
        return found + self._ended(AlertLog(watched.project.lake).open(), self.keys(watched.graph)), {}

    def _ended(self, raised: Iterable[Trouble], keys: set[str]) -> list[Alert]:
        """The ends of alerts about what the project does not have any more."""
        return [
            replace(trouble.alert, state="resolved", text="It is not watched any more.", at=now())
            for trouble in raised
            if trouble.alert.key.startswith(self.key("")) and trouble.alert.key not in keys
        ]

    @abstractmethod
    def keys(self, graph: "BaseAssetGraph") -> set[str]:
        """The key of everything that it watches."""

    @abstractmethod
    def state(self, watched: Watched) -> list[Alert]:
        """One alert for everything of which something is known: raised or resolved, at when it came to be so."""


class EventSource(AlertSource):
    """Read on from where the last tick ended, which the sensor's cursor keeps as `position`."""

    position: ClassVar[str]

    def read(self, watched: Watched, cursor: Cursor) -> tuple[list[Alert], Cursor]:
        if self.position not in cursor:
            return [], {self.position: self.start(watched)}
        found, position = self.events(watched, cursor[self.position])
        return found, {self.position: position}

    @abstractmethod
    def start(self, watched: Watched) -> float:
        """Where to read on from at the first tick: what was before is history."""

    @abstractmethod
    def events(self, watched: Watched, after: float) -> tuple[list[Alert], float]:
        """The alerts after a position, the oldest first, and the last position that was read."""


def alert_kinds() -> dict[str, str]:
    """Every kind of alert, with when it is raised."""
    return {kind: text for source in SOURCES for kind, text in source.kinds.items()}


def check_alert_kinds(settings: Settings) -> None:
    """Raises ConfigError where `only:` of a channel names a kind of alert that there is not."""
    known = sorted(alert_kinds())
    for number, channel in enumerate(settings.alerts.channels):
        for place, kind in enumerate(channel.only):
            if kind not in known:
                at = f"{settings.path}: alerts.channels.{number}.only.{place}"
                raise ConfigError(f"{at}: {unknown('kind of alert', kind, known)}")
