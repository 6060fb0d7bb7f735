"""The lake table `alerts`: what was raised and resolved, and which channels accepted it."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from demand_forecast.alerts.alert import Alert
from demand_forecast.lake.tables import Lake
from demand_forecast.settings import Channel

TABLE = "alerts"
SCHEMA: dict[str, Any] = {
    "at": pl.Datetime("us", "UTC"),
    "kind": pl.String(),
    "subject": pl.String(),
    "key": pl.String(),
    "state": pl.String(),
    "title": pl.String(),
    "text": pl.String(),
    "link": pl.String(),
    "sent": pl.List(pl.String()),
    "written_at": pl.Datetime("us", "UTC"),
}
_unwritten: dict[str, list["Line"]] = {}  # by lake: what a full disk refused, lest it is sent again every tick


@dataclass(frozen=True)
class Line:
    """A row of the table: a new alert, or the delivery of one to further channels."""

    alert: Alert
    sent: tuple[str, ...]  # the channels that accepted it
    written_at: datetime

    def row(self) -> dict[str, Any]:
        return asdict(self.alert) | {"sent": list(self.sent), "written_at": self.written_at}

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Line":
        alert = Alert(**{column.name: row[column.name] for column in fields(Alert)})
        return cls(alert, tuple(row["sent"]), row["written_at"])


@dataclass
class Trouble:
    """The state of one key: its last alert, since when it is raised, which channels have it."""

    alert: Alert
    since: datetime
    delivered: dict[str, Line] = field(default_factory=dict)  # by channel: the raised alert that it accepted last
    end_delivered: set[str] = field(default_factory=set)

    @property
    def open(self) -> bool:
        return self.alert.state == "raised"

    def is_news(self, alert: Alert) -> bool:
        return alert.at > self.alert.at and (self.open or alert.state == "raised")

    def is_due(self, channel: Channel, now: datetime, repeat: timedelta, seen: bool) -> bool:
        """Whether the last alert is to be sent to the channel. `seen`: the trouble was found at this tick."""
        last = self.delivered.get(channel.label)
        if not self.open:
            return last is not None and channel.label not in self.end_delivered
        if channel.only and self.alert.kind not in channel.only:
            return False
        if last is None or last.alert.kind != self.alert.kind:
            return True
        return now - last.written_at >= repeat and (seen or self.alert.at > last.alert.at)

    def follow(self, line: Line) -> None:
        if line.alert.state == "resolved":
            self.end_delivered.update(line.sent)
        else:
            if not self.open:
                self.since, self.delivered, self.end_delivered = line.alert.at, {}, set()
            self.delivered.update(dict.fromkeys(line.sent, line))
        self.alert = line.alert


class AlertLog:
    """The table, read into one `Trouble` per key. Read and write it under one lock.

    Raises LakeError where the table cannot be read.
    """

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.troubles: dict[str, Trouble] = {}
        for line in [*self._lines(), *self._kept()]:
            self._follow(line)

    def _lines(self) -> list[Line]:
        if not self.lake.exists(TABLE):
            return []
        return [Line.of(row) for row in self.lake.read(TABLE).sort("written_at", "at").iter_rows(named=True)]

    def _kept(self) -> list[Line]:
        return _unwritten.setdefault(self.lake.location(TABLE), [])

    def open(self) -> list[Trouble]:
        """The troubles that are raised and not resolved, the oldest first."""
        return sorted((trouble for trouble in self.troubles.values() if trouble.open), key=lambda one: one.since)

    def news(self, alerts: Iterable[Alert]) -> list[Alert]:
        """Those of `alerts` that change what the table says, the oldest first.

        Only what was raised can be resolved, under the kind it was raised with. A repeated state is news when it
        happened again later.
        """
        found = []
        for alert in sorted(alerts, key=lambda alert: alert.at):
            trouble = self.troubles.get(alert.key)
            if trouble.is_news(alert) if trouble else alert.state == "raised":
                kind = trouble.alert.kind if trouble and alert.state == "resolved" else alert.kind
                found.append(replace(alert, kind=kind))
                self._follow(Line(found[-1], (), alert.at))
        return found

    def _follow(self, line: Line) -> None:
        self.troubles.setdefault(line.alert.key, Trouble(line.alert, line.alert.at)).follow(line)

    def write(self, lines: Iterable[Line]) -> None:
        """Appends the lines in one commit, with those that could not be written before.

        Raises LakeError where that fails; the lines then stay in memory and count as written while the process lives.
        """
        kept = self._kept()
        kept.extend(lines)
        if not kept:
            return
        self.lake.append(TABLE, pl.DataFrame([line.row() for line in kept], schema=SCHEMA))
        kept.clear()
        self.lake.compact(TABLE)
