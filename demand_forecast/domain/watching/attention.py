"""What a planner needs to know of each series, and which few of them need attention: stock, errors, drift."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import NamedTuple

import polars as pl

from demand_forecast.domain.demand.calendar import Frequency, calendar_of
from demand_forecast.domain.demand.demand_classes import counts
from demand_forecast.domain.demand.hierarchy import attach_static
from demand_forecast.domain.evaluation.metrics import ratio
from demand_forecast.domain.models.training_rows import newest_origin
from demand_forecast.domain.replenishment.policy import PLAN, PLAN_KEY, STOCK_OUT, stock_out_risk
from demand_forecast.domain.tables import MEANING, SERIES, Column, schema_of
from demand_forecast.domain.watching.live_accuracy import Window, series_accuracy
from demand_forecast.settings import Replenishment

WEEKS = 4
WEEKS_BEFORE = 26
RISK = 0.6  # goods rather run out than not; 8% of the sample's series
ERROR_RATIO = 2.0  # none of 4,000 series with perfect forecasts, 2% of M5's
DRIFT_RATIO = 1.5  # a smaller change is no news to a planner, however sure it is
DRIFT_Z = 4.0  # with DRIFT_RATIO 3% of M5's series, where 3 would be 7%; one of 4,000 that stay as they are
LEAST_DAYS = 10  # of published forecasts; where the horizon is a week, forecasts of 14 are kept
LEAST_UNITS = 10  # sold or forecast in all: one sale of a slow seller more or less doubles its error
LEAST_WEEKS = 2
LEAST_WEEKS_BEFORE = 8  # a series that began later is still finding its level
NEIGHBOURS = 11  # series at least, those nearest in level, of which an error is usual; a tenth of them where more
COMMON = 20  # series at least to which a change is common
OVERVIEW = (
    Column("forecast_origin", pl.Date(), MEANING["forecast_origin"], example="2026-10-04"),
    Column("level", pl.Float32(), f"units per open, in-stock period over the last {WEEKS} weeks", example=26.17857),
    Column("level_before", pl.Float32(), f"the same over the {WEEKS_BEFORE} weeks before", example=28.43575),
    Column(
        "expected_total",
        pl.Float32(),
        "expected units over all periods of the forecast",
        "Expected",
        "units",
        1138.523,
    ),
    *(column for column in (*PLAN, *STOCK_OUT) if column.name not in PLAN_KEY),
    Column(
        "pairs",
        pl.Int32(),
        f"published forecasts of the last {WEEKS} weeks, the newest of each period, whose period counts",
    ),
    Column(
        "wape",
        pl.Float32(),
        f"sum |forecast - sold| / sum sold over the published forecasts of the last {WEEKS} weeks",
        "Error",
        "share",
    ),
    Column("bias", pl.Float32(), "sum (forecast - sold) / sum sold over the same"),
    Column("error_ratio", pl.Float32(), "wape to its median over series that sell as much", "Error to usual", "times"),
    Column(
        "drift_ratio",
        pl.Float32(),
        f"level of {WEEKS} weeks to that of the {WEEKS_BEFORE} before, less the change that all series have in common",
        "Drift",
        "times",
        0.9317551,
    ),
    Column("drift_z", pl.Float32(), "the distance of these in standard errors", example=-0.4201396),
    Column(
        "reasons",
        pl.List(pl.String()),
        "why the series needs attention: stock_out, error, drift",
        example=["stock_out"],
    ),
    Column(
        "attention",
        pl.List(pl.String()),
        "the same in words",
        example=["may run out before an order arrives: 78%"],
    ),
    Column(
        "urgency",
        pl.Float32(),
        "units a period that the reasons put at stake; 0 without a reason",
        "At stake",
        "units",
        31.75528,
    ),
)
"""The columns of `series_overview`, beside its key and the attributes of product and store."""


class Reason(NamedTuple):
    """Why a series needs attention: when, in which words, and how many units a period are at stake."""

    name: str
    holds: pl.Expr
    said: pl.Expr
    at_stake: pl.Expr


def _whole(number: pl.Expr) -> pl.Expr:
    return number.round().cast(pl.Int32)


_RISK, _ERRORS, _DRIFT = pl.col("stock_out_risk"), pl.col("error_ratio"), pl.col("drift_ratio")
REASONS = (
    Reason(
        "stock_out",
        _RISK >= RISK,
        pl.when(pl.col("on_hand") + pl.col("on_order") > 0)
        .then(pl.format("may run out before an order arrives: {}%", _whole(100 * _RISK)))
        .otherwise(pl.lit("is out of stock until an order arrives")),
        _RISK * pl.col("expected_total") / pl.col("horizon"),
    ),
    Reason(
        "error",
        (_ERRORS >= ERROR_RATIO)
        & (pl.col("pairs") >= pl.col("enough_pairs"))
        & (pl.max_horizontal("units", "forecast") >= LEAST_UNITS),
        pl.format("forecast errors {} times what is usual for such products", _ERRORS.round(1)),
        (1 - 1 / _ERRORS) * pl.col("wape") * pl.col("units") / pl.col("pairs"),
    ),
    Reason(
        "drift",
        (pl.col("drift_z").abs() >= DRIFT_Z)
        & ~_DRIFT.is_between(1 / DRIFT_RATIO, DRIFT_RATIO, "none").fill_null(False),
        pl.when(pl.col("level") == 0)
        .then(pl.format("has not sold for {} weeks", WEEKS))
        .when(pl.col("level_before") == 0)
        .then(pl.format("sells again after {} weeks without a sale", WEEKS_BEFORE))
        .when(_DRIFT < 1)
        .then(pl.format("sells {}% of what the {} weeks before let expect", _whole(100 * _DRIFT), WEEKS_BEFORE))
        .otherwise(pl.format("sells {} times what the {} weeks before let expect", _DRIFT.round(1), WEEKS_BEFORE)),
        (pl.col("level") - pl.col("compared")).abs(),
    ),
)


def series_overview(
    forecast: pl.DataFrame,
    plan: pl.DataFrame,
    demand: pl.DataFrame,
    published: pl.DataFrame,
    products: pl.DataFrame,
    stores: pl.DataFrame,
    settings: Replenishment,
    frequency: Frequency,
) -> pl.DataFrame:
    """One row per series of `forecast` (demand_forecast, one origin), by store_id and product_id: the key, the text
    columns of `products` and `stores` (clean_products, clean_stores), and OVERVIEW.

    `plan`: the reorder_plan of the same forecast, settings and frequency, with `products` as overrides;
    `demand`: rows of daily_demand from `first_day` on; `published`: the `newest_published` of `recent_days`. What is
    not known is null. Raises ValueError where `plan` is of another forecast.

    `reasons` names those of REASONS for which the series needs attention, `attention` says them in words. `urgency` is
    what they put at stake together, in units a period: expected demand times the risk that it finds no goods, errors
    above what is usual, the change of the level. It is 0 where there is no reason.
    """
    oldest = published["forecast_origin"].min()
    expected = pl.col("mean").cast(pl.Float64).sum()
    series = forecast.group_by(SERIES).agg(expected_total=expected, horizon=pl.len()).sort(SERIES)
    parts = (
        plan.join(stock_out_risk(forecast, plan, settings, frequency, products), on=PLAN_KEY),
        _drift(_levels(demand, newest_origin(forecast))),
        series_accuracy(published, demand.filter(pl.col("date") >= oldest) if oldest else demand.clear()),
    )
    for part in parts:
        series = series.join(part, on=SERIES, how="left", maintain_order="left")
    enough = calendar_of(frequency).periods(LEAST_DAYS)
    known = _attention(_error_ratio(series).with_columns(enough_pairs=enough))
    schema = schema_of(OVERVIEW)
    shown = known.select(*SERIES, pl.col(*schema)).cast(schema)  # type: ignore[arg-type]
    texts = [name for table in (products, stores) for name, dtype in table.schema.items() if dtype == pl.String]
    own = [name for name in dict.fromkeys(texts) if name not in shown.columns]
    return attach_static(shown, products, stores).select(*SERIES, *own, *schema)


def first_day(origin: date) -> date:
    """The first day of daily_demand that an overview at `origin` looks at."""
    return origin - timedelta(weeks=WEEKS + WEEKS_BEFORE) + timedelta(days=1)


def recent_days(origin: date) -> Window:
    """The days whose published forecasts are compared with what was sold."""
    return Window(origin - timedelta(weeks=WEEKS) + timedelta(days=1), origin)


def _levels(demand: pl.DataFrame, origin: date) -> pl.DataFrame:
    """By series: `level` of the last WEEKS and `level_before`, of the WEEKS_BEFORE before them, in units per period
    that counts, with the number of these periods and of weeks that have some; `spread`, the variance of weeks before.
    """
    days = demand.lazy().filter(pl.col("date").is_between(first_day(origin), origin), counts())
    week = (pl.lit(origin) - pl.col("date")).dt.total_days() // 7
    units, periods, recent = pl.col("units"), pl.col("periods"), pl.col("week") < WEEKS
    weeks = days.group_by(*SERIES, week=week).agg(units.cast(pl.Float64).sum(), periods=pl.len())
    both = {"": recent, "_before": ~recent}
    measured = (
        {f"level{when}": ratio(units.filter(those).sum(), periods.filter(those).sum()) for when, those in both.items()}
        | {f"periods{when}": periods.filter(those).sum() for when, those in both.items()}
        | {f"weeks{when}": those.sum() for when, those in both.items()}
    )
    return weeks.group_by(SERIES).agg(**measured, spread=(units / periods).filter(~recent).var()).collect()


def _drift(levels: pl.DataFrame) -> pl.DataFrame:
    """`levels` with `compared`, the level before moved by the change that is common to the series; `drift_ratio` of the
    level to it, and `drift_z`, their distance in standard errors.

    The standard error is that of the difference of two means, of weeks that vary by `spread`, or that of Poisson counts
    where it is larger: for those, the level of both times together is taken.
    """
    enough = (pl.col("weeks") >= LEAST_WEEKS) & (pl.col("weeks_before") >= LEAST_WEEKS_BEFORE)
    level, compared, change = pl.col("level"), pl.col("compared"), _common_change(levels.filter(enough))
    periods, before = pl.col("periods"), pl.col("periods_before")
    together = (level * periods + compared * before) / (periods + before)
    of_weeks = change**2 * pl.col("spread") * (1 / pl.col("weeks") + 1 / pl.col("weeks_before"))
    error = pl.max_horizontal(of_weeks, together * (1 / periods + 1 / before)).sqrt()
    return levels.with_columns(compared=change * pl.col("level_before")).with_columns(
        drift_ratio=pl.when(enough).then(ratio(level, compared)),
        drift_z=pl.when(enough).then(ratio(level - compared, error)),
    )


def _common_change(levels: pl.DataFrame) -> float:
    """The median of level / level before of the better selling half; 1 where few series tell: season, closures, prices
    of all are no news of one.
    """
    before = pl.col("level_before")
    ratios = levels.filter(before > 0, before >= before.median()).select(pl.col("level") / before).to_series()
    return float(ratios.median()) if len(ratios) >= COMMON else 1.0  # type: ignore[arg-type]


def _error_ratio(series: pl.DataFrame) -> pl.DataFrame:
    """`series` with `error_ratio`: wape to the median of it over the series that are nearest by rank of level."""
    known = series.filter(pl.col("wape").is_not_null()).sort("level", *SERIES)
    near = max(NEIGHBOURS, len(known) // 10)
    usual = known.select(*SERIES, usual=pl.col("wape").rolling_median(near, center=True, min_samples=1))
    compared = series.join(usual, on=SERIES, how="left", maintain_order="left")
    return compared.with_columns(error_ratio=ratio(pl.col("wape"), pl.col("usual")))


def _attention(series: pl.DataFrame) -> pl.DataFrame:
    def of_those_that_hold(what: Callable[[Reason], pl.Expr]) -> list[pl.Expr]:
        return [pl.when(reason.holds).then(what(reason)) for reason in REASONS]

    return series.with_columns(
        reasons=pl.concat_list(of_those_that_hold(lambda reason: pl.lit(reason.name))).list.drop_nulls(),
        attention=pl.concat_list(of_those_that_hold(lambda reason: reason.said)).list.drop_nulls(),
        urgency=pl.sum_horizontal(of_those_that_hold(lambda reason: reason.at_stake)),
    )
