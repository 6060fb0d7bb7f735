"""What the service is asked and what it answers."""

from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from demand_forecast.domain.tables import QUANTILE_LEVELS
from demand_forecast.tracking.package import PackageInfo

MAX_SERIES = 1000


class Series(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    store_id: Annotated[str, Field(min_length=1, max_length=200, examples=["S1"])]
    product_id: Annotated[str, Field(min_length=1, max_length=200, examples=["P001"])]


class ForecastRequest(BaseModel):
    """Which series, how many periods ahead (all that are published when not said), and which quantiles."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    series: Annotated[list[Series], Field(min_length=1, max_length=MAX_SERIES)]
    horizon: Annotated[int, Field(ge=1, examples=[7])] | None = None
    quantiles: list[float] = [0.1, 0.5, 0.9]

    @field_validator("quantiles")
    @classmethod
    def published(cls, levels: list[float]) -> list[float]:
        """Each level once, as it is published."""
        for level in levels:
            if level not in QUANTILE_LEVELS:
                known = ", ".join(str(known) for known in QUANTILE_LEVELS)
                raise ValueError(f"{level} is not published; choose from {known}")
        return sorted(set(levels))


class SeriesForecast(Series):
    """One series: expected units and quantiles, one number per date."""

    dates: list[date]
    mean: list[float]
    quantiles: Annotated[dict[str, list[float]], Field(examples=[{"0.1": [2.0], "0.5": [5.0], "0.9": [9.0]}])]


class ForecastResponse(BaseModel):
    model: str
    model_version: str
    forecast_origin: date
    forecasts: list[SeriesForecast]


class ServedModel(PackageInfo):
    """What is live and why, how many periods ahead it reaches and how many series it covers."""

    horizon: int
    series: int


class Problem(BaseModel):
    error: str
