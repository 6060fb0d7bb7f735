"""POST /v1/reorder: what to order."""

from typing import Annotated, Any

from fastapi import Request, Response
from pydantic import Field

from demand_forecast.service.answers.orders import orders
from demand_forecast.service.contract.schema import (
    MAX_COMPUTED,
    Answer,
    Asked,
    AskedOrder,
    Changes,
    NamedSeries,
)
from demand_forecast.service.http.endpoint import post, worker_of
from demand_forecast.service.http.examples import HEAD, REDUCED, SERIES
from demand_forecast.service.http.responses import respond


class ReorderRequest(Asked):
    """Which series, with which stock and policy, and what is planned otherwise than the plan says."""

    series: Annotated[list[AskedOrder], Field(min_length=1, max_length=MAX_COMPUTED)]
    changes: Changes = []


class Order(NamedSeries):
    """What to order now, and why: `target_stock` less `on_hand` and `on_order`, in whole units, at least zero."""

    lead_time: Annotated[int, Field(description="days between order and delivery")]
    review_period: Annotated[int, Field(description="days between orders")]
    protection_days: Annotated[int, Field(description="days until the next order but one arrives: lead + review")]
    expected_demand: Annotated[float, Field(description="expected units over the protection days")]
    target_stock: Annotated[float, Field(description="demand over the protection days at the service level asked")]
    on_hand: Annotated[float, Field(description="units in the store that were counted")]
    on_order: Annotated[float, Field(description="units ordered and not yet here that were counted")]
    stock_known: Annotated[bool, Field(description="false: no stock report, none given; counted as 0")]
    order_quantity: Annotated[float, Field(description="units to order")]
    expected_stock: Annotated[float, Field(description="expected units left at the end of the protection days")]
    service_level: Annotated[float, Field(description="probability that the stock after the order lasts")]
    protection_cut: Annotated[bool, Field(description="the forecast is shorter than lead time plus review period")]
    why: Annotated[str, Field(description="the same in words")]


class ReorderResponse(Answer):
    orders: Annotated[list[Order], Field(description="one for each series asked, in the same order")]


BODIES: dict[str, dict[str, Any]] = {
    "As planned by night": {"series": [SERIES]},
    "With a stock and a policy of one's own": {
        "series": [{**SERIES, "on_hand": 735, "on_order": 0, "lead_time": 3, "review_period": 7, "service_level": 0.95}]
    },
    "For two days at a lower price, promoted": {"series": [SERIES], "changes": [REDUCED]},
}
EXAMPLE = {
    **HEAD,
    "orders": [
        {
            **SERIES,
            "why": "An order now has to last 10 days: 3 until it arrives and 7 until the next one. 959.2 units are "
            "expected to sell in that time; 1,064 are enough in 95% of cases. With 735 on hand, 329 are to be "
            "ordered.",
            "on_hand": 735.0,
            "on_order": 0.0,
            "stock_known": True,
            "lead_time": 3,
            "review_period": 7,
            "protection_days": 10,
            "protection_cut": False,
            "expected_demand": 959.2474,
            "target_stock": 1064.0,
            "order_quantity": 329.0,
            "expected_stock": 104.7526,
            "service_level": 0.9514657,
        }
    ],
}


@post("What to order", tag="planning", response=ReorderResponse, example=EXAMPLE, bodies=BODIES)
async def reorder(request: Request, asked: ReorderRequest) -> Response:
    """What to order now for up to 100 series, with the stock and the policy given; the rest as planned by night.

    With `changes` the order is for what would sell under them.
    """
    worker = worker_of(request)
    served = worker.live.arms().champion
    found = await worker.queue.run(lambda: orders(served, asked.series, asked.changes))
    return respond(request, served, {"orders": found})
