"""What an alert source is: read as state, or as events from a cursor on. Dagster is imported inside functions, so that
the command line can list the kinds without loading it."""

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

SINCE = "since"  # in the cursor: what happened before raises no alert
SOURCES: list["AlertSource"] = []
Cursor = Mapping[str, float]


@dataclass(frozen=True)
class Watched:
    """What sources read: the project, the Dagster instance, the loaded asset graph."""

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
    """Finds alerts; does not send them. A class with `kinds` joins `SOURCES` by being defined."""

    name: ClassVar[str]  # prefix of its alerts' keys
    kinds: ClassVar[dict[str, str]]  # kinds of its alerts, as `only:` names them, and when each is raised

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
    """Read as it stands at every tick: nothing that still holds is missed after a downtime of the daemon."""

    def read(self, watched: Watched, cursor: Cursor) -> tuple[list[Alert], Cursor]:
        if watched.graph is None:
            return [], {}
        since = datetime.fromtimestamp(cursor[SINCE], UTC)
        found = [alert for alert in self.state(watched) if alert.state == "resolved" or alert.at >= since]
        return found + self._ended(AlertLog(watched.project.lake).open(), self.keys(watched.graph)), {}

    def _ended(self, raised: Iterable[Trouble], keys: set[str]) -> list[Alert]:
        """Resolves alerts about checks or assets that the project does not have any more."""
        return [
            replace(trouble.alert, state="resolved", text="It is not watched any more.", at=now())
            for trouble in raised
            if trouble.alert.key.startswith(self.key("")) and trouble.alert.key not in keys
        ]

    @abstractmethod
    def keys(self, graph: "BaseAssetGraph") -> set[str]:
        """The keys of everything it watches."""

    @abstractmethod
    def state(self, watched: Watched) -> list[Alert]:
        """One alert per watched thing with a known state: raised or resolved, and since when."""


class EventSource(AlertSource):
    """Read from where the last tick ended; the sensor's cursor stores that under `position`."""

    position: ClassVar[str]

    def read(self, watched: Watched, cursor: Cursor) -> tuple[list[Alert], Cursor]:
        if self.position not in cursor:
            return [], {self.position: self.start(watched)}
        found, position = self.events(watched, cursor[self.position])
        return found, {self.position: position}

    @abstractmethod
    def start(self, watched: Watched) -> float:
        """Where to begin at the first tick: earlier events raise no alert."""

    @abstractmethod
    def events(self, watched: Watched, after: float) -> tuple[list[Alert], float]:
        """The alerts after a position, the oldest first, and the new position."""


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
