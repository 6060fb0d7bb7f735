"""Assets older than their freshness policy allows, as the freshness daemon last found them; read as state."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from demand_forecast.alerts.alert import Alert
from demand_forecast.defs.automation.alert_sources.source import StateSource, Watched

if TYPE_CHECKING:
    import dagster as dg
    from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
    from dagster._core.definitions.freshness import FreshnessStateRecord

LOST = {  # kind and title, by the state that Dagster gives it
    "FAIL": ("freshness_lost", "is not fresh any more"),
    "WARN": ("freshness_warning", "will soon not be fresh any more"),
}


class Freshness(StateSource):
    name = "freshness"
    kinds: ClassVar = {
        "freshness_lost": "an asset was not made by the time that its freshness policy gives it",
        "freshness_warning": "that time is near, and the asset was not made",
    }

    def keys(self, graph: "BaseAssetGraph") -> set[str]:
        return {self.key(asset.to_user_string()) for asset in _policies(graph)}

    def state(self, watched: Watched) -> list[Alert]:
        policies = _policies(watched.graph) if watched.graph else {}
        records = watched.instance.get_freshness_state_records(list(policies))
        lost = [asset for asset, record in records.items() if record.freshness_state.value in LOST]
        entries = [record.asset_entry for record in watched.instance.get_asset_records(lost)] if lost else []
        made = {entry.asset_key: entry.last_materialization for entry in entries}
        return [self._of_asset(one, policies[key], made.get(key), watched) for key, one in records.items()]

    def _of_asset(
        self,
        found: "FreshnessStateRecord",
        policy: "dg.FreshnessPolicy",
        last: "dg.EventLogEntry | None",
        watched: Watched,
    ) -> Alert:
        name = found.entity_key.to_user_string()
        lost = LOST.get(found.freshness_state.value)
        kind, title = lost or ("freshness_lost", "is fresh again")
        made = f"Last made {datetime.fromtimestamp(last.timestamp, UTC):%Y-%m-%d %H:%M} UTC; " if last else ""
        return Alert(
            kind,
            subject=name,
            state="raised" if lost else "resolved",
            title=f"{name} {title}",
            text=f"{made}wanted {_schedule(policy)}.",
            link=watched.page_of(found.entity_key),
            at=found.updated_at,
            key=self.key(name),
        )


def _policies(graph: "BaseAssetGraph") -> dict["dg.AssetKey", "dg.FreshnessPolicy"]:
    policies = {key: graph.get(key).freshness_policy for key in graph.get_all_asset_keys()}
    return {key: policy for key, policy in policies.items() if policy is not None}


def _schedule(policy: "dg.FreshnessPolicy") -> str:
    from dagster._core.definitions.freshness import CronFreshnessPolicy, TimeWindowFreshnessPolicy

    if isinstance(policy, CronFreshnessPolicy):
        return f"by {policy.deadline_cron} ({policy.timezone}), made at most {policy.lower_bound_delta} before"
    if isinstance(policy, TimeWindowFreshnessPolicy):
        return f"every {policy.fail_window.to_timedelta()}"
    return "as its freshness policy says"
