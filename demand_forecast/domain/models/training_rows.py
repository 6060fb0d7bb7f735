"""Which rows of a feature frame a model learns from, and from which origin it forecasts next."""

from datetime import date

import polars as pl


class HistoryTooShort(ValueError):  # noqa: N818 - it says what is wrong, not that something is
    """There is no period to forecast from."""


def training_rows(features: pl.DataFrame, origin: date) -> pl.DataFrame:
    """The rows of a feature frame that were known at `origin`: their target day is not after it."""
    return features.filter(pl.col("training") & (pl.col("date") <= origin))


def newest_origin(features: pl.DataFrame) -> date:
    """The origin of the next forecast. Raises HistoryTooShort when there are no rows."""
    newest = features["forecast_origin"].max()
    if not isinstance(newest, date):
        raise HistoryTooShort("demand_features has no rows: materialize daily_demand and demand_features again")
    return newest
