"""Declarative automation: a new clean day flows to features, forecast, orders and monitoring the same night."""

import dagster as dg

from demand_forecast.defs.automation.jobs import PROVING
from demand_forecast.defs.automation.status import SENSORS
from demand_forecast.defs.project import SETTINGS

GROUPS = ("features", "forecasts", "serving", "monitoring")
CLEAN = dg.AssetSelection.groups("clean")

# Clean tables are followed by daily_demand alone: what is behind it would go ahead of it otherwise. Training may go on
# for hours beside the nights, which do not wait for it.
_UPDATED = dg.AutomationCondition.any_deps_updated()
_READY = (
    ~dg.AutomationCondition.any_deps_missing()
    & ~dg.AutomationCondition.any_deps_in_progress().ignore(PROVING)
    & dg.AutomationCondition.all_deps_blocking_checks_passed().ignore(PROVING)
    & ~dg.AutomationCondition.in_progress()
)
FROM_CLEAN = (_UPDATED.since_last_handled() & _READY).with_label("follows_the_clean_tables")
ONWARDS = (_UPDATED.ignore(CLEAN).since_last_handled() & _READY).with_label("follows_what_it_is_made_of")


def condition_of(spec: dg.AssetSpec) -> dg.AutomationCondition | None:
    """The automation condition of an asset; None where only jobs make it."""
    if spec.key.to_user_string() == "daily_demand":
        return FROM_CLEAN
    return ONWARDS if spec.group_name in GROUPS and spec.key.to_user_string() != "demand_features" else None


flow = dg.AutomationConditionSensorDefinition(
    "flow",
    target=dg.AssetSelection.groups(*GROUPS) - PROVING,
    default_status=SENSORS,
    minimum_interval_seconds=SETTINGS.automation.interval,
    description="Makes what follows from a new clean day, in one run; stops where a blocking check has failed.",
)
