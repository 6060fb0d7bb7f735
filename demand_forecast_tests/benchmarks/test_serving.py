"""The benchmark of serving: a stall is charged to everybody who would have waited, and all of it runs."""

import asyncio
import itertools
import queue
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from benchmarks.serving.__main__ import QUICK, measure
from benchmarks.serving.load import OPEN, Load, at_rate, saturate
from demand_forecast.publishing.package import read_package
from demand_forecast_tests.served_night import Night

needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not here")
STALL = 0.7  # seconds
ANSWER = b"HTTP/1.1 %d Said\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def stalling() -> Iterator[tuple[int, Counter[int]]]:
    """A server that answers at once, but for one pause; every tenth time with 503: its port, and how often each
    connection asked.
    """
    asked, ports, used = itertools.count(1), queue.Queue[int](), Counter[int]()
    stopped = threading.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            await reader.readuntil(b"{}")
            used[id(writer)] += 1
            turn = next(asked)
            if turn == 100:
                time.sleep(STALL)
            writer.write(ANSWER % (503 if turn % 10 == 0 else 200))
        writer.close()

    async def listen() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        ports.put(server.sockets[0].getsockname()[1])
        await asyncio.to_thread(stopped.wait)

    thread = threading.Thread(target=lambda: asyncio.run(listen()))
    thread.start()
    yield ports.get(timeout=5), used
    stopped.set()
    thread.join()


def test_at_a_constant_rate_a_stall_is_charged_to_all_who_were_due(stalling: tuple[int, Counter[int]]) -> None:
    port, used = stalling
    outcome = at_rate(Load(port, "/", [b"{}"]), rate=500, seconds=1)
    assert (outcome.requests, outcome.refused, outcome.broken) == (500, 50, 0)
    assert outcome.p99 > 900 * STALL  # ms
    assert len(used) == OPEN
    assert min(used.values()) >= 500 // OPEN - 1  # a connection left idle would be closed by the server
    assert outcome.p50 > 100  # counted from when they were sent, it would be that of the 150 which met no stall


@needs_wrk
def test_as_much_as_it_bears_counts_what_was_refused(stalling: tuple[int, Counter[int]]) -> None:
    outcome = saturate(Load(stalling[0], "/", [b"{}"]), seconds=1)
    assert outcome.requests > 100
    assert outcome.refused == pytest.approx(outcome.requests / 10, rel=0.1)
    assert outcome.broken == 0


def test_a_server_that_breaks_off_is_counted_and_does_not_hang() -> None:
    async def broken_off() -> int:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        return await asyncio.to_thread(lambda: at_rate(Load(port, "/", [b"{}"]), rate=100, seconds=0.1).broken)

    assert asyncio.run(broken_off()) == 10


@pytest.mark.slow
@needs_wrk
def test_all_of_it_runs(night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.serving.__main__.SIZES", (1,))
    night.publish(tmp_path / "serving")
    effort = replace(QUICK, warm=100, further=200, swaps=1)
    missed = measure(read_package(tmp_path / "serving"), effort, tmp_path, "small")
    assert not [said for said in missed if "failed" in said or "swap" in said]
    table = pl.read_csv(tmp_path / "small.csv")
    assert table["contender"].to_list() == ["no-op BentoML", "no-op FastAPI", "ours"]
    assert table["failed"].sum() == 0
    assert "| ours | 1 | 1 |" in (tmp_path / "small.md").read_text()
