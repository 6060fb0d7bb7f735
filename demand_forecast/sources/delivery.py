"""What a source hands over: one file or table at a time."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import polars as pl

from demand_forecast.domain.cleaning.dates import PLAIN, DateReading
from demand_forecast.sources.days import Days

InputTable = Literal["products", "stores", "plan", "stock"]
Table = Literal["sales", InputTable]


@dataclass(frozen=True)
class Delivery:
    """One file or table.

    `read(days)` gives frames of the mapped columns (text), `line` (i64), `extra` and `fault` (text); each frame holds
    all rows of the days in it. `span()`, where the source has it, gives the first and last readable day without reading
    the rest, and then `read` reads only the days asked for; without it `read` reads everything. `file_hash` is found at
    its first use, `known()` says whether without opening the file; it is "" where only reading tells whether something
    changed.
    """

    source: str
    file: str
    report: str
    hashed: Callable[[], str]
    read: Callable[[Days | None], Iterator[pl.DataFrame]]
    dates: DateReading = PLAIN
    span: Callable[[], Days | None] | None = None
    known: Callable[[], bool] = bool

    @cached_property
    def file_hash(self) -> str:
        return self.hashed()


def natural(name: str) -> list[tuple[int, str]]:
    """A sort key that puts `v9` before `v10`."""
    return [(int(part or 0), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]
