"""What a server bears: as much as it can take, and a constant rate.

As much as it can take is asked by wrk, whose connections each wait for their answer. A constant rate is asked by a
client of our own, which sends when a request is due, whether or not answers are late, and measures from when it was
due: so a server that stalls is charged for all who would have waited (Tene, "How NOT to Measure Latency").
"""

import asyncio
import gc
import json
import os
import subprocess
import tempfile
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import uvloop

SCRIPT = Path(__file__).with_name("requests.lua")
CONNECTIONS = 16  # of the closed loop
OPEN = 64  # connections of the constant rate
TICK = 0.001  # seconds: how late a request may be sent
HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True)
class Load:
    """What is posted to a path, in turn."""

    port: int
    path: str
    bodies: Sequence[bytes]

    def messages(self) -> list[bytes]:
        """Whole HTTP requests."""
        head = "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
        return [head.format(self.path, len(body)).encode() + body for body in self.bodies]


@dataclass(frozen=True)
class Outcome:
    """Requests answered, in how many seconds, latency in milliseconds; `refused`: not 200, `broken`: not answered."""

    requests: int
    seconds: float
    p50: float
    p99: float
    refused: int
    broken: int

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    @property
    def failed(self) -> int:
        return self.refused + self.broken


def saturate(load: Load, seconds: float, connections: int = CONNECTIONS) -> Outcome:
    """As many requests as are answered in `seconds`, rounded up to whole ones. Raises RuntimeError where wrk fails."""
    options = [f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s"]
    with tempfile.NamedTemporaryFile("wb", suffix=".jsonl") as bodies:
        bodies.write(b"\n".join(load.bodies) + b"\n")
        bodies.flush()
        done = subprocess.run(  # noqa: S603 - on this machine, of our own servers
            ["wrk", "-t1", *options, "-s", str(SCRIPT), f"http://127.0.0.1:{load.port}{load.path}"],  # noqa: S607
            env=os.environ | {"BODIES": bodies.name},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"wrk: {done.stderr or done.stdout}")
    return Outcome(**json.loads(done.stdout.strip().splitlines()[-1]))


def answer(load: Load, requests: int, seconds: float) -> Outcome:
    """At least so many `requests`, by turns of wrk of at most `seconds` each."""
    turns = [saturate(load, seconds)]
    while sum(turn.requests for turn in turns) < requests:
        left = requests - sum(turn.requests for turn in turns)
        turns.append(saturate(load, min(seconds, left / turns[-1].rate + 1)))
    return total(turns)


def total(turns: Sequence[Outcome]) -> Outcome:
    """What came of all of them; the latencies are those of the last."""
    added = {name: sum(getattr(turn, name) for turn in turns) for name in ("requests", "seconds", "refused", "broken")}
    return replace(turns[-1], **added)


def at_rate(load: Load, rate: float, seconds: float) -> Outcome:
    """`rate` requests a second for `seconds`. Latency counts from when a request was due."""
    gc.collect()
    gc.disable()  # what the client clears away is not the server's delay
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_at_rate(load, rate, seconds))
    finally:
        gc.enable()


async def _at_rate(load: Load, rate: float, seconds: float) -> Outcome:
    loop = asyncio.get_running_loop()
    pace = _Pace(loop, load.messages(), rate, max(1, round(rate * seconds)))
    opened = [loop.create_connection(lambda: _Connection(pace), "127.0.0.1", load.port) for _ in range(OPEN)]
    connections = [protocol for _, protocol in await asyncio.gather(*opened)]
    took = await pace.run(connections)
    for connection in connections:
        connection.close()
    p50, p99 = np.percentile(pace.latencies * 1000, [50, 99])
    broken = pace.statuses.pop(0, 0)
    refused = pace.statuses.total() - pace.statuses[200]
    return Outcome(len(pace.latencies), took, float(p50), float(p99), refused, broken)


class _Pace:
    """Sends each of `count` requests when it is due, by whichever connection is free, and notes when it was answered.

    One clock for all connections and no task for each: what the client computes, the server cannot.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, messages: Sequence[bytes], rate: float, count: int) -> None:
        self.latencies, self.statuses = np.zeros(count), Counter[int]()
        self._loop, self._messages, self._rate = loop, messages, rate
        self._free = deque[_Connection]()  # the one that has rested longest is next: servers close those that idle
        self._turn, self._began, self._done = 0, 0.0, loop.create_future()

    async def run(self, connections: "Sequence[_Connection]") -> float:
        """Seconds until the last answer."""
        self._free.extend(connections)
        self._began = self._loop.time()
        self._tick()
        await self._done
        return self._loop.time() - self._began

    def answered(self, connection: "_Connection", turn: int, status: int) -> None:
        """Status 0: the connection broke."""
        self.statuses[status] += 1
        self.latencies[turn] = self._loop.time() - self._due(turn)
        self._free.append(connection)
        if self.statuses.total() == len(self.latencies):
            self._done.set_result(None)
        else:
            self._send()

    def _tick(self) -> None:
        self._send()
        if self._turn < len(self.latencies):
            self._loop.call_later(TICK, self._tick)

    def _send(self) -> None:
        now = self._loop.time()
        while self._free and self._turn < len(self.latencies) and self._due(self._turn) <= now:
            turn, self._turn = self._turn, self._turn + 1
            self._free.popleft().ask(turn, self._messages[turn % len(self._messages)])

    def _due(self, turn: int) -> float:
        return self._began + turn / self._rate


@dataclass
class _Connection(asyncio.Protocol):
    """One connection that is kept, with one request on its way at a time. Understands answers with a Content-Length."""

    pace: _Pace
    _transport: asyncio.Transport | None = None
    _turn: int | None = None
    _arrived: bytearray = field(default_factory=bytearray)
    _length: int = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._arrived += data
        if not self._length and (end := self._arrived.find(HEAD_END)) >= 0:
            _, _, rest = bytes(self._arrived[:end]).lower().partition(b"content-length:")
            self._length = end + len(HEAD_END) + int(rest.split(b"\r\n", 1)[0])
        if self._length and len(self._arrived) >= self._length:
            self._told(int(self._arrived[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None
        self._told(0)

    def ask(self, turn: int, message: bytes) -> None:
        self._arrived, self._length, self._turn = bytearray(), 0, turn
        if self._transport is None:
            asyncio.get_running_loop().call_soon(self._told, 0)
        else:
            self._transport.write(message)

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    def _told(self, status: int) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            self.pace.answered(self, turn, status)
