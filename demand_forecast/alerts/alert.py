"""An alert: something went wrong or was resolved. Its text may leave the company's machines."""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

CREDENTIALS = re.compile(r"(?<=://)\S+(?=@)|(?<=password=)\S+|(?<=token=)\S+|(?<=secret=)\S+", re.IGNORECASE)
LONGEST = 500  # characters of a foreign text: an error's message, a check's description


@dataclass(frozen=True)
class Alert:
    """Alerts with the same `key` are about the same trouble: a later one repeats or resolves it.

    `at` is when it happened, in UTC; an alert older than the last one with its key is ignored.
    """

    kind: str  # one of those that the sources in defs/automation/alert_sources declare
    subject: str  # the asset, check, run or model
    state: Literal["raised", "resolved"]
    title: str  # one line
    text: str
    link: str
    at: datetime
    key: str

    @property
    def headline(self) -> str:
        return self.title if self.state == "raised" else f"Resolved: {self.title}"


def bundle(alerts: list[Alert]) -> Alert:
    """Merges alerts of one kind and state into one message for people; a single alert is returned unchanged."""
    first = alerts[0]
    if len(alerts) == 1:
        return first
    subjects = ", ".join(alert.subject for alert in alerts)
    text = "\n".join(f"{alert.title}: {alert.text} {alert.link}" for alert in alerts)
    return replace(first, subject=subjects, title=f"{len(alerts)} × {first.kind}: {subjects}", text=text)


def quoted(text: str) -> str:
    """The first line of a foreign text, cut to `LONGEST`, credentials in URLs and connection strings masked."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    line = CREDENTIALS.sub("***", line)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
