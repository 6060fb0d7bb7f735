"""Asked of the model itself: another plan for the coming days, and products that never sold."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl

from demand_forecast.domain.demand.calendar import calendar_of
from demand_forecast.domain.features import ContractError, FeatureContract, lay_launch_price, read_plan_again
from demand_forecast.publishing.package import FEATURES
from demand_forecast.service.contract.problems import Problem
from demand_forecast.service.contract.schema import AskedSeries, Change, Planned, SeriesId
from demand_forecast.service.state.published import LEVELS, Numbers, numbers_of, readable
from demand_forecast.service.state.served import Served

OPEN = "open"
SHOWN = 20  # values that an answer names


def what_if(
    served: Served, series: Sequence[SeriesId], changes: Sequence[Change], horizon: int, levels: Sequence[float]
) -> list[dict[str, Any]]:
    """The content of a WhatIfForecast for each of `series`, with the plan changed. Raises Problem 404, 422."""
    published = served.published
    rows = published.places(series)
    found = []
    for row, block in zip(rows, numbers_under(served, rows, changes), strict=True):
        content = published.forecast(row, horizon, ())
        content |= {
            "published_mean": content["mean"],
            "mean": block[0, :horizon],
            "quantiles": {str(level): block[LEVELS[level], :horizon] for level in levels},
        }
        found.append(content)
    return found


def numbers_under(served: Served, rows: Sequence[int], changes: Sequence[Change]) -> Numbers:
    """What is published of the series in `rows`, in their order, as it were under another plan. Raises Problem 422."""
    once = sorted(set(rows))
    keys = [served.published.keys[row] for row in once]
    features, planned = served.rows_of(FEATURES, keys), served.rows_of("planned", keys)
    try:
        again = read_plan_again(features, planned, _changed(planned, changes, served), served.model.contract)
        return served.distribution(again, once)[np.searchsorted(once, rows)]
    except ContractError as error:
        raise Problem(422, f"changes: {error}") from None


def cold_start(
    served: Served, asked: Sequence[AskedSeries], horizon: int, levels: Sequence[float]
) -> list[dict[str, Any]]:
    """The content of a SeriesForecast for each new product of `asked`, as if it came on sale on the first day.

    Raises Problem 404 for an unknown store, 422 for attributes that no product has.
    """
    return [_as_new(served, item, horizon, levels) for item in asked]


def _as_new(served: Served, item: AskedSeries, horizon: int, levels: Sequence[float]) -> dict[str, Any]:
    contract, published = served.model.contract, served.published
    key = (item.store_id, _kind(served, item))
    features, planned = served.rows_of("new_products", [key]), served.rows_of("planned", [key])
    if item.price is not None:
        features, planned = lay_launch_price(features, planned, item.price, contract)
    made = served.model.forecast(features)
    block = numbers_of(made, 1)[0]
    return {
        **published.named(item.store_id, item.product_id),
        "mean": block[0, :horizon],
        "quantiles": {str(level): block[LEVELS[level], :horizon] for level in levels},
        "cold_start": True,
    }


def _kind(served: Served, item: AskedSeries) -> str:
    """The product_id under which new products like `item` are packed: of those that fit, the kind sold most widely."""
    if item.store_id not in served.new_in:
        raise served.published.unknown([item])
    fitting = served.kinds
    for name, value in (item.attributes or {}).items():
        known = {kind.attributes[name] for kind in served.kinds if name in kind.attributes}
        if value not in known:
            said = f"known are {', '.join(sorted(map(str, known))[:SHOWN])}" if known else _attributes(served)
            raise Problem(422, f"attributes.{name}: no product has {value}; {said}")
        fitting = [kind for kind in fitting if kind.attributes[name] == value]
        if not fitting:
            raise Problem(422, f"attributes: no product has {name} {value} with the attributes before it")
    return fitting[0].product_id


def _attributes(served: Served) -> str:
    return f"products have the attributes {', '.join(served.product_attributes) or 'none'}"


def planned(contract: FeatureContract) -> Planned:
    """What a change may name."""
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
    rows = readable(days.join(served.rows_of("planned", [key]), on="date", how="left", maintain_order="left"))
    return {
        **series.model_dump(),
        "dates": published.dates,
        "price": rows["price"].to_list() if known.price else [None] * len(rows),
        "numbers": {name: rows[_column(name)].to_list() for name in known.numbers},
        "events": {name: rows[name].to_list() for name in known.events},
        "expected_open": served.rows_of(FEATURES, [key])["expected_open"].to_list(),
    }


def _changed(planned: pl.DataFrame, changes: Sequence[Change], served: Served) -> pl.DataFrame:
    for number, change in enumerate(changes):
        days = _days(f"changes.{number}", change, served)
        for name, value in _values(f"changes.{number}", change, served.model.contract).items():
            column = _column(name)
            new = pl.lit(value, planned.schema[column])
            planned = planned.with_columns(pl.when(days).then(new).otherwise(column).alias(column))
    return planned


def _column(name: str) -> str:
    return f"{OPEN}_planned" if name == OPEN else name


def _days(place: str, change: Change, served: Served) -> pl.Expr:
    """The periods that the change touches: whole weeks at weekly frequency. Raises Problem 422 for none."""
    if change.last < change.first:
        raise Problem(422, f"{place}: last: {change.last} is before first: {change.first}")
    step, days = calendar_of(served.info.frequency).step, served.published.days
    end = days[-1] + timedelta(days=step - 1)
    if change.last < days[0] or change.first > end:
        said = f"no day of the forecast is from {change.first} to {change.last}; it has {days[0]} to {end}"
        raise Problem(422, f"{place}: {said}")
    ends = pl.col("date").dt.offset_by(f"{step - 1}d")
    return (ends >= change.first) & (pl.col("date") <= change.last)


def _values(place: str, change: Change, contract: FeatureContract) -> dict[str, Any]:
    """What is to be changed, checked against what the model reads. Raises Problem 422."""
    known = planned(contract)
    values: dict[str, Any] = dict(change.covariates)
    for name, value in values.items():
        if name in known.events:
            if value is not None and not isinstance(value, str):
                raise Problem(422, f"{place}.covariates.{name}: give the name of an event, or null for none")
        elif name not in known.numbers:
            names = ", ".join([*known.numbers, *known.events])
            raise Problem(422, f"{place}.covariates: {name} is not among what is planned; known are {names}")
        elif isinstance(value, str):
            raise Problem(422, f"{place}.covariates.{name}: give a number")
        elif name in known.binary and value is not None and not 0 <= value <= 1:
            raise Problem(422, f"{place}.covariates.{name}: give a share from 0 to 1")
    if change.price is not None:
        if not known.price:
            raise Problem(422, f"{place}.price: the model knows no planned prices, so it cannot answer for another one")
        values["price"] = change.price
    return values
