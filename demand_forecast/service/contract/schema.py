"""What the service is asked and what it answers."""

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
    create_model,
    field_validator,
)

from demand_forecast.domain.tables import QUANTILE_LEVELS
from demand_forecast.domain.watching.attention import OVERVIEW
from demand_forecast.publishing.package import PackageInfo

MAX_SERIES = 1000
MAX_COMPUTED = 100  # series of one request that the model itself is asked about
MAX_CHANGES = 100
MAX_PAGE = 500
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


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SeriesId(_Asked):
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


class _ForecastPart(_Asked):
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


class ForecastRequest(_ForecastPart):
    """Which series, how many periods ahead (all that are published when not said), and which quantiles."""

    series: Annotated[list[AskedSeries], Field(min_length=1, max_length=MAX_SERIES)]


class Change(_Asked):
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


class WhatIfRequest(_ForecastPart):
    """Which series, and what is planned otherwise than the plan says."""

    series: Annotated[list[SeriesId], Field(min_length=1, max_length=MAX_COMPUTED)]
    changes: Changes = []


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


class ReorderRequest(_Asked):
    """Which series, with which stock and policy, and what is planned otherwise than the plan says."""

    series: Annotated[list[AskedOrder], Field(min_length=1, max_length=MAX_COMPUTED)]
    changes: Changes = []


class SeriesQuery(_Asked):
    """Which series of the overview, and which page of them."""

    search: Annotated[
        str, Field(max_length=100, description="words, each of which an id or attribute holds", examples=["bakery s1"])
    ] = ""
    store_id: Annotated[str, Field(max_length=200, description="of this store only", examples=["S1"])] = ""
    product_id: Annotated[str, Field(max_length=200, description="of this product only", examples=["B01"])] = ""
    attention: Annotated[bool, Field(description="only those that need attention, the most urgent first")] = False
    reason: Annotated[str, Field(max_length=50, description="with this among their `reasons`", examples=["drift"])] = ""
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE, description="series on a page")] = 50
    offset: Annotated[int, Field(ge=0, le=10_000_000, description="series before the page")] = 0


class PlanQuery(_Asked):
    """Whose plan."""

    store_id: StoreId
    product_id: ProductId


class HistoryQuery(_Asked):
    """Whose history, and how much of it."""

    store_id: StoreId
    product_id: ProductId
    periods: Annotated[int, Field(ge=1, le=1000, description="days (weeks at weekly frequency), the newest")] = 91


class _Answer(BaseModel):
    request_id: Annotated[str, Field(description="under which the answer is logged", examples=["f9f85b1f63cc00000401"])]
    forecast_origin: Annotated[
        date, Field(description="the last day whose sales the forecast knows", examples=["2026-10-04"])
    ]


class _AnsweredSeries(BaseModel):
    store_id: Annotated[str, Field(examples=["S1"])]
    product_id: Annotated[str, Field(examples=["B01"])]


class SeriesForecast(_AnsweredSeries):
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


class ForecastResponse(_Answer):
    dates: Annotated[list[date], Field(description="the periods that the numbers of each forecast are of, in order")]
    forecasts: Annotated[list[SeriesForecast], Field(description="one for each series asked, in the same order")]


class WhatIfForecast(SeriesForecast):
    """One series under the plan that was asked, beside what is published."""

    published_mean: Annotated[list[float], Field(description="expected units as things are planned")]


class WhatIfResponse(_Answer):
    dates: Annotated[list[date], Field(description="the periods that the numbers of each forecast are of, in order")]
    forecasts: Annotated[list[WhatIfForecast], Field(description="one for each series asked, in the same order")]


class Order(_AnsweredSeries):
    """What to order now, and why: `target_stock` less `on_hand` and `on_order`, in whole units, at least zero."""

    lead_time: Annotated[int, Field(description="days between order and delivery")]
    review_period: Annotated[int, Field(description="days between orders")]
    protection_days: Annotated[int, Field(description="days until the next order but one arrives: lead + review")]
    expected_demand: Annotated[float, Field(description="expected units over the protection days")]
    target_stock: Annotated[float, Field(description="demand over the protection days at the service level asked")]
    on_hand: Annotated[float, Field(description="units in the store that were counted")]
    on_order: Annotated[float, Field(description="units ordered and not yet here that were counted")]
    stock_known: Annotated[bool, Field(description="false: no stock report, none given; counted as 0")]
    order_quantity: Annotated[float, Field(description="units to order")]
    expected_stock: Annotated[float, Field(description="expected units left at the end of the protection days")]
    service_level: Annotated[float, Field(description="probability that the stock after the order lasts")]
    protection_cut: Annotated[bool, Field(description="the forecast is shorter than lead time plus review period")]
    why: Annotated[str, Field(description="the same in words")]


class ReorderResponse(_Answer):
    orders: Annotated[list[Order], Field(description="one for each series asked, in the same order")]


def _overview_fields() -> dict[str, Any]:
    """Of the night's overview: what each column holds, or null where it is not known."""
    kinds = {column: column.dtype.to_python() for column in OVERVIEW}
    return {
        column.name: ((list[str] if kind is list else kind) | None, Field(None, description=column.meaning))
        for column, kind in kinds.items()
    }


SeriesItem = create_model(
    "SeriesItem",
    __base__=_AnsweredSeries,
    __doc__="One series as the overview of the night describes it, with the attributes of its product and store; "
    "what is not known is null.",
    __cls_kwargs__={"extra": "allow"},
    **_overview_fields(),
)


class SeriesPage(_Answer):
    total: Annotated[int, Field(description="series that were found, on all pages")]
    offset: Annotated[int, Field(description="series before this page")]
    series: list[SeriesItem]  # type: ignore[valid-type]


class HistoryResponse(_Answer, _AnsweredSeries):
    """What was sold, by period, oldest first; where there was nothing to sell, `in_stock` and `open` say so."""

    dates: Annotated[list[date], Field(description="the periods that the other lists are of")]
    units: Annotated[list[float | None], Field(description="sold")]
    price: Annotated[list[float | None], Field(description="asked")]
    in_stock: Annotated[list[float | None], Field(description="share of the opening time with goods there, 0 to 1")]
    open: Annotated[list[bool | None], Field(description="whether the store was open")]


class PlanResponse(_Answer, _AnsweredSeries):
    """What the forecast of a series was told of its days; what is not planned is null."""

    dates: Annotated[list[date], Field(description="the periods that the other lists are of")]
    price: list[float | None]
    numbers: Annotated[dict[str, list[float | None]], Field(description="covariates that are numbers, by name")]
    events: Annotated[dict[str, list[str | None]], Field(description="covariates that name an event, by name")]
    expected_open: Annotated[list[float], Field(description="share of the day: as planned, else as usual")]


class KindOfProduct(BaseModel):
    """What a product is like."""

    attributes: Annotated[dict[str, str | None], Field(description="as products have them together; null: has none")]
    series: Annotated[int | None, Field(description="how many of the forecast are of this kind; null: not known")]


class KindsResponse(_Answer):
    """The kinds of new products that can be forecast, each in every one of the stores."""

    stores: list[str]
    kinds: Annotated[list[KindOfProduct], Field(description="the most common first")]


class LogState(BaseModel):
    """Whether answers are being written down."""

    written: bool
    lost: Annotated[int, Field(description="answers of this worker that were not written down")]
    reason: Annotated[str | None, Field(description="why they are not, in words")]


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
    share: Annotated[float, Field(description="0 to 1")]


class Planned(BaseModel):
    """What of the plan the model reads, and so what may be changed in /v1/what_if."""

    price: Annotated[bool, Field(description="whether prices may be")]
    numbers: Annotated[list[str], Field(description="covariates that are numbers")]
    binary: Annotated[list[str], Field(description="of these, those from 0 (no) to 1 (yes)")]
    events: Annotated[dict[str, list[str]], Field(description="covariates that name an event, and which there are")]


class ServedModel(PackageInfo):
    """What is live and why, how many periods ahead it reaches and how many series it covers."""

    package: Annotated[str, Field(description="what is served: version and content")]
    horizon: Annotated[int, Field(description="periods that are published")]
    series: Annotated[int, Field(description="how many are in the forecast")]
    planned: Planned
    attributes: Annotated[list[str], Field(description="of products, as a cold start may name them")]
    prediction_log: LogState
    refused: Refused | None
    trial: TriedOut | None


class InvalidField(BaseModel):
    """What is wrong with a request, and where."""

    at: Annotated[str, Field(examples=["series.0.product_id"])]
    what: Annotated[str, Field(examples=["Field required"])]


class UnknownSeries(_AnsweredSeries):
    """A series that is not in the forecast, and the known ids nearest to it."""

    nearest_stores: Annotated[list[str], Field(description="where the store is not known")] = []
    nearest_products: Annotated[list[str], Field(description="of the store, where that is known")] = []


class ProblemDetails(BaseModel):
    """Problem details for HTTP APIs, RFC 9457."""

    type: Annotated[str, Field(examples=["about:blank"])]
    title: Annotated[str, Field(description="the status in words", examples=["Not Found"])]
    status: int
    detail: Annotated[str, Field(description="what is wrong, where, and what to do")]
    instance: Annotated[str, Field(description="the path that was asked", examples=["/v1/forecast"])]
    request_id: Annotated[str, Field(description="to find it in the service's log")]
    errors: Annotated[list[InvalidField], Field(description="with status 422: the first of them")] = []
    unknown: Annotated[list[UnknownSeries], Field(description="with status 404: the first of them")] = []
