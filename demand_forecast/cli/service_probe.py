"""Asks the service at the configured address whether it is ready and what it serves."""

import json
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib import request
from urllib.error import HTTPError

from demand_forecast.settings import Serving

PATIENCE = 1.0  # seconds for each of two requests
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - what listens there answers here
UNAUTHORIZED = 401


@dataclass(frozen=True)
class ServiceState:
    """`trouble`: why nothing is served. `model`: what /v1/model says; empty where it wants a key."""

    url: str
    trouble: str = ""
    model: dict[str, Any] = field(default_factory=dict)


def ask_service(serving: Serving) -> ServiceState:
    """Asks /readyz, then /v1/model, and waits a second for each."""
    url = f"http://{ANYWHERE.get(serving.host, serving.host)}:{serving.port}"
    try:
        _get(f"{url}/readyz")
        return ServiceState(url, model=_model(url))
    except HTTPError as error:
        return ServiceState(url, f"it is not ready (HTTP status {error.code})")
    except (OSError, HTTPException, ValueError):
        return ServiceState(url, "nothing answers")


def _model(url: str) -> dict[str, Any]:
    try:
        return dict(json.loads(_get(f"{url}/v1/model")))
    except HTTPError as error:
        if error.code == UNAUTHORIZED:
            return {}
        raise


def _get(url: str) -> bytes:
    direct = request.build_opener(request.ProxyHandler({}))
    with direct.open(url, timeout=PATIENCE) as answer:
        return bytes(answer.read())
