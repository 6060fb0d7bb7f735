"""The model computes for one request at a time; the others wait."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from demand_forecast.service.contract.problems import Problem

WAITING = 16  # requests that may wait for the model; more are sent away
Computed = TypeVar("Computed")


class ModelQueue:
    """A single thread for the model, so that no more than one computation runs.

    A request that is cancelled (its timeout is over, its client is gone) returns at once. If its computation has begun,
    the thread finishes it before the next one; if not, it is never begun.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._waiting = 0

    async def run(self, compute: Callable[[], Computed]) -> Computed:
        """What `compute` returns. Raises what it raises; Problem 503 where WAITING requests are here already."""
        if self._waiting >= WAITING:
            raise Problem(503, f"{WAITING} requests are waiting for the model", headers={"Retry-After": "1"})
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, compute)
        finally:
            self._waiting -= 1
