"""`alerts:`, the channels that alerts are sent to."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from demand_forecast.settings.section import Section


class Channel(Section):
    """Where alerts are sent: a `webhook` takes JSON, `slack` Slack's messages, `email` mail."""

    kind: Literal["webhook", "slack", "email"]
    name: str = ""  # as logs and the table alerts call it; left out: the kind
    only: list[str] = []  # the kinds of alert that are sent (docs/alerts.md); none: all
    url: Annotated[str, Field(pattern="^https?://")] | None = Field(None, repr=False)  # may be a secret as a whole
    host: str | None = None
    port: int = Field(587, ge=1, le=65535)
    tls: Literal["starttls", "ssl", "none"] = "starttls"
    user: str | None = None
    password: str | None = Field(None, repr=False)
    sender: str | None = Field(None, alias="from")
    to: list[str] = []

    @model_validator(mode="after")
    def complete(self) -> Self:
        required = {"email": {"host": self.host, "from": self.sender, "to": self.to}}.get(self.kind, {"url": self.url})
        for key, value in required.items():
            if not value:
                raise ValueError(f"kind {self.kind} needs {key}:")
        return self

    @property
    def label(self) -> str:
        return self.name or self.kind


class Alerts(Section):
    channels: list[Channel] = []
    repeat_hours: float = Field(24, gt=0)  # an alert that is still raised is sent again after as many hours
    ui: str = "http://127.0.0.1:3000"  # where links in alerts lead: the Dagster UI as its readers reach it

    @field_validator("channels")
    @classmethod
    def distinct(cls, channels: list[Channel]) -> list[Channel]:
        labels = [channel.label for channel in channels]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"two channels are called {label}; give each a name:")
        return channels
