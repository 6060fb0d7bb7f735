"""An endpoint may use what FastAPI offers, and behaves behind the gateway as FastAPI says."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import httpx
import pytest
from fastapi import BackgroundTasks, Body, Depends, FastAPI, Form, Header, HTTPException, Query, Request, Response
from pydantic import BaseModel

from demand_forecast.service.http.api import create_api
from demand_forecast.service.http.gateway import Gateway
from demand_forecast.service.http.json_route import JsonRoute
from demand_forecast.service.state.keys import KeyRing
from demand_forecast.service.state.live import Live
from demand_forecast.service.state.prediction_log import PredictionLog
from demand_forecast.service.state.worker import Worker
from demand_forecast.settings import Serving

KEYS = KeyRing(None)
done: list[str] = []


class Counted(BaseModel):
    units: int


class UnusualError(Exception):
    pass


@pytest.fixture
def api() -> FastAPI:
    done.clear()
    return create_api(Worker(Live("nothing is published", KEYS), PredictionLog(None)))


async def _no_probes(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError(f"{scope['path']} is not BentoML's")


def ask(api: FastAPI, path: str = "/v1/mine", **asked: Any) -> httpx.Response:
    """What the gateway answers to a POST; `units` is 7 if nothing else is said."""
    asked = asked or {"json": {"units": 7}}

    async def post() -> httpx.Response:
        transport = httpx.ASGITransport(Gateway(api, _no_probes, KEYS, Serving()), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.post(path, **asked)

    return asyncio.run(post())


def doubled(asked: Counted) -> int:
    return 2 * asked.units


async def closing() -> AsyncIterator[str]:
    done.append("opened")
    yield "open"
    done.append("closed")


async def body_read_again(request: Request) -> Any:
    return [await request.json(), (await request.body()).decode()]


def text(value: Any) -> Response:
    return Response(str(value))


async def depends(request: Request, asked: Counted, twice: Annotated[int, Depends(doubled)]) -> Response:
    return text(asked.units + twice)


async def depends_by_default(request: Request, asked: Counted, twice: int = Depends(doubled)) -> Response:
    return text(asked.units + twice)


async def depends_and_closes(request: Request, asked: Counted, state: Annotated[str, Depends(closing)]) -> Response:
    done.append("answered")
    return text(state)


async def reads_again(asked: Counted, request: Request, again: Annotated[Any, Depends(body_read_again)]) -> Response:
    return text(again)


async def query(request: Request, asked: Counted, times: int = 1) -> Response:
    return text(asked.units * times)


async def query_model(request: Request, asked: Annotated[Counted, Query()]) -> Response:
    return text(asked.units)


async def header(request: Request, asked: Counted, accept: Annotated[str, Header()]) -> Response:
    return text(accept)


async def given_response(request: Request, asked: Counted, response: Response) -> dict[str, int]:
    response.headers["x-mine"] = "1"
    return {"units": asked.units}


async def in_the_background(asked: Counted, tasks: BackgroundTasks, request: Request) -> Response:
    tasks.add_task(done.append, "later")
    return text("now")


async def a_model(request: Request, asked: Counted) -> Counted:
    return Counted(units=asked.units + 1)


def not_a_coroutine(request: Request, asked: Counted) -> Response:
    return text(asked.units)


async def body_alone(asked: Counted) -> Response:
    return text(asked.units)


async def optional(request: Request, asked: Counted | None = None) -> Response:
    return text(asked)


async def embedded(request: Request, asked: Annotated[Counted, Body(embed=True)]) -> Response:
    return text(asked.units)


async def form(request: Request, units: Annotated[int, Form()]) -> Response:
    return text(units)


async def app_of_the_request(request: Request, asked: Counted) -> Response:
    return text(request.app.title)


async def raises_http(request: Request, asked: Counted) -> Response:
    raise HTTPException(409, "counted twice", {"X-Mine": "1"})


async def raises_unusual(request: Request, asked: Counted) -> Response:
    raise UnusualError


async def raises_what_nobody_handles(request: Request, asked: Counted) -> Response:
    raise ZeroDivisionError


async def plain(request: Request, asked: Counted) -> Response:
    return text(asked.units)


@pytest.mark.parametrize(
    ("endpoint", "asked", "answered"),
    [
        (depends, {}, "21"),
        (depends_by_default, {}, "21"),
        (depends_and_closes, {}, "open"),
        (reads_again, {}, "[{'units': 7}, '{\"units\":7}']"),
        (query, {"params": {"times": "3"}, "json": {"units": 7}}, "21"),
        (query, {}, "7"),
        (query_model, {"params": {"units": "3"}}, "3"),
        (header, {"json": {"units": 7}, "headers": {"Accept": "text/odd"}}, "text/odd"),
        (given_response, {}, '{"units":7}'),
        (in_the_background, {}, "now"),
        (a_model, {}, '{"units":8}'),
        (not_a_coroutine, {}, "7"),
        (body_alone, {}, "7"),
        (body_alone, {"content": '{"units": 7}', "headers": {"Content-Type": "text/json"}}, "7"),
        (optional, {"content": ""}, "None"),
        (embedded, {"json": {"asked": {"units": 7}}}, "7"),
        (form, {"data": {"units": "7"}}, "7"),
        (app_of_the_request, {}, "Demand forecast"),
        (plain, {}, "7"),
    ],
)
def test_an_endpoint_is_given_what_it_takes(
    api: FastAPI, endpoint: Callable[..., Any], asked: dict[str, Any], answered: str
) -> None:
    api.post("/v1/mine")(endpoint)
    answer = ask(api, **asked)
    assert (answer.status_code, answer.text) == (200, answered)
    if endpoint is given_response:
        assert answer.headers["x-mine"] == "1"
    if endpoint is in_the_background:
        assert done == ["later"]
    if endpoint is depends_and_closes:
        assert done == ["opened", "answered", "closed"]


def test_a_parameter_of_the_path_is_found(api: FastAPI) -> None:
    @api.post("/v1/stores/{store_id}/count")
    async def count(request: Request, store_id: str, asked: Counted) -> Response:
        return text(f"{store_id}: {asked.units}")

    assert ask(api, "/v1/stores/S1/count").text == "S1: 7"


def test_a_dependency_of_the_route_or_the_app_may_refuse(api: FastAPI) -> None:
    def refuse() -> None:
        raise HTTPException(403, "not for you")

    api.post("/v1/mine", dependencies=[Depends(refuse)])(plain)
    refused = ask(api)
    assert (refused.status_code, refused.json()["detail"]) == (403, "not for you")
    api.router.dependencies.append(Depends(refuse))
    api.post("/v1/other")(plain)
    assert ask(api, "/v1/other").status_code == 403


@pytest.mark.parametrize("endpoint", [plain, depends], ids=["called directly", "by FastAPI"])
def test_a_body_is_refused_in_the_same_words_either_way(api: FastAPI, endpoint: Callable[..., Any]) -> None:
    api.post("/v1/mine")(endpoint)
    json_type = {"Content-Type": "application/json"}
    broken, empty = (ask(api, content=content, headers=json_type) for content in ("{", ""))
    assert (broken.status_code, broken.json()["detail"][:22]) == (400, "the body is not JSON: ")
    assert (empty.status_code, empty.json()["detail"][:22]) == (400, "the body is not JSON: ")
    assert ask(api, data={"units": "7"}).status_code == 415
    invalid = ask(api, json={"units": "seven"})
    assert (invalid.status_code, invalid.headers["content-type"]) == (422, "application/problem+json")
    assert invalid.json()["errors"][0]["at"] == "units"
    large = ask(api, content=b"[" + b" " * Serving().max_body_bytes + b"]", headers=json_type)
    assert large.status_code == 413


@pytest.mark.parametrize("by_fastapi", [False, True])
def test_an_error_is_answered_by_the_apps_handler(api: FastAPI, by_fastapi: bool) -> None:
    dependencies = [Depends(closing)] if by_fastapi else []
    for path, endpoint in {"mine": raises_http, "other": raises_unusual, "broken": raises_what_nobody_handles}.items():
        api.post(f"/v1/{path}", dependencies=dependencies)(endpoint)
    api.add_exception_handler(UnusualError, lambda request, error: Response("unusual", 418))
    conflict, unusual, broken = ask(api), ask(api, "/v1/other"), ask(api, "/v1/broken")
    assert (conflict.status_code, conflict.json()["detail"], conflict.headers["x-mine"]) == (409, "counted twice", "1")
    assert (unusual.status_code, unusual.text) == (418, "unusual")
    assert (broken.status_code, broken.json()["title"]) == (500, "Internal Server Error")


def test_middleware_sees_what_is_posted(api: FastAPI) -> None:
    @api.middleware("http")
    async def mark(request: Request, call_next: Callable[[Request], Any]) -> Response:
        answer: Response = await call_next(request)
        answer.headers["x-mine"] = "1"
        return answer

    api.post("/v1/mine")(plain)
    assert ask(api).headers["x-mine"] == "1"


def test_our_own_are_called_without_fastapi(api: FastAPI) -> None:
    """What a request of the benchmarks costs depends on it."""
    posted = [route for route in api.routes if isinstance(route, JsonRoute) and route.methods == {"POST"}]
    assert {route.path for route in posted if route.direct} == {"/v1/forecast", "/v1/what_if", "/v1/reorder"}
    assert all(route.direct for route in posted)
