"""Checks before models read the data: a broken panel or an implausible volume stops the run."""

from datetime import timedelta

import dagster as dg
import polars as pl

from demand_forecast.defs.features.assets import last_day
from demand_forecast.defs.features.contract import read_unfamiliar
from demand_forecast.defs.metadata import contract_check
from demand_forecast.defs.project import Project
from demand_forecast.tracking.ledger import PromotionLedger

COLLAPSED = 0.1  # of the usual volume
BURST = 10.0
BY_CHANCE = 0.01
RECENT = timedelta(days=7)
USUAL = timedelta(days=56)
ODD = 4.0  # times the usual units of such a day, or a fourth of them

daily_demand_contract = contract_check("daily_demand")


@dg.asset_check(
    asset="daily_demand",
    blocking=True,
    description="Units per day in the last week are between a tenth and ten times those of the eight weeks before. Not "
    "judged where a week without a sale may be chance. Only warns before the first champion: without a forecast that "
    "could go on, any forecast is better than none.",
)
def volume_is_usual(project: Project) -> dg.AssetCheckResult:
    last = last_day(project.lake)
    known = pl.col("open") & (pl.col("date") > last - RECENT - USUAL)
    demand = project.lake.scan("daily_demand").filter(known)
    totals = demand.group_by("date").agg(pl.col("units").sum()).collect()
    late = pl.col("date") > last - RECENT
    recent, usual = (totals.filter(which)["units"].cast(pl.Float64) for which in (late, ~late))
    ratio = _ratio(recent, usual)
    serves = PromotionLedger(project.lake).last_promotion() is not None
    now, before = (float(units.mean() or 0) for units in (recent, usual))  # type: ignore[arg-type]
    return dg.AssetCheckResult(
        passed=ratio is None or COLLAPSED <= ratio <= BURST,
        severity=dg.AssetCheckSeverity.ERROR if serves else dg.AssetCheckSeverity.WARN,
        description="too little history, or too few days with a sale, to compare"
        if ratio is None
        else f"{now:,.0f} units per day in the week to {last}, {before:,.0f} before",
        metadata={} if ratio is None else {"ratio": ratio},
    )


def _ratio(recent: pl.Series, usual: pl.Series) -> float | None:
    """Units a period of late over those before; None where either is unknown or a silence as long may be chance."""
    if not len(recent) or not usual.sum():
        return None
    silent = float((usual == 0).mean()) ** len(recent)  # type: ignore[arg-type]
    return None if silent > BY_CHANCE else float(recent.mean()) / float(usual.mean())  # type: ignore[arg-type]


@dg.asset_check(
    asset="daily_demand",
    description="Units of the newest day are between a fourth and four times the median of that weekday in the eight "
    "weeks before. One odd day may be true: this only warns.",
)
def newest_day_is_usual(project: Project) -> dg.AssetCheckResult:
    last = last_day(project.lake)
    known = pl.col("open") & pl.col("date").is_between(last - USUAL, last)
    alike = known & (pl.col("date").dt.weekday() == last.isoweekday())
    totals = project.lake.scan("daily_demand").filter(alike).group_by("date").agg(pl.col("units").sum()).collect()
    newest, earlier = pl.col("date") == last, pl.col("date") < last
    units = pl.col("units").cast(pl.Float64)
    now, usual = totals.select(units.filter(newest).sum(), usual=units.filter(earlier).median()).row(0)
    ratio = now / usual if usual else None
    return dg.AssetCheckResult(
        passed=ratio is None or 1 / ODD <= ratio <= ODD,
        severity=dg.AssetCheckSeverity.WARN,
        description="too little history to compare"
        if ratio is None
        else f"{now:,.0f} units on {last:%A} {last}, {usual:,.0f} usual on that weekday",
        metadata={} if ratio is None else {"ratio": ratio},
    )


@dg.asset_check(
    asset="forecast_features",
    description="Every shop and category is one that the models have seen, every value of the kind that they learned. "
    "What is not is unknown to them until the next training: the forecast is made without it, this only warns.",
)
def night_is_as_the_models_know_it(project: Project) -> dg.AssetCheckResult:
    lines = read_unfamiliar(project.lake)
    return dg.AssetCheckResult(
        passed=not lines,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(lines) or "nothing is new to the models",
        metadata={"unfamiliar": [*lines]},
    )


@dg.asset_check(
    asset="demand_features",
    blocking=True,
    description="There is a row for every day to forecast, and no feature is infinite. Without a row to train on the "
    "level is forecast.",
)
def features_are_usable(project: Project) -> dg.AssetCheckResult:
    features = project.lake.read("demand_features")
    numbers = features.select(pl.col(pl.Float32).is_infinite().sum())
    infinite = [name for name, count in zip(numbers.columns, numbers.row(0), strict=True) if count]
    training = int(features["training"].sum())
    ahead = features.filter(pl.col("forecast_origin") == pl.col("forecast_origin").max(), ~pl.col("training")).height
    return dg.AssetCheckResult(
        passed=not infinite and ahead > 0,
        description=f"{training:,} rows to train on, {ahead:,} to forecast; infinite: {', '.join(infinite) or 'none'}",
    )
