"""The API: what each path takes and answers. `/openapi.json` describes it, `/docs` shows it."""

from collections.abc import Iterator
from typing import Annotated, Any

import orjson
import polars as pl
from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from demand_forecast.domain.tables import SERIES
from demand_forecast.service.answers.orders import orders
from demand_forecast.service.answers.what_if import cold_start, plan_of, planned, what_if
from demand_forecast.service.contract.problems import Problem
from demand_forecast.service.contract.schema import (
    MAX_COMPUTED,
    ForecastRequest,
    ForecastResponse,
    HistoryQuery,
    HistoryResponse,
    KindsResponse,
    LogState,
    PlanQuery,
    PlanResponse,
    ReorderRequest,
    ReorderResponse,
    SeriesId,
    SeriesPage,
    SeriesQuery,
    ServedModel,
    TriedOut,
    WhatIfRequest,
    WhatIfResponse,
)
from demand_forecast.service.http.exchange import handle_errors, read, respond, shadow_line
from demand_forecast.service.http.openapi import described, openapi
from demand_forecast.service.http.pages import add_pages
from demand_forecast.service.state.arms import Arms
from demand_forecast.service.state.model_queue import ModelQueue
from demand_forecast.service.state.published import readable
from demand_forecast.service.state.served import SEARCHED, Served
from demand_forecast.service.state.worker import Worker


def create_api(worker: Worker) -> FastAPI:
    """The ASGI app. Errors that clients cause are raised as Problem."""
    app = FastAPI(
        title="Demand forecast",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    _answering(app, worker)
    _looking(app, worker)
    _telling(app, worker)

    @app.get("/openapi.json", include_in_schema=False)
    async def document() -> Response:
        return Response(orjson.dumps(app.openapi()), media_type="application/json")

    add_pages(app)
    app.openapi = lambda: openapi(app, open_to_all=not len(worker.live.keys))  # type: ignore[method-assign]
    for kind in (Problem, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, handle_errors)
    return app


def _answering(app: FastAPI, worker: Worker) -> None:
    """What is posted."""

    @app.post(**described("forecast", "What will sell", "planning", ForecastResponse, asked=ForecastRequest))
    async def forecast(request: Request) -> Response:
        """Mean and quantiles of up to 1000 series, for the first `horizon` periods after the forecast origin.

        A product that is not in the forecast is answered from its `attributes`, if they are given: what the model
        expects of a new product like it from its first day on, marked by `cold_start`.
        """
        asked = await read(request, ForecastRequest)
        arms = worker.live.arms()
        published, levels = arms.champion.published, asked.quantiles
        horizon = published.periods(asked.horizon)
        made = await _made(arms.champion, asked, horizon, worker.queue)
        keys = [(item.store_id, item.product_id) for item in asked.series]
        found = [arms.forecast(key, horizon, levels) if key in published.rows else next(made) for key in keys]
        if challenger := arms.shadow:
            worker.log.put(lambda: shadow_line(request.state.request_id, challenger, keys, horizon, levels))
        return respond(request, arms.champion, {"dates": published.dates[:horizon], "forecasts": found}, worker.log)

    @app.post(**described("what_if", "What would sell otherwise", "planning", WhatIfResponse, asked=WhatIfRequest))
    async def answer_what_if(request: Request) -> Response:
        """What the model expects of up to 100 series if price, promotions or events were other than planned.

        With no `changes` it is the published forecast.
        """
        asked = await read(request, WhatIfRequest)
        arms = worker.live.arms()
        published = arms.champion.published
        published.places(asked.series)
        found = await worker.queue.run(
            lambda: arms.each(asked.series, lambda served, part: what_if(served, part, asked))
        )
        dates = published.dates[: published.periods(asked.horizon)]
        return respond(request, arms.champion, {"dates": dates, "forecasts": found}, worker.log)

    @app.post(**described("reorder", "What to order", "planning", ReorderResponse, asked=ReorderRequest))
    async def reorder(request: Request) -> Response:
        """What to order now for up to 100 series, with the stock and the policy given; the rest as planned by night.

        With `changes` the order is for what would sell under them.
        """
        asked = await read(request, ReorderRequest)
        served = worker.live.arms().champion
        found = await worker.queue.run(lambda: orders(served, asked.series, asked.changes))
        return respond(request, served, {"orders": found})


def _looking(app: FastAPI, worker: Worker) -> None:
    """What is only looked at."""

    @app.get(**described("series", "Which series there are", "series", SeriesPage, 422))
    async def series(request: Request, asked: Annotated[SeriesQuery, Query()]) -> Response:
        """The series of the forecast, page by page: what they are, what to order, and what needs a look."""
        served = worker.live.arms().champion
        found = _select(served.overview, asked)
        page = readable(found.slice(asked.offset, asked.limit).drop(SEARCHED)).to_dicts()
        return respond(request, served, {"total": len(found), "offset": asked.offset, "series": page})

    @app.get(**described("history", "What was sold", "series", HistoryResponse, 404, 422))
    async def history(request: Request, asked: Annotated[HistoryQuery, Query()]) -> Response:
        """What a series sold in the last periods before the forecast."""
        served = worker.live.arms().champion
        key = {"store_id": asked.store_id, "product_id": asked.product_id}
        served.published.places([SeriesId(**key)])
        rows = readable(served.rows_of("history", [(asked.store_id, asked.product_id)]).tail(asked.periods))
        content = {name: rows[name].to_list() for name in ("units", "price", "in_stock", "open")}
        return respond(request, served, key | {"dates": rows["date"].to_list()} | content)

    @app.get(**described("plan", "What is planned", "series", PlanResponse, 404, 422))
    async def plan(request: Request, asked: Annotated[PlanQuery, Query()]) -> Response:
        """What is planned for the days of a series' forecast: price, promotions, opening, events."""
        served = worker.live.arms().champion
        return respond(request, served, plan_of(served, SeriesId(**asked.model_dump())))

    @app.get(**described("kinds", "Which kinds of new products there are", "series", KindsResponse))
    async def kinds(request: Request) -> Response:
        """What a product that nobody sells yet may be like: the attributes that products on sale have together, the
        most common first. /v1/forecast takes them, for any of the stores."""
        served = worker.live.arms().champion
        found = [{"attributes": kind.attributes, "series": kind.series} for kind in served.kinds]
        return respond(request, served, {"stores": served.new_in, "kinds": found})


def _telling(app: FastAPI, worker: Worker) -> None:
    """What is live."""

    @app.get(**described("model", "What is live", "model", ServedModel))
    async def live_model() -> Response:
        """What is live, since when, trained on which data, how good it was, and what it may be asked."""
        arms, log = worker.live.arms(), worker.log
        served = arms.champion
        state = LogState(written=log.folder is not None and log.reason is None, lost=log.lost, reason=log.reason)
        said = ServedModel(
            **served.info.model_dump(),
            package=served.name,
            horizon=served.published.horizon,
            series=len(served.published.rows),
            planned=planned(served.model.contract),
            attributes=served.product_attributes,
            prediction_log=state,
            refused=worker.live.refused,
            trial=_tried(arms),
        )
        return Response(said.model_dump_json(), media_type="application/json")


async def _made(served: Served, asked: ForecastRequest, horizon: int, queue: ModelQueue) -> Iterator[dict[str, Any]]:
    """The forecasts of those series that are not published, in their order. Raises Problem 404, 422."""
    known = served.published.rows
    new = [item for item in asked.series if (item.store_id, item.product_id) not in known]
    if not new:
        return iter(())
    if any(item.attributes is None for item in new):
        raise served.published.unknown(item for item in new if item.attributes is None)
    if len(new) > MAX_COMPUTED:
        raise Problem(422, f"series: {len(new)} new products; ask for at most {MAX_COMPUTED} at once")
    return iter(await queue.run(lambda: cold_start(served, new, horizon, asked.quantiles)))


def _tried(arms: Arms) -> TriedOut | None:
    if arms.challenger is None or arms.trial is None:
        return None
    info = arms.challenger.info
    return TriedOut(
        package=arms.challenger.name,
        model=info.model,
        model_version=info.model_version,
        mode=arms.trial.mode,
        share=arms.trial.share,
    )


def _select(overview: pl.DataFrame, asked: SeriesQuery) -> pl.DataFrame:
    where = [pl.col(SEARCHED).str.contains(word, literal=True) for word in asked.search.lower().split()]
    where += [pl.col(name) == value for name in SERIES if (value := getattr(asked, name))]
    if asked.reason:
        known = "reasons" in overview.columns
        where.append(pl.col("reasons").list.contains(asked.reason) if known else pl.lit(value=False))
    found = overview.filter(where) if where else overview
    if not asked.attention or "urgency" not in found.columns:
        return found.head(0) if asked.attention else found
    return found.filter(pl.col("urgency") > 0).sort("urgency", descending=True, maintain_order=True)
