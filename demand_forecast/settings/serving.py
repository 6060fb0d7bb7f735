"""`serving:`, the web service and the trial of a challenger."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from demand_forecast.settings.section import Section


class LiveTrial(Section):
    """How a challenger that is not the champion meets live requests."""

    mode: Literal["off", "shadow", "canary"] = "off"  # shadow: its answers are logged, not given
    share: float = Field(0.1, gt=0, lt=1)  # of the series that a canary answers for

    @field_validator("mode", mode="before")
    @classmethod
    def as_written(cls, value: Any) -> Any:
        return "off" if value is False else value  # what YAML makes of off


class Serving(Section):
    host: str = "127.0.0.1"
    port: int = Field(3001, ge=0, le=65535)
    workers: int = Field(1, ge=1, le=64)  # processes; each holds the forecast
    keys_file: Path | None = None  # hashes of API keys; None: keys.json in home
    rate_limit: float = Field(200, gt=0)  # requests a second with one key, in each worker
    rate_burst: int = Field(400, ge=1)  # of them at once
    max_body_bytes: int = Field(1_000_000, ge=1_000)
    timeout_seconds: float = Field(10, gt=0)
    log: bool = True  # answers are written down below home
    trial: LiveTrial = LiveTrial()
