"""Whatever goes wrong while a request is answered, as problem details."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from demand_forecast.service.contract.problems import MEANING, Problem

SHOWN_ERRORS = 5


def invalid(errors: Sequence[Any], skipped: int = 0) -> Problem:
    """What pydantic found wrong, as Problem 400 where the body is no JSON, else 422.

    `skipped`: how many parts of each place lead to the request's parts (FastAPI's begin with `body` or `query`).
    """
    found = [
        {
            "at": ".".join(str(part) for part in error["loc"][skipped:]) or "body",
            "what": error["msg"].removeprefix("Value error, "),
        }
        for error in errors
    ]
    if errors[0]["type"] == "json_invalid":
        return Problem(400, f"the body is not JSON: {found[0]['what'].removeprefix('Invalid JSON: ')}")
    detail = "; ".join(f"{error['at']}: {error['what']}" for error in found[:SHOWN_ERRORS])
    return Problem(422, detail, {"errors": found[:SHOWN_ERRORS]})


async def handle_errors(request: Request, error: Any) -> Response:
    """The answer to a request that ended in `error`."""
    return _problem_of(error).answer(request.scope["path"], request.state.request_id)


def _problem_of(error: Any) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return invalid(error.errors(), skipped=1)
    if isinstance(error, HTTPException):
        return _http_problem(error)
    return Problem(500, MEANING[500])


def _http_problem(error: HTTPException) -> Problem:
    status, detail = error.status_code, str(error.detail)
    if detail == HTTPStatus(status).phrase:  # Starlette's own: it says no more than the status
        meaning = "no such page" if status == HTTPStatus.NOT_FOUND else MEANING.get(status, detail)
        detail = f"{meaning}; see /docs for what there is"
    return Problem(status, detail, headers=dict(error.headers or {}))
