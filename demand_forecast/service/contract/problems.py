"""Errors as clients see them, all in one shape: problem details (RFC 9457)."""

from http import HTTPStatus
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, Field
from starlette.responses import Response

from demand_forecast.service.contract.schema import NamedSeries

MEDIA_TYPE = "application/problem+json"
MEANING = {
    400: "the body is not JSON",
    401: "no key, or one that is not known: send `Authorization: Bearer <key>`",
    404: "a series that is not in the forecast; the nearest ids are named",
    405: "the path has no such method",
    408: "the request did not arrive in time",
    413: "the body is too large",
    415: "the body is sent as something else than JSON",
    422: "the request is not valid; `errors` says where",
    429: "too many requests with this key; `Retry-After` says when to come again",
    500: "a defect of the service; its log has the request id",
    503: "nothing is live yet, or too much is asked at once",
}


class Problem(Exception):  # noqa: N818  the RFC's word
    """Raised wherever a request cannot be answered: status, detail for the client, further members, headers."""

    def __init__(
        self, status: int, detail: str, more: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.more, self.headers = status, detail, more or {}, headers or {}

    def answer(self, instance: str, request_id: str) -> Response:
        """The response; `instance` is the path that was asked."""
        content = {"type": "about:blank", "title": HTTPStatus(self.status).phrase, "status": self.status}
        content |= {"detail": self.detail, "instance": instance, "request_id": request_id} | self.more
        return Response(orjson.dumps(content), self.status, self.headers, MEDIA_TYPE)


class InvalidField(BaseModel):
    """What is wrong with a request, and where."""

    at: Annotated[str, Field(examples=["series.0.product_id"])]
    what: Annotated[str, Field(examples=["Field required"])]


class UnknownSeries(NamedSeries):
    """A series that is not in the forecast, and the known ids nearest to it."""

    nearest_stores: Annotated[list[str], Field(description="where the store is not known")] = []
    nearest_products: Annotated[list[str], Field(description="of the store, where that is known")] = []


class ProblemDetails(BaseModel):
    """Problem details for HTTP APIs, RFC 9457."""

    type: Annotated[str, Field(examples=["about:blank"])]
    title: Annotated[str, Field(description="the status in words", examples=["Not Found"])]
    status: int
    detail: Annotated[str, Field(description="what is wrong, where, and what to do")]
    instance: Annotated[str, Field(description="the path that was asked", examples=["/v1/forecast"])]
    request_id: Annotated[str, Field(description="to find it in the service's log")]
    errors: Annotated[list[InvalidField], Field(description="with status 422: the first of them")] = []
    unknown: Annotated[list[UnknownSeries], Field(description="with status 404: the first of them")] = []
