"""`replenishment:`, how orders are placed and delivered."""

from pydantic import Field

from demand_forecast.settings.section import Section


class Replenishment(Section):
    lead_time: int = Field(3, ge=0)  # days between order and delivery
    review_period: int = Field(7, ge=1)  # days between orders
    service_level: float = Field(0.95, gt=0, lt=1)  # probability of no stock-out over lead time + review period
