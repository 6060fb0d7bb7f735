"""The sensor that reads every alert source and sends alerts to the channels."""

import json

import dagster as dg

from demand_forecast.alerts.alert import Alert, quoted
from demand_forecast.alerts.dispatch import dispatch
from demand_forecast.defs.automation.alert_sources.source import (
    SINCE,
    SOURCES,
    Cursor,
    Watched,
)
from demand_forecast.defs.automation.status import SENSORS
from demand_forecast.defs.project import SETTINGS, Project
from demand_forecast.domain.tables import now


@dg.sensor(
    minimum_interval_seconds=SETTINGS.automation.interval,
    default_status=SENSORS,
    description="Sends failed runs, failed checks, lost freshness and rollbacks to the channels under `alerts:`, once "
    "each, and again when they are resolved. The lake table alerts has them all.",
)
def alerts(context: dg.SensorEvaluationContext, project: Project) -> dg.SkipReason:
    cursor = json.loads(context.cursor) if context.cursor else {SINCE: now().timestamp()}
    graph = context.repository_def.asset_graph if context.repository_def else None
    found, cursor = gather(context, Watched(project, context.instance, graph), cursor)
    project.home.root.mkdir(parents=True, exist_ok=True)
    sent = dispatch(found, project.settings.alerts, project.lake, project.home.alerts_lock, context.log)
    context.update_cursor(json.dumps(cursor))
    return dg.SkipReason(f"{len(sent.news)} alerts are news; {sent.sent} sent, {sent.waiting} waiting.")


def gather(context: dg.SensorEvaluationContext, watched: Watched, cursor: Cursor) -> tuple[list[Alert], Cursor]:
    """The alerts of every source, and the new cursor. A source that fails is logged and read again at the next tick."""
    found: list[Alert] = []
    for source in SOURCES:
        try:
            alerts, moved = source.read(watched, cursor)
        except Exception as error:
            text = f"{type(error).__name__}: {quoted(str(error))}"
            context.log.warning(f"alerts: {source.name}: {text}; read again next time")
        else:
            found, cursor = found + alerts, {**cursor, **moved}
    return found, cursor
