"""The tables' columns: names, types and meaning, said once."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import polars as pl

Unit = Literal["", "units", "days", "share", "times"]


@dataclass(frozen=True)
class Column:
    """One column of a table. The lake's schema, the docs in the UI, the API and the planner's page derive from it."""

    name: str
    dtype: pl.DataType
    meaning: str
    label: str = ""  # on the planner's page; none: not shown there
    unit: Unit = ""  # how the page writes the number
    example: Any = None  # in the API's documentation


def schema_of(columns: Iterable[Column]) -> dict[str, pl.DataType]:
    return {column.name: column.dtype for column in columns}


def meaning_of(columns: Iterable[Column]) -> dict[str, str]:
    return {column.name: column.meaning for column in columns}


SERIES = ("store_id", "product_id")
DAY_KEY = ("store_id", "product_id", "date")
QUANTILE_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
QUANTILE_COLUMNS = tuple(f"q{round(level * 100)}" for level in QUANTILE_LEVELS)
FORECAST_NUMBERS = ("mean", *QUANTILE_COLUMNS, "variance", "correlation")

RAW_PROVENANCE: dict[str, pl.DataType] = {
    "source": pl.String(),
    "file": pl.String(),
    "line": pl.Int64(),
    "report": pl.String(),
    "file_hash": pl.String(),
    "content_hash": pl.String(),
    "arrived_at": pl.Datetime("us", "UTC"),
    "day": pl.Date(),
}

MEANING = {
    "store_id": "shop; with product_id it names a series",
    "product_id": "product; with store_id it names a series",
    "date": "day; of a week or month the date by which the retailer's own data name it",
    "units": "units sold: the target; never negative after cleaning; null where nothing is known, as of a late store",
    "price": "price asked that day",
    "in_stock": "share of the opening time that goods were there to sell, 0..1; null where the day says nothing of "
    "demand: nothing is known of it, or it brought an exceptional order",
    "on_hand": "units in the shop at closing time",
    "open": "whether the shop was open; null where nothing is known",
    "forecast_origin": "last day whose sales the forecast may know",
    "horizon": "periods ahead of the forecast origin, from 1",
    "mean": "expected units",
    **{
        name: f"units not exceeded with probability {level:.0%}"
        for name, level in zip(QUANTILE_COLUMNS, QUANTILE_LEVELS, strict=True)
    },
    "variance": "of the units of the period around the mean, as orders over several periods count it",
    "correlation": "between the errors of the series' periods, 0..1, as orders over several periods count it",
    "kind": "how the series had sold at the origin: smooth, erratic, intermittent or lumpy",
    "exposure": "share of the period in which goods were there to sell: expected sales are exposure x demand",
    "pit_low": "probability, as forecast for the time that goods were there, of less than the units that were sold",
    "pit_high": "probability, as forecast for the time that goods were there, of at most the units that were sold",
    "store_group": "group of shops; with product_group it names a group of series",
    "product_group": "group of products; with store_group it names a group of series",
    "error_before": "error of groups and of the total, as a share of units, before alignment",
    "error_after": "the same after alignment",
    "model": "model family",
    "model_version": "registered model version",
    "alignment": "factor that moved the model's own mean towards the forecast of its group: mean = model's mean x it",
    "source": "source the row came from",
    "file": "file or database table the row came from",
    "line": "line in the file, row number in a table",
    "report": "report that the file is a version of; the newest version of a report and day counts",
    "file_hash": "SHA-256 of the file and how it was read; -part when some of its days were left out",
    "content_hash": "hash of what the file says about the day",
    "arrived_at": "when the row was collected",
    "day": "partition day",
    "extra": "unmapped columns as JSON, or a line that could not be split",
    "fault": "what was wrong with the line when it was read",
    "reason": "why the row does not count",
    "weight": "training weight of the row",
    "training": "whether models train on the row",
    "expected_open": "share of the day that the shop is expected to be open",
    "level": "level of the hierarchy: forecasts are summed to it before they are compared; `class …`: its series alone",
    "metric": "what is measured",
    "value": "value of the metric; origin unknown: over all origins",
    "on_order": "units ordered and not yet delivered",
    "decided_at": "when it was decided",
    "decision": "promoted, kept or refused",
    "from_version": "champion before",
    "to_version": "challenger: champion after, if promoted",
    "by": "who decided: the asset, or a person",
    "run_id": "Dagster run of the decision",
    "champion_value": "the metric of the champion, or of seasonal naive where there was none",
    "challenger_value": "the metric of the challenger",
    "improvement": "share by which the challenger's metric is lower",
    "bias": "challenger: (forecast - sold) / sold, over everything",
    "calibration_error": "challenger: how far, in probability, its quantiles are from what they promise",
    "loss_difference": "challenger's loss - champion's on the same pairs of the backtest, over the units sold",
    "standard_error": "of that difference, clustered by series and by day",
    "p_value": "probability of a challenger that is better by so much where both are equally good",
    "verdict": "what that says of the challenger: better, worse, not told apart",
    "reasons": "the rules and figures behind the decision",
    "at": "when it was answered",
    "request_id": "the request, as its answer says it",
    "endpoint": "path that was asked",
    "seconds": "time to the answer; unknown for one that was not given",
    "shadow": "whether the answer was written down and not given",
    "arm": "champion, or challenger on trial",
    "cold_start": "whether the product had no history: forecast from its attributes",
    "periods": "periods that were asked for, from the first of the forecast on: the length of the lists",
    "segment": "segment file of the service's log that the row came from",
}


def now() -> datetime:
    """The current time in UTC, to the microsecond that the lake stores."""
    return datetime.now(UTC)


def series_key() -> list[str]:
    return list(SERIES)
