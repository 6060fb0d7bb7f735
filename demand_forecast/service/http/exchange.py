"""How a request is read and an answer is written, in words where something is wrong, and in the prediction log."""

import time
from collections.abc import Sequence
from typing import Any, TypeVar

import orjson
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from demand_forecast.domain.tables import now
from demand_forecast.service.contract.problems import MEANING, Problem
from demand_forecast.service.state.prediction_log import PredictionLog
from demand_forecast.service.state.served import Served

SHOWN_ERRORS = 5
Asked = TypeVar("Asked", bound=BaseModel)


async def read(request: Request, model: type[Asked]) -> Asked:
    """The body as `model`. Raises Problem 415 where another type is named, 400 where it is no JSON, 422 where it says
    something else."""
    if "json" not in request.headers.get("content-type", "json"):
        raise Problem(415, "send the body as JSON: -H 'Content-Type: application/json'")
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        raise _invalid(error.errors(include_url=False, include_context=False, include_input=False)) from None


def _invalid(found: Any, skipped: int = 0) -> Problem:
    errors = [
        {
            "at": ".".join(str(part) for part in item["loc"][skipped:]) or "body",
            "what": item["msg"].removeprefix("Value error, "),
        }
        for item in found
    ]
    if found[0]["type"] == "json_invalid":
        return Problem(400, f"the body is not JSON: {errors[0]['what'].removeprefix('Invalid JSON: ')}")
    said = "; ".join(f"{item['at']}: {item['what']}" for item in errors[:SHOWN_ERRORS])
    return Problem(422, said, {"errors": errors[:SHOWN_ERRORS]})


async def handle_errors(request: Request, error: Any) -> Response:
    """An error as problem details."""
    if isinstance(error, RequestValidationError):
        problem = _invalid(error.errors(), skipped=1)
    elif isinstance(error, HTTPException):
        known = "see /docs for what there is"
        said = f"no such page; {known}" if error.status_code == 404 else f"{MEANING.get(error.status_code)}; {known}"
        problem = Problem(error.status_code, said, headers=dict(error.headers or {}))
    elif isinstance(error, Problem):
        problem = error
    else:
        problem = Problem(500, MEANING[500])
    return problem.answer(request.scope["path"], request.state.request_id)


def respond(request: Request, served: Served, content: dict[str, Any], log: PredictionLog | None = None) -> Response:
    """The answer; where there is a `log`, it is written down as it is given."""
    state = request.state
    head = {"request_id": state.request_id, "forecast_origin": served.info.forecast_origin}
    answer = orjson.dumps(head | content, option=orjson.OPT_SERIALIZE_NUMPY)
    if log is not None:
        at, seconds = now().isoformat().encode(), time.perf_counter() - state.began
        log.put(
            b'{"at":"%b","endpoint":"%b","seconds":%.6f,"shadow":false,"answer":%b}'
            % (at, request.scope["path"].encode(), seconds, answer)
        )
    return Response(answer, media_type="application/json")


def shadow_line(
    request_id: str, challenger: Served, keys: Sequence[tuple[str, str]], horizon: int, levels: Sequence[float]
) -> bytes:
    """The line that says what the challenger would have answered."""
    rows = [row for key in keys if (row := challenger.published.rows.get(key)) is not None]
    found = [challenger.published.forecast(row, horizon, levels) for row in rows]
    answer = {"request_id": request_id, "forecast_origin": challenger.info.forecast_origin}
    answer |= {"dates": challenger.published.dates[:horizon], "forecasts": found}
    line = {"at": now(), "endpoint": "/v1/forecast", "seconds": None, "shadow": True, "answer": answer}
    return orjson.dumps(line, option=orjson.OPT_SERIALIZE_NUMPY)
