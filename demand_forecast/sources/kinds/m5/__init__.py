"""The folder layout of Kaggle's "M5 Forecasting - Accuracy", whole or any stores of it."""

from typing import TYPE_CHECKING, Literal

from demand_forecast.settings import Input, Settings
from demand_forecast.sources.kind import LandingKind

if TYPE_CHECKING:
    from demand_forecast.sources.delivery import Delivery, Table
    from demand_forecast.sources.landing import Landing


class M5(LandingKind):
    kind: Literal["m5"]
    path: str  # the folder, or a zip

    def inputs(self, table: "Table") -> list[Input]:  # noqa: ARG002
        """One of every table: the layout says what it is."""
        return [Input()]

    def place(self, given: Input) -> str:  # noqa: ARG002
        return f"{self.kind} {self.path}"

    def deliveries(
        self,
        settings: Settings,
        name: str,
        table: "Table",
        given: Input,  # noqa: ARG002
        landing: "Landing",
    ) -> "list[Delivery]":
        from demand_forecast.sources.kinds.m5.tables import deliveries

        return deliveries(settings, name, table, self.path, landing)
