"""GET /v1/model: what is live."""

from typing import Annotated, Literal

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field

from demand_forecast.domain.demand.calendar import DatedBy, calendar_of
from demand_forecast.publishing.package import PackageInfo
from demand_forecast.service.answers.plan import planned
from demand_forecast.service.contract.schema import Planned, Refused
from demand_forecast.service.http.endpoint import get, worker_of
from demand_forecast.service.state.arms import Arms


class LogState(BaseModel):
    """Whether answers are being written down."""

    written: bool
    lost: Annotated[int, Field(description="answers of this worker that were not written down")]
    reason: Annotated[str | None, Field(description="why they are not, in words")]


class TriedOut(BaseModel):
    """A challenger that is tried out: in the `shadow`, or as a `canary` that answers for a `share` of the series."""

    model_config = ConfigDict(protected_namespaces=())

    package: str
    model: str
    model_version: str
    mode: Literal["shadow", "canary"]
    share: Annotated[float, Field(description="0 to 1")]


class ServedModel(PackageInfo):
    """What is live and why, how many periods ahead it reaches and how many series it covers."""

    frequency: Literal["daily", "weekly", "monthly"]
    dated_by: Annotated[DatedBy, Field(description="day of a period that is its date")]
    package: Annotated[str, Field(description="what is served: version and content")]
    horizon: Annotated[int, Field(description="periods that are published")]
    series: Annotated[int, Field(description="how many are in the forecast")]
    planned: Planned
    attributes: Annotated[list[str], Field(description="of products, as a cold start may name them")]
    prediction_log: LogState
    refused: Refused | None
    trial: TriedOut | None


EXAMPLE = {
    "model": "ensemble",
    "model_version": "4",
    "forecast_origin": "2026-10-04",
    "trained_at": "2026-10-05T03:04:57.636000Z",
    "data_versions": {"daily_demand": 412, "clean_plan": 412},
    "metrics": {"wape": 0.2931, "bias": 0.0086, "wrmsse": 0.3986, "coverage_80": 0.8864},
    "promotion": {"decision": "promoted", "metric": "wrmsse", "challenger_value": "0.3986"},
    "reservations": [],
    "frequency": "daily",
    "dated_by": "first",
    "package": "4-96730187",
    "horizon": 28,
    "series": 360,
    "planned": {
        "price": True,
        "numbers": ["on_promotion", "school_holiday", "open"],
        "binary": ["on_promotion", "school_holiday", "open"],
        "events": {"holiday": ["Christmas", "New Year"]},
    },
    "attributes": ["category", "department"],
    "prediction_log": {"written": True, "lost": 0, "reason": None},
    "refused": None,
    "trial": None,
}


@get("What is live", tag="model", response=ServedModel, example=EXAMPLE)
async def model(request: Request) -> Response:
    """What is live, since when, trained on which data, how good it was, what is not proven of it (`reservations`), and
    what it may be asked.
    """
    worker = worker_of(request)
    arms, log = worker.live.arms(), worker.log
    served = arms.champion
    calendar = calendar_of(served.info.frequency)
    found = ServedModel(
        **served.info.model_dump(exclude={"frequency"}),
        frequency=calendar.frequency,
        dated_by=calendar.dated_by,
        package=served.name,
        horizon=served.published.horizon,
        series=len(served.published.rows),
        planned=planned(served.model.contract),
        attributes=served.product_attributes,
        prediction_log=LogState(
            written=log.folder is not None and log.reason is None, lost=log.lost, reason=log.reason
        ),
        refused=worker.live.refused,
        trial=_tried_out(arms),
    )
    return Response(found.model_dump_json(), media_type="application/json")


def _tried_out(arms: Arms) -> TriedOut | None:
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
