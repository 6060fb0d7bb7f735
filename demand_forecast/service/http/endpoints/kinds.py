"""GET /v1/kinds: which kinds of new products there are."""

from typing import Annotated

from fastapi import Request, Response
from pydantic import BaseModel, Field

from demand_forecast.service.contract.schema import Answer
from demand_forecast.service.http.endpoint import get, worker_of
from demand_forecast.service.http.examples import HEAD
from demand_forecast.service.http.responses import respond


class KindOfProduct(BaseModel):
    """What a product is like."""

    attributes: Annotated[dict[str, str | None], Field(description="as products have them together; null: has none")]
    series: Annotated[int | None, Field(description="how many of the forecast are of this kind; null: not known")]


class KindsResponse(Answer):
    """The kinds of new products that can be forecast, each in every one of the stores."""

    stores: list[str]
    kinds: Annotated[list[KindOfProduct], Field(description="the most common first")]


EXAMPLE = {
    **HEAD,
    "stores": ["S1", "S2", "S3"],
    "kinds": [
        {"attributes": {"category": "Vegetables", "department": "Produce"}, "series": 40},
        {"attributes": {"category": "Bread", "department": "Bakery"}, "series": 30},
    ],
}


@get("Which kinds of new products there are", tag="series", response=KindsResponse, example=EXAMPLE)
async def kinds(request: Request) -> Response:
    """What a product that nobody sells yet may be like: the attributes that products on sale have together, the
    most common first. /v1/forecast takes them, for any of the stores."""
    served = worker_of(request).live.arms().champion
    found = [{"attributes": kind.attributes, "series": kind.series} for kind in served.kinds]
    return respond(request, served, {"stores": served.new_product_stores, "kinds": found})
