"""`automation:`, when what happens by itself."""

from pydantic import Field

from demand_forecast.settings.section import Cron, Section, Timezone


class Automation(Section):
    running: bool = True  # sensors and schedules run from the start; false: once someone starts them in the UI
    timezone: Timezone = "UTC"
    nightly: Cron = "0 1 * * *"
    raw_by: Cron = "0 2 * * *"  # when the day before is to be there
    forecast_by: Cron = "0 6 * * *"
    landing_interval: int = Field(60, ge=1)  # seconds between looks at the sources
    interval: int = Field(30, ge=1)  # seconds between looks at what follows from what was made
    settle_seconds: float = Field(10, ge=0)  # a file that changed within them is still being written
    batch_files: int = Field(500, ge=1)  # new files that one run is requested for
    retry_minutes: float = Field(30, ge=0)  # after which a failed run is requested again; doubled each time
    ledger_lookback: int = Field(60, ge=0)  # days before the newest known one that are compared with the database
    reconcile: Cron = "0 12 * * *"
