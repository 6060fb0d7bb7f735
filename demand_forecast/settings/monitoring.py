"""`monitoring:`, when models are trained again or taken back."""

from typing import Self

from pydantic import Field, model_validator

from demand_forecast.settings.section import Section, at_most


class Retraining(Section):
    windows: int = Field(4, ge=1)  # the newest windows that are looked at
    out: int = Field(2, ge=1)  # so many of them out of bounds, the newest among them: train again
    drift_share: float = Field(0.5, gt=0, le=1)  # of the columns that can move, from which a window is out of bounds
    error_ratio: float = Field(1.25, gt=0)  # realised WQL over that of the backtest, above which a window is out
    max_age_days: int = Field(30, ge=1)  # of the last training, from which on models are trained again anyway

    @model_validator(mode="after")
    def possible(self) -> Self:
        return at_most(self, "out", "windows")


class Rollback(Section):
    windows: int = Field(4, ge=1)  # the newest whole weeks that are looked at
    lost: int = Field(3, ge=1)  # so many of them lost, the newest among them: back to the previous champion
    margin: float = Field(0.02, ge=0)  # share by which the champion's WQL must be worse for a week to be lost

    @model_validator(mode="after")
    def possible(self) -> Self:
        return at_most(self, "lost", "windows")


class Monitoring(Section):
    window_days: int = Field(7, ge=1)
    retrain: Retraining = Retraining()
    rollback: Rollback = Rollback()
