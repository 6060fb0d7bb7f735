"""Waits for files that have only just landed."""

import time

from demand_forecast.settings import Settings
from demand_forecast.sources.configured import named_sources
from demand_forecast.sources.kind import LandingKind


def wait_until_settled(settings: Settings) -> None:
    """Waits until no landing file is still being written, at most `automation.settle_seconds`.

    Raises ConfigError and SourceError where the configuration cannot be followed.
    """
    patience = settings.automation.settle_seconds
    landing = [source for _, source in named_sources(settings) if isinstance(source, LandingKind)]
    files = (file for source in landing for file in source.landed(settings) if file.is_file())
    newest = max((file.stat().st_ctime for file in files), default=0.0)
    time.sleep(min(patience, max(0.0, newest + patience - time.time())))
