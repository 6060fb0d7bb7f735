"""`training:` and `backtest:`, which models are made and how they are compared."""

from pydantic import Field

from demand_forecast.settings.section import Section


class Backtest(Section):
    origins: int = Field(3, ge=1, le=52)
    step: int | None = None  # periods between origins; None: the horizon


class Training(Section):
    candidates: list[str] = []  # names of model families; none: those that are candidates by default
    window: int = 1400  # days of history that training rows are drawn from
    max_rows: int = Field(400_000, ge=1)
