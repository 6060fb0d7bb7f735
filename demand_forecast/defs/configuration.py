"""The configuration, opened: read, and every name in it known to the room that it is a name of."""

from pathlib import Path

from demand_forecast.defs.automation.alert_sources.source import check_alert_kinds
from demand_forecast.domain.models import with_candidates
from demand_forecast.settings import Settings, load_settings
from demand_forecast.sources.configured import read_sources


def open_settings(path: str | Path | None = None) -> Settings:
    """The settings, checked beyond their types: models, kinds of source and of alert.

    Raises ConfigError with the key, the file and the nearest known name.
    """
    settings = with_candidates(load_settings(path))
    read_sources(settings)
    check_alert_kinds(settings)
    return settings
