"""How an answer is written: as JSON to the client, and as a line to the prediction log."""

import time
from collections.abc import Sequence
from typing import Any

import orjson
from fastapi import Request, Response

from demand_forecast.domain.tables import now
from demand_forecast.service.state.prediction_log import PredictionLog
from demand_forecast.service.state.served import Served


def respond(request: Request, served: Served, content: dict[str, Any], log: PredictionLog | None = None) -> Response:
    """`content` with the request's id and the forecast origin, as JSON; numpy arrays become lists.

    Where a `log` is given, the answer is put there too: `content` then has `forecasts`, a list of SeriesForecast.
    """
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
    """The log's line for what the challenger would have answered to a request about the series in `keys`."""
    rows = [row for key in keys if (row := challenger.published.rows.get(key)) is not None]
    found = [challenger.published.forecast(row, horizon, levels) for row in rows]
    answer = {"request_id": request_id, "forecast_origin": challenger.info.forecast_origin}
    answer |= {"dates": challenger.published.dates[:horizon], "forecasts": found}
    line = {"at": now(), "endpoint": "/v1/forecast", "seconds": None, "shadow": True, "answer": answer}
    return orjson.dumps(line, option=orjson.OPT_SERIALIZE_NUMPY)
