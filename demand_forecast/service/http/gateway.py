"""The way in: every request passes here, before the API and BentoML's own routes.

BentoML's middlewares stay behind it, for its own routes alone: its timeout holds every request in memory until it has
run out, its metrics make a label of every path that anyone asks for, and together they cost more than an answer.
"""

import asyncio
import itertools
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache, lru_cache
from inspect import isawaitable
from ipaddress import ip_address
from typing import Any

from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route

from demand_forecast.service.contract.problems import Problem
from demand_forecast.service.http.json_route import Direct, JsonRoute
from demand_forecast.service.state.keys import KeyRing
from demand_forecast.settings import Serving

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

GET, HEAD = "GET", "HEAD"
BENTOML = {"/livez", "/readyz", "/healthz", "/metrics"}
GONE = 499  # counted if the client disconnected before its request was complete
ANYBODY = 4096  # keys or addresses that are remembered
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
]

logger = logging.getLogger("bentoml.demand_forecast")


class Gateway:
    """An ASGI app: `api` behind keys, limits and security headers; `bentoml` for its probes and metrics.

    Endpoints that need nothing of FastAPI's are called without it, see JsonRoute; if middleware was added to `api`,
    none is.
    """

    def __init__(self, api: FastAPI, bentoml: App, keys: KeyRing, settings: Serving) -> None:
        self.api, self.bentoml, self.keys, self.settings = api, bentoml, keys, settings
        self._endpoints = {route.path for route in api.routes if isinstance(route, Route)}
        self._direct = {} if api.user_middleware else _direct(api)
        self._ids = itertools.count()
        self._process = secrets.token_hex(6)
        self._rates = Rates(settings.rate_limit, settings.rate_burst)
        self._count, self._seconds = _metrics()
        self._counts: dict[tuple[str, int], Any] = {}
        self._times: dict[str, Any] = {}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in BENTOML):
            await self.bentoml(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _answer(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        request_id = f"{self._process}{next(self._ids):08x}"
        headers = dict(scope["headers"])
        exchange = _Exchange(receive, send, request_id, self.settings.max_body_bytes)
        scope.update(state={"request_id": request_id, "began": began}, app=self.api)
        try:
            exchange.expect(headers)
            if scope["path"].startswith("/v1/"):
                self._admit(scope, headers)
            async with asyncio.timeout(self.settings.timeout_seconds):
                if direct := self._direct.get((scope["method"], scope["path"])):
                    answer = await direct(Request(scope, exchange.receive))  # type: ignore[arg-type]
                    await answer(scope, exchange.receive, exchange.send)
                else:
                    # uvicorn leaves the body out of the answer to a HEAD
                    asked = {**scope, "method": GET} if scope["method"] == HEAD else scope
                    await self.api(asked, exchange.receive, exchange.send)
        except ClientDisconnect:
            exchange.status = exchange.status or GONE
        except Exception as error:
            await self._answer_error(error, scope, exchange)
        endpoint = scope["path"] if scope["path"] in self._endpoints else "other"
        self._measure(endpoint, exchange.status, time.perf_counter() - began)

    def _admit(self, scope: MutableMapping[str, Any], headers: dict[bytes, bytes]) -> None:
        """Raises Problem 401 if a key is needed and missing or unknown, 429 if it is used too often."""
        scheme, _, text = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        name = self.keys.name_of(text.strip()) if scheme.lower() == "bearer" and text else None
        if name is None:
            if text or not self._is_open(scope, headers):
                reason = "the key is not known or has expired" if text else "a key is needed"
                detail = f"{reason}: send Authorization: Bearer <key>; keys are made by `demand-forecast keys add NAME`"
                raise Problem(401, detail, headers={"WWW-Authenticate": "Bearer"})
            return
        if wait := self._rates.wait(name):
            raise Problem(
                429,
                f"more than {self.settings.rate_limit:g} requests a second with key {name}",
                headers={"Retry-After": str(int(wait) + 1)},
            )

    def _is_open(self, scope: MutableMapping[str, Any], headers: dict[bytes, bytes]) -> bool:
        """Whether no key is needed: there is none, and the request can only come from this machine."""
        if len(self.keys) or self.keys.trouble or b"x-forwarded-for" in headers or b"forwarded" in headers:
            return False
        ends = [address[0] if address else "" for address in (scope.get("client"), scope.get("server"))]
        # another Host is a foreign page whose name was pointed at this machine (DNS rebinding)
        return all(map(_is_loopback, [*ends, _host(headers.get(b"host", b"").decode("latin-1"))]))

    async def _answer_error(self, error: Exception, scope: MutableMapping[str, Any], exchange: "_Exchange") -> None:
        """Answers with the handler that `api` has for such an error, else with a problem, unless the answer began."""
        kinds = (getattr(error, "status_code", None), *type(error).__mro__)
        handlers = self.api.exception_handlers
        handler = next((handlers[kind] for kind in kinds if kind in handlers and kind is not Exception), None)
        if handler is None and not isinstance(error, TimeoutError):
            logger.error("request %s failed", exchange.request_id, exc_info=error)
        if exchange.status:
            return  # the server closes the connection before the answer's end
        if handler is None:
            answer = self._problem(error, exchange).answer(scope["path"], exchange.request_id)
        else:
            found = handler(Request(scope, exchange.receive), error)  # type: ignore[arg-type]
            answer = await found if isawaitable(found) else found
        await answer(scope, exchange.receive, exchange.send)  # type: ignore[arg-type]

    def _problem(self, error: Exception, exchange: "_Exchange") -> Problem:
        if not isinstance(error, TimeoutError):
            return Problem(500, f"an error of the service; its log has it under {exchange.request_id}")
        within = f"within {self.settings.timeout_seconds:g} seconds"
        if exchange.arrived:
            return Problem(503, f"not done {within}", headers={"Retry-After": "5"})
        return Problem(408, f"the request did not arrive {within}")

    def _measure(self, endpoint: str, status: int, seconds: float) -> None:
        key = (endpoint, status)
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = self._count.labels(endpoint, str(status))
            self._times[endpoint] = self._seconds.labels(endpoint)
        count.inc()
        self._times[endpoint].observe(seconds)


class _Exchange:
    """One request and its answer as they pass: limits the body, completes the headers."""

    def __init__(self, receive: Receive, send: Send, request_id: str, max_body: int) -> None:
        self._receive, self._send, self.request_id, self._left = receive, send, request_id, max_body
        self._max = max_body
        self.status = 0
        self.arrived = False

    def expect(self, headers: dict[bytes, bytes]) -> None:
        """Raises Problem 413 if the request's head announces too large a body."""
        length = headers.get(b"content-length", b"0")
        self.arrived = length == b"0" and b"transfer-encoding" not in headers
        if length.isdigit() and int(length) > self._max:
            raise self._too_large()

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise self._too_large()
            self.arrived = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message["headers"], (b"x-request-id", self.request_id.encode()), *HEADERS]
            if not self.arrived:
                headers.append((b"connection", b"close"))  # what is left of the request is not read
            message["headers"] = headers
        await self._send(message)

    def _too_large(self) -> Problem:
        return Problem(413, f"the body is larger than {self._max:,} bytes; ask for fewer series at once")


class Rates:
    """A token bucket per name: `rate` requests a second on average, `burst` at once. Each worker counts for itself."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.burst, self._clock = rate, burst, clock
        self._full_at: dict[str, float] = {}

    def wait(self, name: str) -> float:
        """Counts one request; returns 0, or the seconds to wait if there are too many."""
        now = self._clock()
        full_at = max(self._full_at.get(name, 0.0), now) + 1 / self.rate
        if (over := full_at - now - self.burst / self.rate) > 0:
            return over
        if len(self._full_at) > ANYBODY:
            self._full_at = {known: at for known, at in self._full_at.items() if at > now}
        self._full_at[name] = full_at
        return 0.0


@cache
def _metrics() -> tuple[Any, Any]:
    """The process's counter of requests by endpoint and status, and its histogram of seconds by endpoint."""
    from prometheus_client import Counter, Histogram  # once BentoML has said where several workers count

    count = Counter("demand_forecast_requests", "Requests answered.", ("endpoint", "status"))
    seconds = Histogram(
        "demand_forecast_request_seconds",
        "Time from the request's head to the answer's end.",
        ("endpoint",),
        buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    )
    return count, seconds


def _direct(api: FastAPI) -> dict[tuple[str, str], Direct]:
    """What can be called without FastAPI, by method and path."""
    routes = [route for route in api.routes if isinstance(route, JsonRoute)]
    found = [(route, answer) for route in routes if (answer := route.direct)]
    return {(method, route.path): answer for route, answer in found for method in route.methods or ()}


@lru_cache(ANYBODY)
def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _host(header: str) -> str:
    """The name in a Host header, without its port."""
    return header[1:].partition("]")[0] if header.startswith("[") else header.partition(":")[0]
