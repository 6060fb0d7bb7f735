"""How old each layer may be, and the check that expected days of sales have arrived."""

from datetime import timedelta

import dagster as dg
import polars as pl

from demand_forecast.defs.automation.status import SCHEDULES
from demand_forecast.defs.project import SETTINGS, Project, all_closed_days
from demand_forecast.domain.demand.expected_days import LOOKED_BACK, OWED, missing_days

AUTOMATION = SETTINGS.automation


def _by(deadline: str, lookback: timedelta) -> dg.FreshnessPolicy:
    return dg.FreshnessPolicy.cron(deadline_cron=deadline, lower_bound_delta=lookback, timezone=AUTOMATION.timezone)


def _within(fail: timedelta, warn: timedelta) -> dg.FreshnessPolicy:
    return dg.FreshnessPolicy.time_window(fail_window=fail, warn_window=warn)


NIGHT = timedelta(hours=20)  # what was made in the evening before counts
MODELS = timedelta(days=SETTINGS.monitoring.retrain.max_age_days)
FRESHNESS = {
    "raw": _by(AUTOMATION.raw_by, NIGHT),
    "clean": _by(AUTOMATION.raw_by, NIGHT),
    "features": _by(AUTOMATION.forecast_by, NIGHT),
    "models": _within(MODELS, 0.9 * MODELS),
    "evaluation": _within(MODELS, 0.9 * MODELS),
    "forecasts": _by(AUTOMATION.forecast_by, NIGHT),
    "serving": _by(AUTOMATION.forecast_by, NIGHT),
    "monitoring": _within(timedelta(hours=36), timedelta(hours=26)),
}
TRAINED_WITH_MODELS = {"demand_features"}


def policy_of(spec: dg.AssetSpec) -> dg.FreshnessPolicy | None:
    """The freshness policy of an asset; None for raw days: a backfilled old day would make them look fresh."""
    if spec.partitions_def:
        return None
    trained = spec.key.to_user_string() in TRAINED_WITH_MODELS
    return FRESHNESS.get("models" if trained else spec.group_name or "")


@dg.asset_check(
    asset="raw_sales",
    description="Every closed day of the last fortnight on which there usually are sales has some. It asks for the "
    "days themselves: an old day that is collected again does not make up for the newest.",
)
def expected_days_have_arrived(project: Project) -> dg.AssetCheckResult:
    closed = all_closed_days()[1]
    calendar = project.calendar
    since = calendar.ahead(closed, -3) if calendar.totals else closed - LOOKED_BACK - OWED
    days = project.lake.scan("raw_sales").filter(pl.col("day") > since).select(pl.col("day").unique()).collect()["day"]
    newest = project.lake.newest("raw_sales", "day")
    missing = missing_days(days, closed, calendar) if len(days) else [closed]
    named = ", ".join(map(str, missing[-7:])) + (f" and {len(missing) - 7} before" if len(missing) > 7 else "")
    return dg.AssetCheckResult(
        passed=not missing,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"without sales: {named}; the newest day is {newest}" if missing else f"all days to {closed}",
        metadata={"newest_day": str(newest), "missing": len(missing)},
    )


arrival_watch = dg.define_asset_job(
    "arrival_watch",
    selection=dg.AssetSelection.checks(expected_days_have_arrived),
    description="Checks whether the expected days of sales have arrived.",
)
raw_deadline = dg.ScheduleDefinition(
    name="raw_deadline",
    job=arrival_watch,
    cron_schedule=AUTOMATION.raw_by,
    execution_timezone=AUTOMATION.timezone,
    default_status=SCHEDULES,
    description="At the raw data deadline: checks whether the expected days have arrived.",
)
