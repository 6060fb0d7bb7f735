"""An endpoint is a module: it is found by being there."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from demand_forecast.service.http import endpoints
from demand_forecast.service.http.api import create_api
from demand_forecast.service.http.endpoint import find_endpoints
from demand_forecast.service.state.keys import KeyRing
from demand_forecast.service.state.live import Live
from demand_forecast.service.state.prediction_log import PredictionLog
from demand_forecast.service.state.worker import Worker

PING = '''
from fastapi import Request, Response
from pydantic import BaseModel
from demand_forecast.service.http.endpoint import get

class Pong(BaseModel):
    said: str

@get("Whether it answers", tag="model", response=Pong, example={"said": "pong"})
async def ping(request: Request, times: int = 1) -> Response:
    """Says pong."""
    return Response("pong" * times)
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """One more folder of endpoints."""
    monkeypatch.setattr(endpoints, "__path__", [*endpoints.__path__, str(tmp_path)])
    yield tmp_path
    for file in tmp_path.glob("*.py"):
        sys.modules.pop(f"{endpoints.__name__}.{file.stem}", None)


def test_every_module_is_a_path_under_its_own_name() -> None:
    files = Path(endpoints.__file__).parent.glob("[!_]*.py")
    assert [endpoint.path for endpoint in find_endpoints()] == sorted(f"/v1/{file.stem}" for file in files)


def test_a_module_more_is_a_path_more_and_is_described(folder: Path) -> None:
    (folder / "ping.py").write_text(PING)
    api = create_api(Worker(Live("nothing is published", KeyRing(None)), PredictionLog(None)))
    described = api.openapi()["paths"]["/v1/ping"]["get"]
    assert (described["operationId"], described["summary"]) == ("ping", "Whether it answers")
    assert described["responses"]["200"]["content"]["application/json"]["example"] == {"said": "pong"}
    assert [parameter["name"] for parameter in described["parameters"]] == ["times"]
    assert {"401", "422", "503"} <= described["responses"].keys()


@pytest.mark.parametrize(("content", "count"), [("", 0), (PING + PING.replace("ping(", "again("), 2)])
def test_a_module_without_one_endpoint_is_named(folder: Path, content: str, count: int) -> None:
    (folder / "odd.py").write_text(content)
    with pytest.raises(TypeError, match=rf"endpoints\.odd: {count} functions are marked by `get` or `post`"):
        find_endpoints()
