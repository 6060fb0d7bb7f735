"""Tables and queries of any database that SQLAlchemy can reach."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from demand_forecast.settings import Input, Settings
from demand_forecast.sources.kind import Ledger, LedgerKind

if TYPE_CHECKING:
    from demand_forecast.sources.delivery import Delivery, Table
    from demand_forecast.sources.landing import Landing


class Sql(LedgerKind):
    kind: Literal["sql"]
    url: str = Field(repr=False)  # may hold a password
    sales: Input

    def place(self, given: Input) -> str:
        from demand_forecast.sources.kinds.sql.relation import shown

        return f"{self.kind} {shown(self.url)} {given.table or given.query}"

    def deliveries(
        self, settings: Settings, name: str, table: "Table", given: Input, landing: "Landing"
    ) -> "list[Delivery]":
        from demand_forecast.sources.kinds.sql.relation import relation_of
        from demand_forecast.sources.kinds.sql.rows import delivery_of

        return [delivery_of(relation_of(settings, self.url, table, given, self.dates(settings, given)), name, landing)]

    def ledger(self, settings: Settings, given: Input) -> Ledger:
        from demand_forecast.sources.kinds.sql.relation import relation_of
        from demand_forecast.sources.kinds.sql.totals import SqlLedger

        return SqlLedger(relation_of(settings, self.url, "sales", given, self.dates(settings, given)))
