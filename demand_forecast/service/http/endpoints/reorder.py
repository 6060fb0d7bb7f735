"""POST /v1/reorder: what to order."""

from typing import Annotated, Any

from fastapi import Request, Response
from pydantic import Field, create_model

from demand_forecast.domain.replenishment.policy import PLAN, PLAN_KEY
from demand_forecast.service.answers.orders import orders
from demand_forecast.service.contract.columns import example_of, fields_of
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


class OrderPolicy(NamedSeries):
    """The policy that an order follows, and the order in words."""

    lead_time: Annotated[int, Field(description="days between order and delivery")]
    review_period: Annotated[int, Field(description="days between orders")]
    why: Annotated[str, Field(description="the order in words")]


COLUMNS = [column for column in PLAN if column.name not in PLAN_KEY]
Order = create_model(
    "Order",
    __base__=OrderPolicy,
    __doc__="What to order now, and why: `target_stock` less `on_hand` and `on_order`, in whole units, at least zero.",
    **fields_of(COLUMNS, nullable=False),
)


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
            "lead_time": 3,
            "review_period": 7,
            **example_of(COLUMNS),
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
