"""GET /v1/history: what a series sold."""

from datetime import date
from typing import Annotated

from fastapi import Query, Request, Response
from pydantic import Field

from demand_forecast.service.contract.schema import Answer, Asked, NamedSeries, ProductId, SeriesId, StoreId
from demand_forecast.service.http.endpoint import get, worker_of
from demand_forecast.service.http.examples import HEAD, SERIES
from demand_forecast.service.http.responses import respond
from demand_forecast.service.state.published_forecast import rounded


class HistoryQuery(Asked):
    """Whose history, and how much of it."""

    store_id: StoreId
    product_id: ProductId
    periods: Annotated[int, Field(ge=1, le=1000, description="days, weeks or months, the newest")] = 91


class HistoryResponse(Answer, NamedSeries):
    """What was sold, by period, oldest first; where there was nothing to sell, `in_stock` and `open` say so. Units that
    are null are not known, as of a store whose report is late; those without `in_stock` were an exceptional order.
    """

    dates: Annotated[list[date], Field(description="the periods that the other lists are of")]
    units: Annotated[list[float | None], Field(description="sold")]
    price: Annotated[list[float | None], Field(description="asked")]
    in_stock: Annotated[list[float | None], Field(description="share of the opening time with goods there, 0 to 1")]
    open: Annotated[list[bool | None], Field(description="whether the store was open")]


EXAMPLE = {
    **HEAD,
    **SERIES,
    "dates": ["2026-10-02", "2026-10-03", "2026-10-04"],
    "units": [58.0, 116.0, 88.0],
    "price": [1.1, 1.1, 1.1],
    "in_stock": [1.0, 1.0, 1.0],
    "open": [True, True, True],
}


@get("What was sold", tag="series", response=HistoryResponse, example=EXAMPLE, problems=(404,))
async def history(request: Request, asked: Annotated[HistoryQuery, Query()]) -> Response:
    """What a series sold in the last periods before the forecast."""
    served = worker_of(request).live.arms().champion
    key = {"store_id": asked.store_id, "product_id": asked.product_id}
    served.published.places([SeriesId(**key)])
    rows = rounded(served.rows_of("history", [(asked.store_id, asked.product_id)]).tail(asked.periods))
    content = {name: rows[name].to_list() for name in ("units", "price", "in_stock", "open")}
    return respond(request, served, key | {"dates": rows["date"].to_list()} | content)
