"""An alert: what went wrong or came right again, in words that may leave the company's machines."""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

CREDENTIALS = re.compile(r"(?<=://)\S+(?=@)|(?<=password=)\S+|(?<=token=)\S+|(?<=secret=)\S+", re.IGNORECASE)
LONGEST = 500  # characters of a foreign text: an error's message, a check's description


@dataclass(frozen=True)
class Alert:
    """`key` names the trouble: of alerts with one key the second is the first's repetition or its end.

    `at` is when it happened, in UTC; what happened earlier than the key's last alert is no news.
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
    """One alert that says what several of one kind and state say, for people; a single one stays as it is."""
    first = alerts[0]
    if len(alerts) == 1:
        return first
    subjects = ", ".join(alert.subject for alert in alerts)
    said = "\n".join(f"{alert.title}: {alert.text} {alert.link}" for alert in alerts)
    return replace(first, subject=subjects, title=f"{len(alerts)} × {first.kind}: {subjects}", text=said)


def quoted(text: str) -> str:
    """The first line of a foreign text, cut to LONGEST, without the credentials in its URLs and connection strings."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    line = CREDENTIALS.sub("***", line)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
