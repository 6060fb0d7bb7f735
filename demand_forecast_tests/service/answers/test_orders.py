"""Orders for several policies of one request are those of the nightly rule, each for itself."""

import pytest

from demand_forecast.domain.replenishment.policy import reorder_plan
from demand_forecast.domain.tables import SERIES
from demand_forecast.publishing.package import read_package
from demand_forecast.service.answers.orders import orders
from demand_forecast.service.contract.schema import AskedOrder
from demand_forecast.service.state.served import Served
from demand_forecast.settings import Replenishment
from demand_forecast_tests.served_night import Night

NUMBERS = ("on_hand", "expected_demand", "target_stock", "order_quantity", "expected_stock", "service_level")


@pytest.fixture(scope="module")
def served(night: Night, tmp_path_factory: pytest.TempPathFactory) -> Served:
    folder = tmp_path_factory.mktemp("orders")
    return Served(read_package(folder, night.publish(folder).name))


def test_each_place_of_a_request_has_its_own_policy_and_stock(served: Served, night: Night) -> None:
    keys = served.published.keys
    terms = [(keys[place % 3], float(place), 1 + place % 4, 0.5 + place / 100) for place in range(24)]
    asked = [
        AskedOrder(store_id=store, product_id=product, on_hand=stock, lead_time=lead, service_level=level)
        for (store, product), stock, lead, level in terms
    ]
    for order, (key, stock, lead, level) in zip(orders(served, asked), terms, strict=True):
        assert (order["store_id"], order["product_id"]) == key
        forecast = night.champion.table.filter(store_id=key[0], product_id=key[1])
        reported = forecast.select(*SERIES, "forecast_origin").unique().rename({"forecast_origin": "date"})
        policy = Replenishment(lead_time=lead, service_level=level)
        alone = reorder_plan(forecast, reported.with_columns(on_hand=stock), policy, "daily")
        expected = alone.select(NUMBERS).row(0, named=True)
        assert {name: order[name] for name in NUMBERS} == pytest.approx(expected, rel=1e-5, abs=1e-5)
        assert (order["lead_time"], order["review_period"]) == (lead, policy.review_period)
