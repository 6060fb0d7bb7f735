"""What `/openapi.json` says of the API, and what it takes from the declarations of its paths."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from demand_forecast.service.contract.problems import MEANING, MEDIA_TYPE
from demand_forecast.service.contract.schema import ForecastRequest, ProblemDetails, ReorderRequest, WhatIfRequest
from demand_forecast.service.http import examples

JSON = "application/json"
TEMPLATE = "#/components/schemas/{model}"
DESCRIPTION = (
    "The published forecast of the live model, and what it says of other plans: units by store, product and day, with "
    "quantiles. Dates are days (weeks' Mondays at weekly frequency). Errors are problem details (RFC 9457)."
)
TAGS = [
    {"name": "planning", "description": "What will sell, what would sell otherwise, and what to order."},
    {"name": "series", "description": "What is forecast, and what was sold."},
    {"name": "model", "description": "What is live, and why."},
]
KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key made by `demand-forecast keys add NAME`. While there is none, this machine itself may ask "
    "without.",
}
EVERYWHERE, WITH_BODY = (401, 413, 429, 500, 503), (400, 404, 408, 415, 422)
REQUEST_ID = {
    "X-Request-Id": {
        "description": "names the request in the service's log",
        "schema": {"type": "string"},
        "example": examples.REQUEST_ID,
    }
}
RETRY_AFTER = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}, "example": 1}}
HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"description": "`Bearer`", "schema": {"type": "string"}, "example": "Bearer"}},
    429: RETRY_AFTER,
    503: RETRY_AFTER,
}


def described(
    name: str, summary: str, tag: str, answered: type[BaseModel], *problems: int, asked: type[BaseModel] | None = None
) -> dict[str, Any]:
    """The path `/v1/<name>` and what is said of it, as FastAPI's decorators take it.

    `problems` are the statuses beyond those that every path has, or every path with a body. The body, of the shape
    `asked`, is read by hand, once, from the bytes that came; so FastAPI is not told of it.
    """
    path = f"/v1/{name}"
    answer = {"model": answered, "headers": REQUEST_ID}
    statuses = sorted({*EVERYWHERE, *(WITH_BODY if asked else ()), *problems})
    return {
        "path": path,
        "operation_id": name,
        "summary": summary,
        "tags": [tag],
        "response_model": None,
        "responses": {200: answer, **{status: _problem(status, path) for status in statuses}},
        "openapi_extra": {"requestBody": _body(name, asked)} if asked else {},
    }


def openapi(app: FastAPI, *, open_to_all: bool) -> dict[str, Any]:
    """The document; `open_to_all`: no key was made, so none is asked for on this machine."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=DESCRIPTION, tags=TAGS, routes=app.routes
        )
        models = [(model, "validation") for model in (ForecastRequest, WhatIfRequest, ReorderRequest, ProblemDetails)]
        _, more = models_json_schema(models, ref_template=TEMPLATE)  # type: ignore[arg-type]
        components = schema["components"]
        components["schemas"] = dict(sorted((components["schemas"] | more["$defs"]).items()))
        components["securitySchemes"] = {"key": KEY}
        for unused in ("HTTPValidationError", "ValidationError"):  # FastAPI's own shape of a 422
            components["schemas"].pop(unused, None)
        for operation in (operation for methods in schema["paths"].values() for operation in methods.values()):
            content = operation["responses"]["200"]["content"][JSON]
            content["example"] = examples.ANSWERED[operation["operationId"]]  # FastAPI would leave nulls out of it
        app.openapi_schema = schema
    return app.openapi_schema | {"security": [{"key": []}, *([{}] if open_to_all else [])]}


def _body(name: str, asked: type[BaseModel]) -> dict[str, Any]:
    shown = {said: {"summary": said, "value": value} for said, value in examples.ASKED[name].items()}
    return {"required": True, "content": {JSON: {"schema": _reference(asked), "examples": shown}}}


def _problem(status: int, path: str) -> dict[str, Any]:
    example = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": examples.DETAILS[status],
        "instance": path,
        "request_id": examples.REQUEST_ID,
        **examples.MORE.get(status, {}),
    }
    return {
        "description": MEANING[status],
        "headers": REQUEST_ID | HEADERS.get(status, {}),
        "content": {MEDIA_TYPE: {"schema": _reference(ProblemDetails), "example": example}},
    }


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": TEMPLATE.format(model=model.__name__)}
