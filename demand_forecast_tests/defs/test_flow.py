"""What is made by itself after a clean day, on the real definitions, as Dagster's daemon evaluates them."""

from collections.abc import Iterator

import dagster as dg
import pytest

from demand_forecast.definitions import defs
from demand_forecast.defs.automation.flow import condition_of

CHAIN = {
    *("daily_demand", "forecast_features", "group_forecast", "demand_forecast", "published_forecasts", "reorder_plan"),
    *("forecast_service", "forecast_accuracy", "drift_report", "retrain_decision", "champion_review"),
    *("series_overview", "served_predictions", "trial_review"),
}
CLEAN = ("clean_products", "clean_stores", "clean_plan", "clean_stock", "clean_sales", "rejected_sales")


class Night:
    """All assets have been made, all checks have passed, and the conditions have been evaluated once."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.definitions, self.instance, self.cursor = defs(), instance, None
        graph = self.definitions.resolve_asset_graph()
        self.blocking = [key for key in graph.asset_check_keys if graph.get(key).blocking]
        self.make(*(key.to_user_string() for key in graph.toposorted_asset_keys))
        self.asked()

    def make(self, *names: str, failing: str = "") -> None:
        for name in names:
            self.instance.report_runless_asset_event(dg.AssetMaterialization(name))
            for check in (key for key in self.blocking if key.asset_key.to_user_string() == name):
                passed = check.name != failing
                said = dg.AssetCheckEvaluation(asset_key=check.asset_key, check_name=check.name, passed=passed)
                self.instance.report_runless_asset_event(said)

    def asked(self) -> set[str]:
        result = dg.evaluate_automation_conditions(self.definitions, instance=self.instance, cursor=self.cursor)
        self.cursor = result.cursor
        graph = self.definitions.resolve_asset_graph()
        automated = [key for key in graph.get_all_asset_keys() if graph.get(key).automation_condition]
        return {key.to_user_string() for key in automated if result.get_num_requested(key)}


@pytest.fixture
def night() -> Iterator[Night]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Night(instance)


def test_a_clean_day_flows_to_the_end_in_one_go_and_once(night: Night) -> None:
    assert night.asked() == set()
    night.make(*CLEAN)
    assert night.asked() == CHAIN
    assert night.asked() == set(), "requested once"


@pytest.mark.parametrize("check", ["every_row_accounted_for", "newest_day_is_mostly_clean", "clean_sales_contract"])
def test_a_failed_blocking_check_stops_what_is_behind_it(night: Night, check: str) -> None:
    night.make(*CLEAN, failing=check)
    assert night.asked() == set()
    night.make("clean_sales")
    assert night.asked() == CHAIN


def test_nothing_is_forecast_on_a_broken_panel(night: Night) -> None:
    night.make("daily_demand", failing="volume_is_usual")
    assert night.asked() == set()


def test_a_new_champion_forecasts_again(night: Night) -> None:
    night.make("promoted_model")
    assert {"demand_forecast", "reorder_plan", "forecast_service"} <= night.asked()


def test_nothing_that_trains_or_collects_starts_by_itself() -> None:
    graph = defs().resolve_asset_graph()
    automated = {key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).automation_condition}
    assert automated == CHAIN
    assert condition_of(dg.AssetSpec("demand_features", group_name="features")) is None
