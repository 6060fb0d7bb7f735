"""Whether sensors and schedules run from the start, or wait until someone starts them."""

import dagster as dg

from demand_forecast.defs.project import SETTINGS

RUNNING = SETTINGS.automation.running
SENSORS = dg.DefaultSensorStatus.RUNNING if RUNNING else dg.DefaultSensorStatus.STOPPED
SCHEDULES = dg.DefaultScheduleStatus.RUNNING if RUNNING else dg.DefaultScheduleStatus.STOPPED
