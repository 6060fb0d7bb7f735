"""The model computes for one request at a time, even when those that it computes for are gone."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from demand_forecast.service.contract.problems import Problem
from demand_forecast.service.state.model_queue import WAITING, ModelQueue

SECONDS = 5.0  # after which a test that hangs fails


class Model:
    """Computes until `release`; counts how many computations there were, and how many at the same time."""

    def __init__(self) -> None:
        self.started = self.running = self.most = 0
        self.release = threading.Event()
        self._lock = threading.Lock()

    def compute(self) -> str:
        with self._lock:
            self.started += 1
            self.running += 1
            self.most = max(self.most, self.running)
        self.release.wait(SECONDS)
        with self._lock:
            self.running -= 1
        return "computed"


async def timed_out(queue: ModelQueue, work: Callable[[], str]) -> None:
    """A request that the gateway lets go after its timeout."""
    async with asyncio.timeout(0.02):
        await queue.run(work)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not holds():
            await asyncio.sleep(0.001)


def run(test: Awaitable[None]) -> None:
    asyncio.run(asyncio.wait_for(test, 2 * SECONDS))


def test_requests_that_time_out_are_answered_and_let_no_second_computation_in() -> None:
    async def ask() -> None:
        queue, model = ModelQueue(), Model()
        for _ in range(8):
            with pytest.raises(TimeoutError):
                await timed_out(queue, model.compute)
        assert (model.running, model.most) == (1, 1), "still computing for the first of those that are answered"
        model.release.set()
        assert await queue.run(model.compute) == "computed"
        assert model.most == 1

    run(ask())


def test_a_request_that_is_gone_before_its_turn_is_not_computed() -> None:
    async def ask() -> None:
        queue, model = ModelQueue(), Model()
        first = asyncio.ensure_future(queue.run(model.compute))
        await until(lambda: model.running == 1)
        for _ in range(3):
            with suppress(TimeoutError):
                await timed_out(queue, model.compute)
        model.release.set()
        assert [await first, await queue.run(model.compute)] == ["computed"] * 2
        assert model.started == 2

    run(ask())


def test_too_many_are_sent_away_and_those_that_are_gone_do_not_count() -> None:
    async def ask() -> None:
        queue, model = ModelQueue(), Model()
        waiting = [asyncio.ensure_future(queue.run(model.compute)) for _ in range(WAITING)]
        await until(lambda: model.running == 1)
        with pytest.raises(Problem, match=f"{WAITING} requests are waiting for the model") as refused:
            await queue.run(model.compute)
        assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "1"})
        waiting.pop().cancel()
        await asyncio.sleep(0)
        waiting.append(asyncio.ensure_future(queue.run(model.compute)))
        model.release.set()
        assert await asyncio.gather(*waiting) == ["computed"] * WAITING

    run(ask())


def test_what_fails_while_computing_fails_in_the_request_and_leaves_the_queue_free() -> None:
    async def ask() -> None:
        queue = ModelQueue()
        with pytest.raises(ZeroDivisionError):
            await queue.run(lambda: 1 / 0)
        assert await queue.run(lambda: "next") == "next"

    run(ask())
