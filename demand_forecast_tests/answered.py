"""Answers as the service writes them down: lines, and the segments that hold them."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

ORIGIN = date(2026, 3, 2)
Series = tuple[str, str]


def line(
    request_id: str,
    series: Sequence[Series] = (("north", "apple"),),
    *,
    arm: str = "champion",
    version: str = "3",
    origin: date = ORIGIN,
    periods: int = 2,
    shadow: bool = False,
    levels: Sequence[float] = (0.1, 0.5, 0.9),
    **changed: Any,
) -> bytes:
    """A line with its end; `changed`: keys of its forecasts."""
    forecasts = [
        {"store_id": store, "product_id": product, "model": "lightgbm", "model_version": version, "arm": arm}
        | {"cold_start": False, "mean": [1.5 + place + period for period in range(periods)]}
        | {"quantiles": {str(level): [level + period for period in range(periods)] for level in levels}}
        | changed
        for place, (store, product) in enumerate(series)
    ]
    dates = [origin + timedelta(days=1 + period) for period in range(periods)]
    answer = {"request_id": request_id, "forecast_origin": origin, "dates": dates, "forecasts": forecasts}
    at = datetime(2026, 3, 3, 8, tzinfo=UTC)
    head = {"at": at, "endpoint": "/v1/forecast", "seconds": None if shadow else 0.002, "shadow": shadow}
    return orjson.dumps(head | {"answer": answer}) + b"\n"


def write_segment(folder: Path, name: str, *lines: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_bytes(b"".join(lines))
    return file
