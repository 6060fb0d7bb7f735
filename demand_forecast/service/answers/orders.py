"""Orders by the rule of the nightly reorder plan, for the stock and the policy that a client gives."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from demand_forecast.domain.replenishment.policy import reorder_plan
from demand_forecast.service.answers.what_if import numbers_under
from demand_forecast.service.contract.schema import AskedOrder, Change
from demand_forecast.service.state.published_forecast import rounded
from demand_forecast.service.state.served import Served
from demand_forecast.settings import Replenishment

PLACE = "place"  # in the request: one series may be asked about under several policies
POLICY = ("lead_time", "review_period", "service_level")
STOCK = ("on_hand", "on_order")
PLANNED = {"service_level": "service_level_asked"}  # as the overview calls it: there `service_level` is what is reached
GIVEN = dict.fromkeys((*POLICY, *STOCK), pl.Float64)


def orders(served: Served, asked: Sequence[AskedOrder], changes: Sequence[Change] = ()) -> list[dict[str, Any]]:
    """The content of an Order for each of `asked`, in their order; what is not given is as in the nightly plan.

    With `changes` demand is what the model expects under them. Raises Problem 404 for series that are not in the
    forecast, 422 for changes that the model cannot read.
    """
    published, origin = served.published, served.info.forecast_origin
    rows = published.places(asked)
    terms = _terms(served, rows, asked).with_row_index(PLACE)
    values = numbers_under(served, rows, changes) if changes else published.values[rows]
    forecast = published.frame(rows, values).with_columns((pl.row_index() // published.horizon).alias(PLACE))
    plan = reorder_plan(
        forecast,
        terms.select(PLACE, *STOCK, date=pl.lit(origin)),
        Replenishment(),
        served.info.frequency,
        terms.select(PLACE, *POLICY),
        series=[PLACE],
    )
    policies = terms.select(pl.col(POLICY[:2]).cast(pl.Int32), asked_level="service_level")
    found = rounded(pl.concat([plan.drop(PLACE, "forecast_origin"), policies], how="horizontal")).to_dicts()
    keys = ({"store_id": item.store_id, "product_id": item.product_id} for item in asked)
    reasons = (_why(order, order.pop("asked_level"), otherwise=bool(changes)) for order in found)
    return [key | {"why": why} | order for key, why, order in zip(keys, reasons, found, strict=True)]


def _terms(served: Served, rows: list[int], asked: Sequence[AskedOrder]) -> pl.DataFrame:
    """Stock and policy for each of `asked`: as given, else as planned, else as the settings' defaults."""
    given = pl.DataFrame([item.model_dump(include={*GIVEN}) for item in asked], schema=GIVEN)
    planned, usual = served.overview[rows], Replenishment()
    if "stock_known" in planned.columns:
        planned = planned.with_columns(pl.when("stock_known").then(pl.col(STOCK)))
    for name in GIVEN:
        column = PLANNED.get(name, name)
        if column in planned.columns:
            given = given.with_columns(pl.coalesce(name, planned[column].cast(pl.Float64)).alias(name))
    return given.with_columns(pl.col(name).fill_null(getattr(usual, name)) for name in POLICY)


def _why(order: dict[str, Any], level: float, *, otherwise: bool) -> str:
    """The order in words; `level` is the service level asked, `otherwise`: the plan was changed."""
    days = order["lead_time"] + order["review_period"]
    coming = f" and {order['on_order']:,.0f} on order" if order["on_order"] else ""
    stock = f"With {order['on_hand']:,.0f} on hand{coming}, "
    if not order["stock_known"]:
        stock = "No stock is known, so none is counted: "
    planned = " with what is planned otherwise" if otherwise else ""
    text = (
        f"An order now has to last {days} days: {order['lead_time']} until it arrives and {order['review_period']} "
        f"until the next one. {order['expected_demand']:,.1f} units are expected to sell in that time{planned}; "
        f"{order['target_stock']:,.0f} are enough in {level:.0%} of cases. {stock}"
    )
    quantity = order["order_quantity"]
    text += f"{quantity:,.0f} are to be ordered." if quantity else "nothing is to be ordered."
    reached = f" The forecast reaches {order['protection_days']} days only; demand after them is not counted."
    return text + (reached if order["protection_cut"] else "")
