"""The service on a port of this process: gateway, API and prediction log, without BentoML in front of its workers.

A test needs no process for it. What `bentoml serve` adds (workers, probes, metrics, environment) is in test_serve.py.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from demand_forecast.service.state.worker import Worker

LOGGERS = ("bentoml.demand_forecast", "uvicorn.error")


@dataclass(frozen=True)
class Running:
    """A service that answers `client`; it takes over what changes in its home when it is told to `look`."""

    client: httpx.Client
    worker: "Worker"

    def look(self) -> None:
        """As the thread of a worker does twice a second."""
        self.worker.live.keys.look()
        self.worker.live.look()


@contextmanager
def serve_in_process(folder: Path, **variables: str) -> Iterator[Running]:
    """Serves the home below `folder` under the environment `variables`; what it logs is appended to `folder`/log."""
    import uvicorn

    app, worker = _application(folder, variables)
    with _logged(folder / "log"), socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", server_header=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        worker.log.start()
        thread.start()
        try:
            _wait(server)
            base = f"http://127.0.0.1:{listening.getsockname()[1]}"
            with httpx.Client(base_url=base, timeout=30) as client:
                running = Running(client, worker)
                running.look()
                yield running
        finally:
            server.should_exit = True
            thread.join()
            worker.log.stop()


def _application(folder: Path, variables: dict[str, str]) -> tuple[Any, "Worker"]:
    from prometheus_client import REGISTRY

    from demand_forecast.service.http.api import create_api
    from demand_forecast.service.http.gateway import Gateway
    from demand_forecast.service.service import create_worker

    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("DEMAND_FORECAST_")]:
            environment.delenv(name)
        for name, value in (variables | {"DEMAND_FORECAST_CONFIG": str(folder / "config.yaml")}).items():
            environment.setenv(name, value)
        worker, keys, settings = create_worker()
    counted = {*REGISTRY._collector_to_names}
    gateway = Gateway(create_api(worker), _no_bentoml, keys, settings)
    for collector in {*REGISTRY._collector_to_names} - counted:
        REGISTRY.unregister(collector)  # a process has one gateway; this one has one after the other
    return gateway, worker


async def _no_bentoml(scope: object, receive: object, send: object) -> None:
    raise AssertionError("probes and metrics are BentoML's: ask `serve` for them")


@contextmanager
def _logged(file: Path) -> Iterator[None]:
    handler = logging.FileHandler(file)
    for name in LOGGERS:
        logging.getLogger(name).addHandler(handler)
    try:
        yield
    finally:
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(handler)
        handler.close()


def _wait(server: Any) -> None:
    deadline = time.monotonic() + 60
    while not server.started:
        assert time.monotonic() < deadline, "uvicorn did not start"
        time.sleep(0.01)
