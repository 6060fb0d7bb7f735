"""The ASGI app: the endpoints found in `endpoints/`, their description, and the pages."""

import orjson
from fastapi import FastAPI, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from demand_forecast.service.contract.problems import Problem
from demand_forecast.service.http.endpoint import find_endpoints
from demand_forecast.service.http.errors import handle_errors
from demand_forecast.service.http.json_route import JsonRoute
from demand_forecast.service.http.openapi import described, openapi
from demand_forecast.service.http.pages import add_pages
from demand_forecast.service.state.worker import Worker


def create_api(worker: Worker) -> FastAPI:
    """The app that answers from `worker`; every error is answered with problem details."""
    app = FastAPI(
        title="Demand forecast",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.worker = worker
    app.router.route_class = JsonRoute
    endpoints = find_endpoints()
    for endpoint in endpoints:
        app.add_api_route(endpoint.path, endpoint.function, methods=[endpoint.method], **described(endpoint))

    @app.get("/openapi.json", include_in_schema=False)
    async def document() -> Response:
        return Response(orjson.dumps(app.openapi()), media_type="application/json")

    add_pages(app)
    app.openapi = lambda: openapi(app, endpoints, open_to_all=not len(worker.live.keys))  # type: ignore[method-assign]
    for kind in (Problem, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, handle_errors)
    return app
