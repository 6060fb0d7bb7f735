"""The whole of `config.yaml`."""

from datetime import date
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, PrivateAttr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from demand_forecast.settings.alerts import Alerts
from demand_forecast.settings.automation import Automation
from demand_forecast.settings.cleaning import Cleaning
from demand_forecast.settings.covariates import Covariates
from demand_forecast.settings.monitoring import Monitoring
from demand_forecast.settings.periods import Month, Week
from demand_forecast.settings.promotion import Promotion
from demand_forecast.settings.replenishment import Replenishment
from demand_forecast.settings.section import Owner
from demand_forecast.settings.serving import Serving
from demand_forecast.settings.sources import Source
from demand_forecast.settings.training import Backtest, Training

DEFAULT_CONFIG = "config.yaml"
ENV_PREFIX = "DEMAND_FORECAST_"
HORIZONS = {"daily": 28, "weekly": 13, "monthly": 6}  # periods ahead where horizon: is not said


class Settings(BaseSettings):
    """What `config.yaml` says. Paths in it are relative to the file."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True)

    home: Path = Path(".demand_forecast")
    name: str = "demand"
    frequency: Literal["daily", "weekly", "monthly"] = "daily"
    week: Week = Week()
    month: Month = Month()
    horizon: int = Field(default_factory=lambda given: HORIZONS.get(given.get("frequency", ""), 28), ge=1, le=365)
    missing_day: Literal["no_sale", "closed"] = "no_sale"
    history_start: date | None = None  # rows before are rejected; None: the first day in the sources
    seed: int = 7
    owners: list[Owner] = ["team:demand-forecast"]
    source: Source | None = None
    sources: list[Source] = []
    removed_sources: dict[str, Literal["kept", "withdrawn"]] = {}  # what is not configured any more: whether it counts
    covariates: Covariates = Covariates()
    cleaning: Cleaning = Cleaning()
    training: Training = Training()
    backtest: Backtest = Backtest()
    promotion: Promotion = Promotion()
    replenishment: Replenishment = Replenishment()
    automation: Automation = Automation()
    alerts: Alerts = Alerts()
    monitoring: Monitoring = Monitoring()
    serving: Serving = Serving()
    tracking_uri: str | None = None  # None: SQLite under home

    _path: Path = PrivateAttr(default=Path(DEFAULT_CONFIG))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings

    @model_validator(mode="after")
    def some_source(self) -> Self:
        if (self.source is None) == (not self.sources):
            raise ValueError("give either source: or sources:")
        return self

    @property
    def all_sources(self) -> list[Source]:
        return [self.source] if self.source else self.sources

    @property
    def path(self) -> Path:
        """The configuration file that these settings were read from."""
        return self._path

    def resolve(self, path: str | Path) -> Path:
        """`path` as the configuration file means it: relative to the file's folder."""
        return (self._path.parent / path).resolve()

    @property
    def root(self) -> Path:
        """The home folder, absolute."""
        return self.resolve(self.home)
