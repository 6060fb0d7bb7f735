"""The live model as a web service: `bentoml serve` from the project's root, or the Bento from anywhere.

The way of a request, in the order of the rooms:

1. `http/gateway.py` gives it an id, checks key, rate and size, and sets its timeout; probes and metrics go to BentoML.
2. `http/endpoints/<name>.py` has the model of its body and the function that answers it, which the gateway calls, or
   FastAPI if it needs more than the body (`http/json_route.py` says when).
3. `state/live.py` has the packages that are live, `state/arms.py` which of them answers for which series.
4. `state/published_forecast.py` has the numbers in memory. What is not published, `answers/` computes with the model,
   one request at a time (`state/model_queue.py`).
5. `http/responses.py` writes the answer, to the client and to `state/prediction_log.py`. Whatever is raised on the way
   becomes problem details (`contract/problems.py`) in `http/errors.py`, or in the gateway for what it refuses itself.
"""

import gc
import os
from pathlib import Path
from typing import Any, ClassVar

import bentoml
from _bentoml_sdk import Service
from starlette.exceptions import HTTPException

from demand_forecast.service.contract.problems import Problem
from demand_forecast.service.http.api import create_api
from demand_forecast.service.http.gateway import Gateway
from demand_forecast.service.state.keys import KeyRing, key_file
from demand_forecast.service.state.live import Live
from demand_forecast.service.state.prediction_log import PredictionLog
from demand_forecast.service.state.worker import Worker
from demand_forecast.settings import ENV_PREFIX, ConfigError, Serving, load_serving, load_settings
from demand_forecast.workspace.home import Home

PACKED = Path(__file__).parents[2] / "package"  # beside the sources inside a Bento


def home_folder() -> Path | None:
    """The home folder, with the keys and the log. A Bento has one only if `$DEMAND_FORECAST_HOME` names it.

    Raises ConfigError.
    """
    if PACKED.is_dir():
        named = os.environ.get(f"{ENV_PREFIX}HOME")
        return Path(named) if named else None
    return load_settings().root


def package_folder() -> Path:
    """`$DEMAND_FORECAST_PACKAGE`, else the package packed with these sources, else `<home>/serving`.

    Raises ConfigError.
    """
    if given := os.environ.get(f"{ENV_PREFIX}PACKAGE"):
        return Path(given)
    return PACKED if PACKED.is_dir() else Home(load_settings().root).serving


def serving() -> Serving:
    """The settings of the service; the defaults if the configuration is wrong, which /readyz then reports."""
    try:
        return load_serving() if PACKED.is_dir() else load_settings().serving
    except ConfigError:
        return Serving()


ENVIRONMENT = {
    "OTEL_SDK_DISABLED": "true",
    # parallelism comes from workers: on a busy machine the threads of one small forecast wait for each other
    # (the smoke forecast of a new package took 0.7 s of CPU, with one thread 0.03 s)
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}


class FrontedService(Service):  # type: ignore[misc]
    """A BentoML service behind our own gateway."""

    def to_asgi(self, is_main: bool = True) -> Any:
        worker, keys, settings = create_worker()
        self.inner.worker = worker
        return Gateway(create_api(worker), super().to_asgi(is_main), keys, settings)


def create_worker() -> tuple[Worker, KeyRing, Serving]:
    """The worker of this process, the keys it accepts, and its settings."""
    settings = serving()
    try:
        home, packages = home_folder(), package_folder()
    except ConfigError as error:  # it starts nevertheless, and /readyz has the reason
        keys = KeyRing(None)
        return Worker(Live(str(error), keys), PredictionLog(None)), keys, settings
    keys = KeyRing(key_file(settings, home) if home else settings.keys_file)
    log = PredictionLog(Home(home).predictions if home and settings.log else None)
    return Worker(Live(packages, keys), log), keys, settings


@bentoml.service(
    name="demand_forecast",
    service_class=FrontedService,
    http={"host": serving().host, "port": serving().port},
    workers=serving().workers,
    envs=[{"name": name, "value": value} for name, value in ENVIRONMENT.items()],
)
class DemandForecast:
    worker: ClassVar[Worker]

    def __init__(self) -> None:
        self.worker.live.start()
        self.worker.log.start()
        gc.collect()
        gc.freeze()  # what is loaded by now stays: collections that scan it again would delay requests

    def __is_ready__(self) -> bool:
        try:
            self.worker.live.arms()
        except Problem as problem:
            raise HTTPException(503, problem.detail) from None
        return True

    @bentoml.on_shutdown
    def stop(self) -> None:
        self.worker.live.stop()
        self.worker.log.stop()
