"""A cash book, one JSON object of units by day, that is asked for its totals."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import polars as pl

from demand_forecast.settings import Input, Settings
from demand_forecast.sources.days import Days
from demand_forecast.sources.delivery import Delivery, Table
from demand_forecast.sources.kind import LedgerKind
from demand_forecast.sources.landing import Landing


@dataclass
class Pages:
    file: Path

    def signature(self) -> list[int] | None:
        return None

    def daily_totals(self, days: Days | None) -> dict[date, str]:
        totals = {date.fromisoformat(day): str(units) for day, units in json.loads(self.file.read_text()).items()}
        return {day: units for day, units in totals.items() if days is None or days[0] <= day <= days[1]}

    def rows(self, days: Days | None) -> Iterator[pl.DataFrame]:
        rows = [(str(day), "S1", "P1", units) for day, units in self.daily_totals(days).items()]
        frame = pl.DataFrame(rows, ["date", "store_id", "product_id", "units"], orient="row").with_row_index("line")
        yield frame.with_columns(pl.col("line").cast(pl.Int64), extra=pl.lit(""), fault=pl.lit(None, pl.String))


class Book(LedgerKind):
    kind: Literal["book"]
    file: str

    def inputs(self, table: Table) -> list[Input]:
        return [Input()] if table == "sales" else []

    def deliveries(self, settings: Settings, name: str, table: Table, given: Input, landing: Landing) -> list[Delivery]:
        return [Delivery(name, "book", "book", str, self.ledger(settings, given).rows)]

    def ledger(self, settings: Settings, given: Input) -> Pages:
        return Pages(settings.resolve(self.file))
