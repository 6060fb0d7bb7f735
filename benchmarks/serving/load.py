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
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import uvloop

SCRIPT = Path(__file__).with_name("requests.lua")
CONNECTIONS = 16  # of the closed loop
OPEN = 64  # connections at most of the constant rate
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
    """`rate` requests a second for `seconds`. Latency counts from when a request was due; the clock ticks every ms."""
    gc.collect()
    gc.disable()  # what the client clears away is not the server's delay
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_at_rate(load, rate, seconds))
    finally:
        gc.enable()


async def _at_rate(load: Load, rate: float, seconds: float) -> Outcome:
    loop = asyncio.get_running_loop()
    messages, count = load.messages(), max(1, round(rate * seconds))
    opened = [loop.create_connection(_Connection, "127.0.0.1", load.port) for _ in range(min(OPEN, count))]
    connections = [protocol for _, protocol in await asyncio.gather(*opened)]
    latencies, statuses, turns = np.zeros(count), Counter[int](), iter(range(count))
    began = loop.time()

    async def ask(connection: _Connection) -> None:
        for turn in turns:  # shared: whoever is free takes the next
            due = began + turn / rate
            if (early := due - loop.time()) > 0:
                await asyncio.sleep(early)
            statuses[await connection.ask(messages[turn % len(messages)])] += 1
            latencies[turn] = loop.time() - due

    await asyncio.gather(*map(ask, connections))
    took = loop.time() - began
    for connection in connections:
        connection.close()
    p50, p99 = np.percentile(latencies * 1000, [50, 99])
    broken = statuses.pop(0, 0)
    return Outcome(count, took, float(p50), float(p99), statuses.total() - statuses[200], broken)


@dataclass
class _Connection(asyncio.Protocol):
    """One connection that is kept, with one request on its way at a time. Understands answers with a Content-Length."""

    _transport: asyncio.Transport | None = None
    _answer: "asyncio.Future[int] | None" = None
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

    async def ask(self, message: bytes) -> int:
        """The status of the answer; 0 where the connection broke."""
        if self._transport is None:
            return 0
        self._arrived, self._length = bytearray(), 0
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(message)
        return await self._answer

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    def _told(self, status: int) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_result(status)
