"""`training:` and `backtest:`, which models are made and how they are compared."""

from typing import Literal

from pydantic import Field, field_validator

from demand_forecast.settings.section import Section

CandidateName = Literal["seasonal_naive", "gradient_boosting", "lightgbm", "ensemble"]


class Backtest(Section):
    origins: int = Field(3, ge=1, le=52)
    step: int | None = None  # periods between origins; None: the horizon


class Training(Section):
    candidates: list[CandidateName] = ["seasonal_naive", "gradient_boosting", "lightgbm", "ensemble"]
    window: int = 1400  # days of history that training rows are drawn from
    max_rows: int = Field(400_000, ge=1)

    @field_validator("candidates")
    @classmethod
    def with_the_baseline(cls, names: list[CandidateName]) -> list[CandidateName]:
        if "seasonal_naive" not in names:
            raise ValueError("seasonal_naive must be among the candidates: every other is measured against it")
        return names
