"""What is planned for the days of the forecast, and what of it may be changed."""

from typing import Any

import polars as pl

from demand_forecast.domain.features import FeatureContract
from demand_forecast.publishing.package import FEATURES
from demand_forecast.service.contract.schema import Planned, SeriesId
from demand_forecast.service.state.published_forecast import rounded
from demand_forecast.service.state.served import Served

OPEN = "open"


def planned(contract: FeatureContract) -> Planned:
    """What the model reads of a plan: a change may name it."""
    inputs = contract.inputs
    events = {name: list(contract.categories[name]) for name in inputs.future_category}
    binary = [*inputs.future_binary, OPEN]
    numbers = [*inputs.future_number, *binary]
    return Planned(price=inputs.price == "known_future", numbers=numbers, binary=binary, events=events)


def plan_of(served: Served, series: SeriesId) -> dict[str, Any]:
    """The content of a PlanResponse. Raises Problem 404 for a series that is not in the forecast."""
    published, known = served.published, planned(served.model.contract)
    published.places([series])
    key = (series.store_id, series.product_id)
    days = pl.DataFrame({"date": published.days})
    rows = rounded(days.join(served.rows_of("planned", [key]), on="date", how="left", maintain_order="left"))
    return {
        **series.model_dump(),
        "dates": published.dates,
        "price": rows["price"].to_list() if known.price else [None] * len(rows),
        "numbers": {name: rows[planned_column(name)].to_list() for name in known.numbers},
        "events": {name: rows[name].to_list() for name in known.events},
        "expected_open": served.rows_of(FEATURES, [key])["expected_open"].to_list(),
    }


def planned_column(name: str) -> str:
    """The column of the package's table `planned` that holds a covariate."""
    return f"{OPEN}_planned" if name == OPEN else name
