"""The vocabulary of requests and answers: what several endpoints, or the code below them, share."""

import re
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)

from demand_forecast.domain.tables import QUANTILE_LEVELS

MAX_SERIES = 1000
MAX_COMPUTED = 100  # series of one request that the model itself is asked about
MAX_CHANGES = 100
DIGITS = 9  # that levels are compared by: 0.1 + 0.2 is 0.3


def _whole(value: Any) -> Any:
    if isinstance(value, str | bool):
        raise ValueError("give a whole number")
    return value


def _day(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise ValueError("give a day as YYYY-MM-DD")
    return value


def _covariate(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    try:
        return validate(value)
    except ValidationError:
        said = "give a number up to a billion, true or false, the name of an event (at most 200 characters), or null"
        raise ValueError(said) from None


Text = Annotated[str, Field(min_length=1, max_length=200)]
WHOLE = BeforeValidator(_whole)
StoreId = Annotated[Text, Field(description="the store, as the retailer calls it", examples=["S1"])]
ProductId = Annotated[Text, Field(description="the product, as the retailer calls it", examples=["B01"])]
Day = Annotated[date, BeforeValidator(_day)]
Units = Annotated[float, Field(strict=True, ge=0, le=1e9, allow_inf_nan=False)]
Price = Annotated[float, Field(strict=True, gt=0, le=1e9, allow_inf_nan=False, examples=[2.49])]
Covariate = Annotated[
    Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)] | bool | Annotated[str, Field(max_length=200)] | None,
    WrapValidator(_covariate),
]
Level = Annotated[float, Field(strict=True, json_schema_extra={"minimum": 0.1, "maximum": 0.9, "multipleOf": 0.1})]
Levels = Annotated[
    list[Level],
    Field(max_length=9, description="which quantiles: 0.1, 0.2 to 0.9; none for the mean alone", examples=[[0.1, 0.9]]),
]


class Asked(BaseModel):
    """What a client sends: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SeriesId(Asked):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    store_id: StoreId
    product_id: ProductId


class AskedSeries(SeriesId):
    """A series; of a product that is not in the forecast yet, what it is like: `attributes` as products have them."""

    attributes: Annotated[
        dict[Text, Text] | None,
        Field(
            max_length=20,
            description="of a product that nobody sells yet: those of /v1/model's `attributes` that are known; "
            "not read where the product is in the forecast",
            examples=[{"department": "Bakery"}],
        ),
    ] = None
    price: Annotated[Price | None, Field(description="at which a new product is launched; else that of its kind")] = (
        None
    )


class ForecastOptions(Asked):
    """How much of a forecast."""

    horizon: Annotated[
        Annotated[int, Field(ge=1, le=10_000), WHOLE] | None,
        Field(description="periods ahead, at most those that are published; all of them when not said", examples=[7]),
    ] = None
    quantiles: Levels = [0.1, 0.5, 0.9]

    @field_validator("quantiles")
    @classmethod
    def published(cls, levels: list[float]) -> list[float]:
        """Each level once, as it is published."""
        found = {round(level, DIGITS) for level in levels}
        if unknown := found.difference(QUANTILE_LEVELS):
            known = ", ".join(str(known) for known in QUANTILE_LEVELS)
            raise ValueError(f"{min(unknown)} is not published; choose from {known}")
        return sorted(found)


class Change(Asked):
    """What is planned otherwise, from the first day to the last, both included."""

    first: Annotated[Day, Field(examples=["2026-10-06"])]
    last: Annotated[Day, Field(description="not before `first`", examples=["2026-10-07"])]
    price: Annotated[Price | None, Field(description="asked on these days; as planned when not said")] = None
    covariates: Annotated[
        dict[Text, Covariate],
        Field(
            max_length=20,
            description="what is known ahead, by the names of /v1/model's `planned`: `numbers` take a number (a share "
            "from 0 to 1 for what happens or does not), `events` the name of an event, or null for none",
            examples=[{"on_promotion": 1}],
        ),
    ] = {}


Changes = Annotated[
    list[Change],
    Field(
        max_length=MAX_CHANGES,
        description="each touches at least one day of the forecast; where they overlap, the last of them counts",
    ),
]


class AskedOrder(SeriesId):
    """A series to order. What is left out is as in the nightly reorder plan."""

    on_hand: Annotated[Units | None, Field(description="units in the store", examples=[12])] = None
    on_order: Annotated[Units | None, Field(description="units ordered and not yet here", examples=[0])] = None
    lead_time: Annotated[
        Annotated[int, Field(ge=0, le=365), WHOLE] | None,
        Field(description="days between order and delivery", examples=[3]),
    ] = None
    review_period: Annotated[
        Annotated[int, Field(ge=1, le=365), WHOLE] | None, Field(description="days between orders", examples=[7])
    ] = None
    service_level: Annotated[
        Annotated[float, Field(strict=True, ge=0.01, le=0.999)] | None,
        Field(description="probability of no stock-out between two deliveries", examples=[0.95]),
    ] = None


class Answer(BaseModel):
    """What `respond` puts at the head of every answer."""

    request_id: Annotated[str, Field(description="under which the answer is logged", examples=["f9f85b1f63cc00000401"])]
    forecast_origin: Annotated[
        date, Field(description="the last day whose sales the forecast knows", examples=["2026-10-04"])
    ]


class NamedSeries(BaseModel):
    """What names the series that a part of an answer is about."""

    store_id: Annotated[str, Field(examples=["S1"])]
    product_id: Annotated[str, Field(examples=["B01"])]


class SeriesForecast(NamedSeries):
    """One series: expected units and quantiles, one number per date of the answer."""

    model_config = ConfigDict(protected_namespaces=())

    mean: Annotated[list[float], Field(description="expected units", examples=[[92.91502, 90.10442]])]
    quantiles: Annotated[
        dict[str, list[float]],
        Field(
            description="by level: units that are not exceeded with that probability",
            examples=[{"0.1": [69.0, 66.0], "0.9": [119.0, 115.0]}],
        ),
    ]
    model: Annotated[str, Field(description="kind of model", examples=["lightgbm"])]
    model_version: Annotated[str, Field(description="its number in the registry", examples=["4"])]
    arm: Annotated[Literal["champion", "challenger"], Field(description="which of the two, while one is tried out")]
    cold_start: Annotated[
        bool,
        Field(description="the product has no history: what the model expects of a new one with its attributes"),
    ]


class Refused(BaseModel):
    """A package that was published and is not served, because it does not verify."""

    package: str
    reason: str
    since: datetime


class Planned(BaseModel):
    """What of the plan the model reads, and so what may be changed in /v1/what_if."""

    price: Annotated[bool, Field(description="whether prices may be")]
    numbers: Annotated[list[str], Field(description="covariates that are numbers")]
    binary: Annotated[list[str], Field(description="of these, those from 0 (no) to 1 (yes)")]
    events: Annotated[dict[str, list[str]], Field(description="covariates that name an event, and which there are")]
