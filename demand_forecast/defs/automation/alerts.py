"""The sensor that tells people: gathers what is wrong or right again, and hands it to the alert channels."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

import dagster as dg

from demand_forecast.alerts.alert import Alert, quoted
from demand_forecast.alerts.dispatch import dispatch
from demand_forecast.alerts.log import AlertLog
from demand_forecast.defs.automation.alert_sources import (
    ended_runs,
    failed_checks,
    lost_freshness,
    rollbacks,
    withdrawn,
)
from demand_forecast.defs.automation.status import SENSORS
from demand_forecast.defs.project import SETTINGS, Project
from demand_forecast.domain.tables import now
from demand_forecast.tracking.ledger import PromotionLedger


@dataclass(frozen=True)
class Seen:
    """The sensor's cursor. What was before `since` is history and alerts nobody; times are seconds since 1970."""

    since: float
    event: int  # the last run status change that was looked at
    decided: float  # up to when the promotion ledger was looked at

    @classmethod
    def nothing(cls, instance: dg.DagsterInstance) -> "Seen":
        start = now().timestamp()
        return cls(start, instance.event_log_storage.get_maximum_record_id() or 0, start)


@dg.sensor(
    minimum_interval_seconds=SETTINGS.automation.interval,
    default_status=SENSORS,
    description="Tells the channels under `alerts:` of failed runs, failed checks, lost freshness and rollbacks, once "
    "each, and when they are over. The lake table alerts has them all.",
)
def alerts(context: dg.SensorEvaluationContext, project: Project) -> dg.SkipReason:
    if context.cursor is None:
        context.update_cursor(json.dumps(asdict(Seen.nothing(context.instance))))
        return dg.SkipReason("Alerts begin now: what was before is history.")
    found, seen = gather(context, project, Seen(**json.loads(context.cursor)))
    project.home.root.mkdir(parents=True, exist_ok=True)
    settings = project.settings.alerts
    said = dispatch(found, settings, project.lake, project.home.alerts_lock, context.log)
    context.update_cursor(json.dumps(asdict(seen)))
    return dg.SkipReason(f"{len(said.news)} alerts are news; {said.sent} sent, {said.waiting} waiting.")


def gather(context: dg.SensorEvaluationContext, project: Project, seen: Seen) -> tuple[list[Alert], Seen]:
    """What every source has to say, and the cursor after it. A source that fails is logged and read again next time."""
    instance, ui = context.instance, project.settings.alerts.ui.rstrip("/")
    graph = context.repository_def.asset_graph if context.repository_def else None
    since = datetime.fromtimestamp(seen.since, UTC)
    found: list[Alert] = []

    def runs() -> list[Alert]:
        nonlocal seen
        alerts, last = ended_runs(instance, seen.event, ui)
        seen = replace(seen, event=last)
        return alerts

    def ledger() -> list[Alert]:
        nonlocal seen
        alerts = rollbacks(PromotionLedger(project.lake).rows(), datetime.fromtimestamp(seen.decided, UTC), ui)
        seen = replace(seen, decided=max([seen.decided, *(alert.at.timestamp() for alert in alerts)]))
        return alerts

    sources: dict[str, Callable[[], list[Alert]]] = {"runs": runs, "promotion ledger": ledger}
    if graph is not None:
        sources |= {
            "checks": lambda: failed_checks(instance, graph.asset_check_keys, since, ui),
            "freshness": lambda: lost_freshness(instance, graph, since, ui),
            "withdrawn": lambda: withdrawn(AlertLog(project.lake).open(), graph),
        }
    for name, source in sources.items():
        try:
            found += source()
        except Exception as error:
            context.log.warning(f"alerts: {name}: {type(error).__name__}: {quoted(str(error))}; read again next time")
    return found, seen
