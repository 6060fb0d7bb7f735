"""How an endpoint is declared: a module of `endpoints/` with a function marked by `get` or `post`.

The module's name is the path, `/v1/<name>`. In it stand the models of the request and of the answer, examples of both,
and the function that answers; /openapi.json, /docs, the gateway and the metrics follow from that.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Literal

from fastapi import Request, Response
from pydantic import BaseModel

from demand_forecast.service.http import endpoints
from demand_forecast.service.state.worker import Worker

Function = Callable[..., Awaitable[Response]]
Example = dict[str, Any]


@dataclass(frozen=True)
class Endpoint:
    """The function that answers under `path`, and what /openapi.json says of it.

    `tag` is one of TAGS in openapi.py; `bodies` are examples of what is posted, by what they show; `problems` are the
    statuses beyond those that all endpoints have, or all that are posted to or take parameters.
    """

    method: Literal["GET", "POST"]
    function: Function
    summary: str
    tag: str
    response: type[BaseModel]
    example: Example
    bodies: Mapping[str, Example]
    problems: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.function.__module__.rpartition(".")[2]

    @property
    def path(self) -> str:
        return f"/v1/{self.name}"


def get(
    summary: str, *, tag: str, response: type[BaseModel], example: Example, problems: tuple[int, ...] = ()
) -> Callable[[Function], Endpoint]:
    """Marks the function that answers GET /v1/<name of its module>; see Endpoint."""
    return lambda function: Endpoint("GET", function, summary, tag, response, example, {}, problems)


def post(
    summary: str,
    *,
    tag: str,
    response: type[BaseModel],
    example: Example,
    bodies: Mapping[str, Example],
    problems: tuple[int, ...] = (),
) -> Callable[[Function], Endpoint]:
    """Marks the function that answers POST /v1/<name of its module>; see Endpoint."""
    return lambda function: Endpoint("POST", function, summary, tag, response, example, bodies, problems)


def find_endpoints() -> list[Endpoint]:
    """The endpoint of each module in `endpoints/`, by name. Raises TypeError for a module that has none or several."""
    return [_endpoint_of(f"{endpoints.__name__}.{module.name}") for module in iter_modules(endpoints.__path__)]


def _endpoint_of(module: str) -> Endpoint:
    found = [value for value in vars(import_module(module)).values() if isinstance(value, Endpoint)]
    if len(found) != 1:
        raise TypeError(f"{module}: {len(found)} functions are marked by `get` or `post`; a path needs exactly one")
    return found[0]


def worker_of(request: Request) -> Worker:
    """What the app that the request came to answers from."""
    worker: Worker = request.app.state.worker
    return worker
