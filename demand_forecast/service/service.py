"""The champion as a web service: `bentoml serve` from the project's root, or the Bento from anywhere."""

import logging
import os
from pathlib import Path
from typing import Any

import bentoml
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse

from demand_forecast.home import Home
from demand_forecast.service.published import HorizonError, PublishedForecast, UnknownSeriesError
from demand_forecast.service.schema import ForecastRequest, ForecastResponse, Problem, ServedModel
from demand_forecast.settings import ENV_PREFIX, ConfigError, Serving, load_settings
from demand_forecast.tracking.package import PackageError, read_package

PACKED = Path(__file__).parents[2] / "package"  # beside the sources inside a Bento
STATUS = {UnknownSeriesError: 404, HorizonError: 422, PackageError: 503, ConfigError: 503}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "a series is not in the forecast; the nearest ids are named"},
    422: {"model": Problem, "description": "the request is not valid"},
    503: {"model": Problem, "description": "no champion yet"},
}

logger = logging.getLogger("bentoml.demand_forecast")
app = FastAPI(
    title="Demand forecast",
    description="The champion's published forecast: expected units and quantiles by store, product and day.",
    openapi_url="/docs.json",
    docs_url=None,
    redoc_url=None,
)


def package_folder() -> Path:
    """`$DEMAND_FORECAST_PACKAGE`, else the package that was packed with these sources, else `<home>/serving`."""
    if given := os.environ.get(f"{ENV_PREFIX}PACKAGE"):
        return Path(given)
    return PACKED if PACKED.is_dir() else Home(load_settings().root).serving


def _serving() -> Serving:
    try:
        return Serving() if PACKED.is_dir() else load_settings().serving
    except ConfigError:
        return Serving()  # the service starts and says on /readyz what is wrong


@bentoml.service(
    name="demand_forecast",
    http={"host": _serving().host, "port": _serving().port},
    traffic={"timeout": 2},  # BentoML keeps every request's objects for this long
    envs=[{"name": "OTEL_SDK_DISABLED", "value": "true"}],
)
@bentoml.asgi_app(app)
class DemandForecast:
    def __init__(self) -> None:
        self._published: PublishedForecast | None = None
        try:
            self.published()
        except (PackageError, ConfigError) as error:
            logger.warning("not ready: %s", error)

    def published(self) -> PublishedForecast:
        """The forecast that is live. Raises PackageError, ConfigError while there is none."""
        if self._published is None:
            self._published = PublishedForecast(read_package(package_folder()))
        return self._published

    def __is_ready__(self) -> bool:
        try:
            self.published()
        except (PackageError, ConfigError) as error:
            raise HTTPException(503, str(error)) from None
        return True

    @app.post("/v1/forecast", response_model=ForecastResponse, responses=PROBLEMS)
    def forecast(self, request: ForecastRequest) -> JSONResponse:
        """Mean and quantiles of up to 1000 series, for the first `horizon` periods after the forecast origin."""
        return JSONResponse(self.published().answer(request))

    @app.get("/v1/model", responses={503: PROBLEMS[503]})
    def model(self) -> ServedModel:
        """What is live, since when, trained on which data, and how good it was."""
        live = self.published()
        return ServedModel(**live.info.model_dump(), horizon=live.horizon, series=len(live.rows))

    @app.get("/", include_in_schema=False)
    def index(self) -> HTMLResponse:
        """The API's own page, from files that BentoML serves: it works offline."""
        assets = "/static_content"
        return get_swagger_ui_html(
            openapi_url="/docs.json",
            title=app.title,
            swagger_js_url=f"{assets}/swagger-ui-bundle.js",
            swagger_css_url=f"{assets}/swagger-ui.css",
            swagger_favicon_url=f"{assets}/favicon-light-32x32.png",
        )


def _problem(_: Request, error: Exception) -> JSONResponse:
    status = next(status for kind, status in STATUS.items() if isinstance(error, kind))
    return JSONResponse({"error": str(error)}, status)


for kind in STATUS:
    app.add_exception_handler(kind, _problem)


@app.exception_handler(RequestValidationError)
def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    if "json" not in request.headers.get("content-type", "json"):
        return JSONResponse({"error": "send the body as JSON: -H 'Content-Type: application/json'"}, 422)
    return JSONResponse({"error": "; ".join(_said(item) for item in error.errors()[:5])}, 422)


def _said(item: dict[str, Any]) -> str:
    if item["type"] == "json_invalid":
        return f"the body is not JSON: {item['ctx']['error']} at character {item['loc'][-1]}"
    place = ".".join(str(part) for part in item["loc"][1:]) or "body"
    return f"{place}: {item['msg'].removeprefix('Value error, ')}"
