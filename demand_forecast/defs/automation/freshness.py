"""How old each layer may be before its users are told."""

from datetime import timedelta

import dagster as dg

from demand_forecast.defs.project import SETTINGS

TIMEZONE = SETTINGS.automation.timezone


def _by(deadline: str, lookback: timedelta) -> dg.FreshnessPolicy:
    return dg.FreshnessPolicy.cron(deadline_cron=deadline, lower_bound_delta=lookback, timezone=TIMEZONE)


NIGHT = timedelta(hours=8)
FRESHNESS = {
    "raw": _by("0 4 * * *", NIGHT),
    "clean": _by("30 4 * * *", NIGHT),
    "features": _by("0 5 * * *", NIGHT),
    "models": dg.FreshnessPolicy.time_window(fail_window=timedelta(days=35), warn_window=timedelta(days=30)),
    "evaluation": dg.FreshnessPolicy.time_window(fail_window=timedelta(days=35), warn_window=timedelta(days=30)),
    "forecasts": _by("0 6 * * *", NIGHT),
    "serving": _by("0 6 * * *", NIGHT),
    "monitoring": _by("0 7 * * *", NIGHT),
}
