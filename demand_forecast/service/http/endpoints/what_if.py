"""POST /v1/what_if: what would sell under another plan."""

from datetime import date
from typing import Annotated, Any

from fastapi import Request, Response
from pydantic import Field

from demand_forecast.service.answers.what_if import what_if
from demand_forecast.service.contract.schema import (
    MAX_COMPUTED,
    Answer,
    Changes,
    ForecastOptions,
    SeriesForecast,
    SeriesId,
)
from demand_forecast.service.http.endpoint import post, worker_of
from demand_forecast.service.http.examples import DATES, FORECAST, HEAD, REDUCED, SERIES
from demand_forecast.service.http.responses import respond


class WhatIfRequest(ForecastOptions):
    """Which series, and what is planned otherwise than the plan says."""

    series: Annotated[list[SeriesId], Field(min_length=1, max_length=MAX_COMPUTED)]
    changes: Changes = []


class WhatIfForecast(SeriesForecast):
    """One series under the plan that was asked, beside what is published."""

    published_mean: Annotated[list[float], Field(description="expected units as things are planned")]


class WhatIfResponse(Answer):
    dates: Annotated[list[date], Field(description="the periods that the numbers of each forecast are of, in order")]
    forecasts: Annotated[list[WhatIfForecast], Field(description="one for each series asked, in the same order")]


BODIES: dict[str, dict[str, Any]] = {
    "Two days at a lower price, promoted": {"series": [SERIES], "horizon": 3, "changes": [REDUCED]},
    "A day that is closed": {
        "series": [SERIES],
        "changes": [{"first": "2026-10-07", "last": "2026-10-07", "covariates": {"open": 0}}],
    },
}
EXAMPLE = {
    **HEAD,
    "dates": DATES,
    "forecasts": [
        {
            **FORECAST,
            "mean": [92.91502, 138.91975, 141.45976],
            "quantiles": {"0.1": [69.0, 104.0, 106.0], "0.5": [92.0, 137.0, 140.0], "0.9": [119.0, 176.0, 179.0]},
            "published_mean": FORECAST["mean"],
        }
    ],
}


@post("What would sell otherwise", tag="planning", response=WhatIfResponse, example=EXAMPLE, bodies=BODIES)
async def answer(request: Request, asked: WhatIfRequest) -> Response:
    """What the model expects of up to 100 series if price, promotions or events were other than planned.

    With no `changes` it is the published forecast.
    """
    worker = worker_of(request)
    arms, levels = worker.live.arms(), asked.quantiles
    published = arms.champion.published
    published.places(asked.series)
    horizon = published.periods(asked.horizon)
    found = await worker.queue.run(
        lambda: arms.each(asked.series, lambda served, part: what_if(served, part, asked.changes, horizon, levels))
    )
    return respond(request, arms.champion, {"dates": published.dates[:horizon], "forecasts": found}, worker.log)
