"""GET /v1/plan: what is planned for a series."""

from datetime import date
from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field

from demand_forecast.service.answers.plan import plan_of
from demand_forecast.service.contract.schema import Answer, Asked, NamedSeries, ProductId, SeriesId, StoreId
from demand_forecast.service.http.endpoint import get, worker_of
from demand_forecast.service.http.examples import DATES, HEAD, SERIES
from demand_forecast.service.http.responses import respond


class PlanQuery(Asked):
    """Whose plan."""

    store_id: StoreId
    product_id: ProductId


class PlanResponse(Answer, NamedSeries):
    """What the forecast of a series was told of its days; what is not planned is null."""

    dates: Annotated[list[date], Field(description="the periods that the other lists are of")]
    price: list[float | None]
    numbers: Annotated[dict[str, list[float | None]], Field(description="covariates that are numbers, by name")]
    events: Annotated[dict[str, list[str | None]], Field(description="covariates that name an event, by name")]
    expected_open: Annotated[list[float], Field(description="share of the day: as planned, else as usual")]


EXAMPLE = {
    **HEAD,
    **SERIES,
    "dates": DATES,
    "price": [1.1, 1.1, 0.9],
    "numbers": {"on_promotion": [0.0, 0.0, 1.0], "school_holiday": [0.0, 0.0, 0.0], "open": [None, None, None]},
    "events": {"holiday": [None, None, None]},
    "expected_open": [1.0, 1.0, 1.0],
}


@get("What is planned", tag="series", response=PlanResponse, example=EXAMPLE, problems=(404,))
async def plan(request: Request, asked: Annotated[PlanQuery, Query()]) -> Response:
    """What is planned for the days of a series' forecast: price, promotions, opening, events."""
    served = worker_of(request).live.arms().champion
    return respond(request, served, plan_of(served, SeriesId(**asked.model_dump())))
