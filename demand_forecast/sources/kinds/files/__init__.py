"""Files that someone lands: CSV, CSV.gz and Parquet, found by globs."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from demand_forecast.settings import Input, Settings
from demand_forecast.sources.kind import LandingKind

if TYPE_CHECKING:
    from demand_forecast.sources.delivery import Delivery, Table
    from demand_forecast.sources.landing import Landing


class Files(LandingKind):
    kind: Literal["files"]
    sales: Input

    def deliveries(
        self, settings: Settings, name: str, table: "Table", given: Input, landing: "Landing"
    ) -> "list[Delivery]":
        from demand_forecast.sources.kinds.files.landed import deliveries

        return deliveries(settings, name, table, given, landing)

    def landed(self, settings: Settings) -> Iterator[Path]:
        from demand_forecast.sources.kinds.files.landed import matching

        given = [self.sales, self.products, self.stores, *self.plan, self.stock]
        return (file for one in given if one and one.path for file in matching(settings, one.path))
