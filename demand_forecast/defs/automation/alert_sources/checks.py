"""Failed asset checks, read as state."""

from typing import TYPE_CHECKING, ClassVar

from demand_forecast.alerts.alert import Alert, quoted
from demand_forecast.defs.automation.alert_sources.source import StateSource, Watched
from demand_forecast.defs.check_results import CheckResult, last_results

if TYPE_CHECKING:
    import dagster as dg
    from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph

KIND = {"ERROR": "check_failed", "WARN": "check_warning"}  # by severity


class Checks(StateSource):
    name = "check"
    kinds: ClassVar = {
        "check_failed": "an asset check failed; a blocking one has stopped what follows it",
        "check_warning": "an asset check failed that only warns",
    }

    def keys(self, graph: "BaseAssetGraph") -> set[str]:
        return set(map(self._key_of, graph.asset_check_keys))

    def state(self, watched: Watched) -> list[Alert]:
        keys = watched.graph.asset_check_keys if watched.graph else set()
        return [self._of_check(check, found, watched) for check, found in last_results(watched.instance, keys)]

    def _key_of(self, check: "dg.AssetCheckKey") -> str:
        return self.key(check.asset_key.to_user_string(), check.name)

    def _of_check(self, check: "dg.AssetCheckKey", found: CheckResult, watched: Watched) -> Alert:
        return Alert(
            KIND[found.severity],
            subject=f"{found.asset}:{found.check}",
            state="resolved" if found.passed else "raised",
            title=f"Check {found.check} of {found.asset} {'passes again' if found.passed else 'failed'}",
            text=quoted(found.text) or "The check says no more.",
            link=f"{watched.page_of(check.asset_key)}?view=checks&checkDetail={found.check}",
            at=found.at,
            key=self._key_of(check),
        )
