"""What a sensor has requested and does not know to be done: kept in its cursor, looked up by run key."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal, Self

import dagster as dg

from demand_forecast.sources.days import Days

RUN_KEY = "dagster/run_key"
LONGEST_WAIT = 24 * 60 * 60  # seconds between two attempts
Outcome = Literal["running", "done", "failed", "unknown"]


@dataclass(frozen=True)
class Request:
    """A run that was requested: over which days, and for which pending files or totals (ids)."""

    key: str
    first: str
    last: str
    pending: list[str]
    at: float  # seconds since the epoch
    attempt: int = 1

    @classmethod
    def of(cls, key: str, days: Days, pending: Sequence[str]) -> Self:
        return cls(key, days[0].isoformat(), days[1].isoformat(), list(pending), time.time())

    @classmethod
    def read(cls, stored: dict[str, Any]) -> Self:
        keys = ("key", "first", "last", "news", "at", "attempt")  # `news`: cursors of running homes have it
        return cls(*(stored[key] for key in keys))

    def write(self) -> dict[str, Any]:
        keys = {"key": self.key, "first": self.first, "last": self.last}
        return {**keys, "news": self.pending, "at": self.at, "attempt": self.attempt}

    @property
    def days(self) -> Days:
        return date.fromisoformat(self.first), date.fromisoformat(self.last)

    @property
    def run_key(self) -> str:
        return self.key if self.attempt == 1 else f"{self.key}-{self.attempt}"

    def again(self) -> "Request":
        return replace(self, at=time.time(), attempt=self.attempt + 1)


@dataclass
class Cursor:
    """A sensor's memory: open requests, and what else it `knows`."""

    open: list[Request] = field(default_factory=list)
    knows: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str | None) -> Self:
        """An empty one where there is none yet."""
        if not text:
            return cls()
        stored = json.loads(text)
        return cls([Request.read(request) for request in stored["open"]], stored["knows"])

    def write(self) -> str:
        return json.dumps({"open": [request.write() for request in self.open], "knows": self.knows})

    def request(self, key: str, days: Days, pending: list[str]) -> Request:
        self.open.append(Request.of(key, days, pending))
        return self.open[-1]

    @property
    def requested(self) -> set[str]:
        return {pending for request in self.open for pending in request.pending}

    def settle(
        self,
        instance: dg.DagsterInstance,
        retry_minutes: float,
        still_pending: Callable[[Request, Outcome], bool],
    ) -> tuple[list[Request], list[Request]]:
        """Closes what is done; gives the requests that succeeded, and those to be made again, which stay open.

        A failed run, and one that left something pending, is due again after `retry_minutes`, twice as long after every
        attempt.
        """
        done, due, kept = [], [], []
        for request in self.open:
            outcome, since = _outcome(instance, request)
            if outcome == "done":
                done.append(request)
            if outcome == "running":
                kept.append(request)
            elif still_pending(request, outcome):
                wait = min(LONGEST_WAIT, retry_minutes * 60 * 2 ** (request.attempt - 1))
                repeated = request.again() if time.time() - since >= wait else request
                due += [repeated] if repeated is not request else []
                kept.append(repeated)
        self.open = kept
        return done, due


def _outcome(instance: dg.DagsterInstance, request: Request) -> tuple[Outcome, float]:
    """How the run of the request ended and when; unknown, since it was requested, where there is no such run."""
    records = instance.get_run_records(dg.RunsFilter(tags={RUN_KEY: request.run_key}), limit=1)
    if not records:
        return "unknown", request.at
    run = records[0].dagster_run
    if not run.is_finished:
        return "running", request.at
    return "done" if run.is_success else "failed", records[0].end_time or request.at
