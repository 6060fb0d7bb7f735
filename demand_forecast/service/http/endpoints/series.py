"""GET /v1/series: which series there are."""

from typing import Annotated

import polars as pl
from fastapi import Query, Request, Response
from pydantic import Field, create_model

from demand_forecast.domain.tables import SERIES as KEY
from demand_forecast.domain.watching.attention import OVERVIEW
from demand_forecast.service.contract.columns import example_of, fields_of
from demand_forecast.service.contract.schema import Answer, Asked, NamedSeries
from demand_forecast.service.http.endpoint import get, worker_of
from demand_forecast.service.http.examples import HEAD
from demand_forecast.service.http.responses import respond
from demand_forecast.service.state.published_forecast import rounded
from demand_forecast.service.state.served import SEARCHED

MAX_PAGE = 500


class SeriesQuery(Asked):
    """Which series of the overview, and which page of them."""

    search: Annotated[
        str, Field(max_length=100, description="words, each of which an id or attribute holds", examples=["bakery s1"])
    ] = ""
    store_id: Annotated[str, Field(max_length=200, description="of this store only", examples=["S1"])] = ""
    product_id: Annotated[str, Field(max_length=200, description="of this product only", examples=["B01"])] = ""
    attention: Annotated[bool, Field(description="only those that need attention, the most urgent first")] = False
    reason: Annotated[str, Field(max_length=50, description="with this among their `reasons`", examples=["drift"])] = ""
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE, description="series on a page")] = 50
    offset: Annotated[int, Field(ge=0, le=10_000_000, description="series before the page")] = 0


SeriesItem = create_model(
    "SeriesItem",
    __base__=NamedSeries,
    __doc__="One series as the overview of the night describes it, with the attributes of its product and store; "
    "what is not known is null.",
    __cls_kwargs__={"extra": "allow"},
    **fields_of(OVERVIEW, nullable=True),
)


class SeriesPage(Answer):
    total: Annotated[int, Field(description="series that were found, on all pages")]
    offset: Annotated[int, Field(description="series before this page")]
    series: list[SeriesItem]  # type: ignore[valid-type]


EXAMPLE = {
    **HEAD,
    "total": 28,
    "offset": 0,
    "series": [
        {
            "store_id": "S2",
            "product_id": "V01",
            "department": "Produce",
            "category": "Fruit",
            "region": "Auvergne-Rhône-Alpes",
            "format": "Hyper",
            **example_of(OVERVIEW),
        }
    ],
}


@get("Which series there are", tag="series", response=SeriesPage, example=EXAMPLE)
async def series(request: Request, asked: Annotated[SeriesQuery, Query()]) -> Response:
    """The series of the forecast, page by page: what they are, what to order, and what needs a look."""
    served = worker_of(request).live.arms().champion
    found = _select(served.overview, asked)
    page = rounded(found.slice(asked.offset, asked.limit).drop(SEARCHED)).to_dicts()
    return respond(request, served, {"total": len(found), "offset": asked.offset, "series": page})


def _select(overview: pl.DataFrame, asked: SeriesQuery) -> pl.DataFrame:
    where = [pl.col(SEARCHED).str.contains(word, literal=True) for word in asked.search.lower().split()]
    where += [pl.col(name) == value for name in KEY if (value := getattr(asked, name))]
    if asked.reason:
        known = "reasons" in overview.columns
        where.append(pl.col("reasons").list.contains(asked.reason) if known else pl.lit(value=False))
    found = overview.filter(where) if where else overview
    if not asked.attention or "urgency" not in found.columns:
        return found.head(0) if asked.attention else found
    return found.filter(pl.col("urgency") > 0).sort("urgency", descending=True, maintain_order=True)
