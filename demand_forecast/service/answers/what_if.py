"""What the model expects under another plan for the coming days."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from demand_forecast.domain.demand.calendar import calendar_of
from demand_forecast.domain.features import ContractError, FeatureContract, read_plan_again
from demand_forecast.publishing.package import FEATURES
from demand_forecast.service.answers.plan import planned, planned_column
from demand_forecast.service.contract.problems import Problem
from demand_forecast.service.contract.schema import Change, SeriesId
from demand_forecast.service.state.published_forecast import LEVELS, Numbers
from demand_forecast.service.state.served import Served


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
    """The numbers of the series in `rows` of the forecast, in that order, with the plan changed; shape as `values`.

    Raises Problem 422 for changes that the model cannot read.
    """
    once = sorted(set(rows))
    keys = [served.published.keys[row] for row in once]
    features, plan = served.rows_of(FEATURES, keys), served.rows_of("planned", keys)
    try:
        changed = read_plan_again(features, plan, _changed(plan, changes, served), served.model.contract)
        return served.distribution(changed, once)[np.searchsorted(once, rows)]
    except ContractError as error:
        raise Problem(422, f"changes: {error}") from None


def _changed(rows: pl.DataFrame, changes: Sequence[Change], served: Served) -> pl.DataFrame:
    """`rows` of the table `planned` with the changes made. Raises Problem 422."""
    for number, change in enumerate(changes):
        days = _days(f"changes.{number}", change, served)
        for name, value in _values(f"changes.{number}", change, served.model.contract).items():
            column = planned_column(name)
            new = pl.lit(value, rows.schema[column])
            rows = rows.with_columns(pl.when(days).then(new).otherwise(column).alias(column))
    return rows


def _days(place: str, change: Change, served: Served) -> pl.Expr:
    """Whether a period is changed: whole weeks or months at such a frequency. Raises Problem 422 where none is."""
    if change.last < change.first:
        raise Problem(422, f"{place}: last: {change.last} is before first: {change.first}")
    calendar, days = calendar_of(served.info.frequency), served.published.days
    begin, end = calendar.span(days[0])[0], calendar.span(days[-1])[1]
    if change.last < begin or change.first > end:
        detail = f"no day of the forecast is from {change.first} to {change.last}; it has {begin} to {end}"
        raise Problem(422, f"{place}: {detail}")
    first, last = calendar.first_day(pl.col("date")), calendar.last_day(pl.col("date"))
    return (last >= change.first) & (first <= change.last)


def _values(place: str, change: Change, contract: FeatureContract) -> dict[str, Any]:
    """The new values by covariate, `price` among them. Raises Problem 422 for what the model does not read."""
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
