"""`/openapi.json`: FastAPI's description of the endpoints, with examples and problems."""

from collections.abc import Sequence
from http import HTTPStatus
from inspect import signature
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from demand_forecast.service.contract.problems import MEANING, MEDIA_TYPE, ProblemDetails
from demand_forecast.service.http import examples
from demand_forecast.service.http.endpoint import Endpoint
from demand_forecast.service.http.json_route import JsonRoute

JSON = "application/json"
TEMPLATE = "#/components/schemas/{model}"
DESCRIPTION = (
    "The published forecast of the live model, and what it says of other plans: units by store, product and day, with "
    "quantiles. A date is a day, or the one by which the retailer's own data name a week or month. Errors "
    "are problem details (RFC 9457)."
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


def described(endpoint: Endpoint) -> dict[str, Any]:
    """What FastAPI is told of an endpoint besides its path and its function."""
    return {
        "operation_id": endpoint.name,
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "response_model": None,
        "responses": {
            200: {"model": endpoint.response, "headers": REQUEST_ID},
            **{status: _problem(status, endpoint.path) for status in _problems(endpoint)},
        },
    }


def openapi(app: FastAPI, endpoints: Sequence[Endpoint], *, open_to_all: bool) -> dict[str, Any]:
    """The document; `open_to_all`: no key was made, so none is asked for on this machine."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=DESCRIPTION, tags=TAGS, routes=app.routes
        )
        components = schema["components"]
        components["schemas"] = dict(sorted((components["schemas"] | _schemas(app)).items()))
        components["securitySchemes"] = {"key": KEY}
        for endpoint in endpoints:
            _add_examples(schema["paths"][endpoint.path][endpoint.method.lower()], endpoint)
        app.openapi_schema = schema
    return app.openapi_schema | {"security": [{"key": []}, *([{}] if open_to_all else [])]}


def _schemas(app: FastAPI) -> dict[str, Any]:
    """Those of the bodies and of problems as pydantic writes them; FastAPI's own forget which defaults are null."""
    models: list[type[BaseModel]] = [ProblemDetails]
    models += [model for route in app.routes if isinstance(route, JsonRoute) and (model := route.body_model)]
    _, schemas = models_json_schema([(model, "validation") for model in models], ref_template=TEMPLATE)
    return dict(schemas["$defs"])


def _add_examples(operation: dict[str, Any], endpoint: Endpoint) -> None:
    """Adds them to what FastAPI has made: on their way through it they would lose their nulls."""
    operation["responses"]["200"]["content"][JSON]["example"] = endpoint.example
    if endpoint.bodies:
        shown = {title: {"summary": title, "value": value} for title, value in endpoint.bodies.items()}
        operation["requestBody"]["content"][JSON]["examples"] = shown


def _problems(endpoint: Endpoint) -> list[int]:
    """The statuses of its problems, sorted; 422 for whatever takes more than the request itself."""
    posted = WITH_BODY if endpoint.method == "POST" else ()
    taken = (422,) if len(signature(endpoint.function).parameters) > 1 else ()
    return sorted({*EVERYWHERE, *posted, *taken, *endpoint.problems})


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
        "content": {MEDIA_TYPE: {"schema": {"$ref": TEMPLATE.format(model="ProblemDetails")}, "example": example}},
    }
