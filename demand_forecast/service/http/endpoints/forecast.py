"""POST /v1/forecast: what will sell."""

from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any

from fastapi import Request, Response
from pydantic import Field

from demand_forecast.service.answers.new_products import cold_start
from demand_forecast.service.contract.problems import Problem
from demand_forecast.service.contract.schema import (
    MAX_COMPUTED,
    MAX_SERIES,
    Answer,
    AskedSeries,
    ForecastOptions,
    SeriesForecast,
)
from demand_forecast.service.http.endpoint import post, worker_of
from demand_forecast.service.http.examples import DATES, FORECAST, HEAD, SERIES
from demand_forecast.service.http.responses import respond, shadow_line
from demand_forecast.service.state.model_queue import ModelQueue
from demand_forecast.service.state.served import Served


class ForecastRequest(ForecastOptions):
    """Which series, how many periods ahead (all that are published when not said), and which quantiles."""

    series: Annotated[list[AskedSeries], Field(min_length=1, max_length=MAX_SERIES)]


class ForecastResponse(Answer):
    dates: Annotated[list[date], Field(description="the periods that the numbers of each forecast are of, in order")]
    forecasts: Annotated[list[SeriesForecast], Field(description="one for each series asked, in the same order")]


BODIES: dict[str, dict[str, Any]] = {
    "The next three days of a product": {"series": [SERIES], "horizon": 3, "quantiles": [0.1, 0.5, 0.9]},
    "A product that nobody sells yet": {
        "series": [{"store_id": "S1", "product_id": "B99", "attributes": {"department": "Bakery"}, "price": 2.49}]
    },
}
EXAMPLE = {**HEAD, "dates": DATES, "forecasts": [FORECAST]}


@post("What will sell", tag="planning", response=ForecastResponse, example=EXAMPLE, bodies=BODIES)
async def forecast(request: Request, asked: ForecastRequest) -> Response:
    """Mean and quantiles of up to 1000 series, for the first `horizon` periods after the forecast origin.

    A product that is not in the forecast is answered from its `attributes`, if they are given: what the model
    expects of a new product like it from its first day on, marked by `cold_start`.
    """
    worker = worker_of(request)
    arms = worker.live.arms()
    published, levels = arms.champion.published, asked.quantiles
    horizon = published.periods(asked.horizon)
    computed = await _new_products(arms.champion, asked, horizon, worker.queue)
    keys = [(item.store_id, item.product_id) for item in asked.series]
    found = [arms.forecast(key, horizon, levels) if key in published.rows else next(computed) for key in keys]
    if challenger := arms.shadow:
        worker.log.put(lambda: shadow_line(request.state.request_id, challenger, keys, horizon, levels))
    return respond(request, arms.champion, {"dates": published.dates[:horizon], "forecasts": found}, worker.log)


async def _new_products(
    served: Served, asked: ForecastRequest, horizon: int, queue: ModelQueue
) -> Iterator[dict[str, Any]]:
    """The forecasts of those series that are not published, in their order. Raises Problem 404, 422, 503."""
    known = served.published.rows
    new = [item for item in asked.series if (item.store_id, item.product_id) not in known]
    if not new:
        return iter(())
    if any(item.attributes is None for item in new):
        raise served.published.unknown(item for item in new if item.attributes is None)
    if len(new) > MAX_COMPUTED:
        raise Problem(422, f"series: {len(new)} new products; ask for at most {MAX_COMPUTED} at once")
    return iter(await queue.run(lambda: cold_start(served, new, horizon, asked.quantiles)))
