"""Rollbacks in the promotion ledger, read as events."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from demand_forecast.alerts.alert import Alert, quoted
from demand_forecast.defs.automation.alert_sources.source import EventSource, Watched
from demand_forecast.domain.tables import now
from demand_forecast.tracking.ledger import PromotionLedger


class Rollbacks(EventSource):
    """A rollback is resolved by the next promotion."""

    name = "rollback"
    kinds: ClassVar = {"rollback": "the champion was taken back; over at the next promotion"}
    position = "decided"  # the last decision, in seconds since 1970

    def start(self, watched: Watched) -> float:  # noqa: ARG002
        return now().timestamp()

    def events(self, watched: Watched, after: float) -> tuple[list[Alert], float]:
        taken_back: list[Mapping[str, Any]] = []
        found: list[Alert] = []
        for line in PromotionLedger(watched.project.lake).rows():
            if line["decision"] == "rolled_back":
                taken_back.append(line)
                found.append(self._of_rollback(line, line, "raised", watched.ui))
            elif line["decision"] == "promoted":
                found.extend(self._of_rollback(old, line, "resolved", watched.ui) for old in taken_back)
                taken_back.clear()
        new = [alert for alert in found if alert.at > datetime.fromtimestamp(after, UTC)]
        return new, max([after, *(alert.at.timestamp() for alert in new)])

    def _of_rollback(
        self, rollback: Mapping[str, Any], line: Mapping[str, Any], state: Literal["raised", "resolved"], ui: str
    ) -> Alert:
        change = f"version {rollback['from_version']} to {rollback['to_version']}"
        again = f"version {line['to_version']} promoted after a rollback ({change})"
        return Alert(
            "rollback",
            subject=f"model version {line['to_version']}",
            state=state,
            title=f"Champion taken back: {change}" if state == "raised" else again,
            text="\n".join(map(quoted, str(line["reasons"]).splitlines())),
            link=f"{ui}/assets/promoted_model",
            at=line["decided_at"],
            key=self.key(rollback["decided_at"].isoformat()),
        )
