"""What the service is asked and what it answers."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from demand_forecast.domain.tables import QUANTILE_LEVELS
from demand_forecast.tracking.package import PackageInfo

MAX_SERIES = 1000
MAX_COMPUTED = 100  # series of one request that the model itself is asked about
MAX_CHANGES = 100
MAX_PAGE = 500

Text = Annotated[str, Field(min_length=1, max_length=200)]
Units = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Price = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False, examples=[2.49])]
Covariate = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)] | Annotated[str, Field(max_length=200)] | None
Levels = Annotated[list[float], Field(max_length=9, examples=[[0.1, 0.5, 0.9]])]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SeriesId(_Asked):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    store_id: Annotated[Text, Field(examples=["S1"])]
    product_id: Annotated[Text, Field(examples=["P001"])]


class AskedSeries(SeriesId):
    """A series; of a product that is not in the forecast yet, what it is like: `attributes` as products have them."""

    attributes: Annotated[dict[Text, Text], Field(max_length=20, examples=[{"department": "Bakery"}])] | None = None
    price: Price | None = None


class _ForecastPart(_Asked):
    horizon: Annotated[int, Field(ge=1, le=10_000, examples=[7])] | None = None
    quantiles: Levels = [0.1, 0.5, 0.9]

    @field_validator("quantiles")
    @classmethod
    def published(cls, levels: list[float]) -> list[float]:
        """Each level once, as it is published."""
        for level in levels:
            if level not in QUANTILE_LEVELS:
                known = ", ".join(str(known) for known in QUANTILE_LEVELS)
                raise ValueError(f"{level} is not published; choose from {known}")
        return sorted(set(levels))


class ForecastRequest(_ForecastPart):
    """Which series, how many periods ahead (all that are published when not said), and which quantiles."""

    series: Annotated[list[AskedSeries], Field(min_length=1, max_length=MAX_SERIES)]


class Change(_Asked):
    """What is planned otherwise, from the first day to the last, both included."""

    first: date
    last: date
    price: Price | None = None
    covariates: Annotated[dict[Text, Covariate], Field(max_length=20, examples=[{"on_promotion": 1}])] = {}

    @model_validator(mode="after")
    def in_order(self) -> "Change":
        if self.last < self.first:
            raise ValueError(f"last: {self.last} is before first: {self.first}")
        return self


class WhatIfRequest(_ForecastPart):
    """Which series, and what is planned otherwise than the plan says; later changes count where they overlap."""

    series: Annotated[list[SeriesId], Field(min_length=1, max_length=MAX_COMPUTED)]
    changes: Annotated[list[Change], Field(max_length=MAX_CHANGES)] = []


class AskedOrder(SeriesId):
    """A series to order. What is left out is as in the nightly reorder plan."""

    on_hand: Annotated[Units, Field(examples=[12])] | None = None
    on_order: Units | None = None
    lead_time: Annotated[int, Field(ge=0, le=365, description="days", examples=[3])] | None = None
    review_period: Annotated[int, Field(ge=1, le=365, description="days", examples=[7])] | None = None
    service_level: (
        Annotated[
            float,
            Field(ge=0.01, le=0.999, description="probability of no stock-out between two deliveries", examples=[0.95]),
        ]
        | None
    ) = None


class ReorderRequest(_Asked):
    series: Annotated[list[AskedOrder], Field(min_length=1, max_length=MAX_COMPUTED)]


class _Answer(BaseModel):
    request_id: str
    forecast_origin: Annotated[date, Field(description="the last day whose sales the forecast knows")]


class SeriesForecast(BaseModel):
    """One series: expected units and quantiles, one number per date of the answer.

    `cold_start`: the product has no history; this is what the model expects of a new one with these attributes.
    """

    model_config = ConfigDict(protected_namespaces=())

    store_id: str
    product_id: str
    mean: list[float]
    quantiles: Annotated[dict[str, list[float]], Field(examples=[{"0.1": [2.0], "0.5": [5.0], "0.9": [9.0]}])]
    model: Annotated[str, Field(examples=["lightgbm"])]
    model_version: Annotated[str, Field(examples=["3"])]
    arm: Annotated[Literal["champion", "challenger"], Field(description="which of the two, while one is tried out")]
    cold_start: bool


class ForecastResponse(_Answer):
    dates: list[date]
    forecasts: list[SeriesForecast]


class WhatIfForecast(SeriesForecast):
    published_mean: Annotated[list[float], Field(description="what is expected as things are planned")]


class WhatIfResponse(_Answer):
    dates: list[date]
    forecasts: list[WhatIfForecast]


class Order(SeriesId):
    """What to order now, and why: `target_stock` less `on_hand` and `on_order`, in whole units, at least zero."""

    model_config = ConfigDict(extra="ignore")

    lead_time: int
    review_period: int
    protection_days: Annotated[int, Field(description="days until the next order but one arrives: lead + review")]
    expected_demand: Annotated[float, Field(description="expected units over the protection days")]
    target_stock: Annotated[float, Field(description="demand over the protection days at the service level asked")]
    on_hand: float
    on_order: float
    stock_known: Annotated[bool, Field(description="false: no stock report, none given; counted as 0")]
    order_quantity: float
    expected_stock: Annotated[float, Field(description="expected units left at the end of the protection days")]
    service_level: Annotated[float, Field(description="probability that the stock after the order lasts")]
    protection_cut: Annotated[bool, Field(description="the forecast is shorter than lead time plus review period")]
    why: str


class ReorderResponse(_Answer):
    orders: list[Order]


class SeriesItem(BaseModel):
    """One series as the overview of the night describes it; what is not known is null."""

    model_config = ConfigDict(extra="allow")

    store_id: str
    product_id: str


class SeriesPage(_Answer):
    total: int
    offset: int
    series: list[SeriesItem]


class HistoryResponse(_Answer):
    """What was sold, by period; where there was nothing to sell, `in_stock` and `open` say so."""

    store_id: str
    product_id: str
    dates: list[date]
    units: list[float | None]
    price: list[float | None]
    in_stock: list[float | None]
    open: list[bool | None]


class LogState(BaseModel):
    """Whether answers are being written down. `lost`: answers of this worker that were not."""

    written: bool
    lost: int
    reason: str | None


class Refused(BaseModel):
    """A package that was published and is not served, because it does not verify."""

    package: str
    reason: str
    since: datetime


class TriedOut(BaseModel):
    """A challenger that is tried out: in the `shadow`, or as a `canary` that answers for a `share` of the series."""

    model_config = ConfigDict(protected_namespaces=())

    package: str
    model: str
    model_version: str
    mode: Literal["shadow", "canary"]
    share: float


class Planned(BaseModel):
    """What of the plan the model reads, and so what may be asked of it."""

    price: bool
    numbers: list[str]
    events: dict[str, list[str]]


class ServedModel(PackageInfo):
    """What is live and why, how many periods ahead it reaches and how many series it covers."""

    package: str
    horizon: int
    series: int
    planned: Planned
    attributes: Annotated[list[str], Field(description="of products, as a cold start may name them")]
    prediction_log: LogState
    refused: Refused | None
    trial: TriedOut | None


class ProblemDetails(BaseModel):
    """Problem details for HTTP APIs, RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[dict[str, Any]] | None = None
    unknown: list[dict[str, Any]] | None = None
