"""Journals that tills land, a JSON object a line: a kind with keys of its own, of the source and of its sales."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import polars as pl

from demand_forecast.settings import Input, Settings
from demand_forecast.sources.columns import Parsed, mapped, mapping, marks
from demand_forecast.sources.days import Days
from demand_forecast.sources.delivery import Delivery, Table
from demand_forecast.sources.kind import LandingKind
from demand_forecast.sources.landing import Landing


class Journal(Input):
    shop: str


class Till(LandingKind):
    kind: Literal["till"]
    folder: str
    sales: Journal

    def deliveries(self, settings: Settings, name: str, table: Table, given: Input, landing: Landing) -> list[Delivery]:
        files = sorted(settings.resolve(self.folder).glob("*.jsonl"))
        return [self._delivery(name, table, file, landing) for file in files]

    def _delivery(self, name: str, table: Table, file: Path, landing: Landing) -> Delivery:
        hashed, read = partial(landing.file_hash, file, self.sales), partial(self._read, table, file)
        return Delivery(name, file.name, file.name, hashed, read, known=partial(landing.knows, file))

    def _read(self, table: Table, file: Path, days: Days | None) -> Iterator[pl.DataFrame]:
        rows = pl.read_ndjson(file).cast(pl.String).with_columns(shop=pl.lit(self.sales.shop))
        lines = marks(pl.int_range(1, rows.height + 1, eager=True))
        yield mapped(Parsed(rows, lines), mapping(self.sales, table, [], rows.columns, str(file)))
