"""Checks before models read the data: a broken panel or an implausible volume stops the run."""

from datetime import date, timedelta

import dagster as dg
import polars as pl

from demand_forecast.defs.features.assets import DOUBT, last_day, read_heard
from demand_forecast.defs.features.contract import read_ends, read_unfamiliar
from demand_forecast.defs.metadata import contract_check
from demand_forecast.defs.project import Project
from demand_forecast.domain.demand.exceptions import USUAL as USUAL_BEFORE
from demand_forecast.domain.demand.exceptions import exceptions
from demand_forecast.tracking.ledger import PromotionLedger

COLLAPSED = 0.1  # of the usual volume
BURST = 10.0
BY_CHANCE = 0.01
RECENT = timedelta(days=7)
USUAL = timedelta(days=56)
EARLIER = 8  # days of the same weekday, weeks or months
MANY = 50  # units of a store in a usual such period: of fewer a fourth is chance
LITTLE = "store {store_id}: {now:,.0f}, {usual:,.0f} usual"
ODD = 4.0  # times the usual units of such a day, or a fourth of them
UNHEARD = timedelta(days=182)  # a silence that ended before moves no level any more
TOLD = timedelta(days=14)  # an exceptional day is told for so long
NAMED = 10  # that a check names

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
    demand = _heard_of(project, last - RECENT).filter(known)
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
    description="Units of the newest period are between a fourth and four times the median of the eight before, of "
    "days those of its weekday, and no store sold less than a fourth of that. One odd day may be true: it only warns.",
)
def newest_day_is_usual(project: Project) -> dg.AssetCheckResult:
    last, calendar = last_day(project.lake), project.calendar
    since = calendar.ahead(last, -EARLIER * calendar.cycle)
    alike = pl.col("open") & pl.col("date").is_between(since, last)
    if calendar.cycle > 1:
        alike &= pl.col("date").dt.weekday() == last.isoweekday()
    demand = _heard_of(project, last - timedelta(days=1)).filter(alike)
    units, newest = pl.col("units").cast(pl.Float64), pl.col("date") == last
    both = units.filter(newest).sum().alias("now"), units.filter(~newest).median().alias("usual")
    by_store = demand.group_by("store_id", "date").agg(pl.col("units").sum()).collect()
    now, usual = by_store.group_by("date").agg(pl.col("units").sum()).select(both).row(0)
    ratio = now / usual if usual else None
    stores = (
        by_store.group_by("store_id").agg(both).filter(pl.col("usual") >= MANY, ODD * pl.col("now") < pl.col("usual"))
    )
    few = [LITTLE.format(**row) for row in stores.sort("store_id").iter_rows(named=True)]
    total = f"{now:,.0f} units on {last:%A} {last}, {usual or 0:,.0f} usual on such a {calendar.noun}"
    return dg.AssetCheckResult(
        passed=(ratio is None or 1 / ODD <= ratio <= ODD) and not few,
        severity=dg.AssetCheckSeverity.WARN,
        description=_some([total, *few]) if ratio is not None else "too little history to compare",
        metadata={} if ratio is None else {"ratio": ratio},
    )


def _heard_of(project: Project, after: date) -> pl.LazyFrame:
    """daily_demand of the stores that are known on all days after `after`: others cannot be compared."""
    demand = project.lake.scan("daily_demand")
    unheard = demand.filter(pl.col("date") > after, pl.col("units").is_null()).select("store_id").unique()
    return demand.join(unheard, on="store_id", how="anti")


@dg.asset_check(
    asset="daily_demand",
    description="Sales are dated as often as `frequency` says: rows on one weekday alone are totals of weeks. It only "
    "warns.",
)
def periods_are_as_configured(project: Project) -> dg.AssetCheckResult:
    doubt = project.lake.notes("daily_demand").get(DOUBT, "")
    return dg.AssetCheckResult(
        passed=not doubt, severity=dg.AssetCheckSeverity.WARN, description=doubt or f"they are: {project.frequency}"
    )


@dg.asset_check(
    asset="daily_demand",
    description="Every store has lines on its usual days. One that has none is late or silent: its days are unknown "
    "until they arrive, forecasts are made of what was known before. Where a store was closed, `open: 0` in the plan "
    "says so. This only warns.",
)
def every_store_is_heard_of(project: Project) -> dg.AssetCheckResult:
    found, since = read_heard(project.lake), last_day(project.lake) - UNHEARD
    lines = [str(silence) for silence in found if silence.last >= since]
    return dg.AssetCheckResult(
        passed=not lines,
        severity=dg.AssetCheckSeverity.WARN,
        description=_some(lines) or "all stores are heard of",
        metadata={"silences": [str(silence) for silence in found]},
    )


@dg.asset_check(
    asset="daily_demand",
    description="No series sold more than ten times its largest day before. Such an order counts as sold and says "
    "nothing of demand: levels and models leave it out. This only warns.",
)
def no_exceptional_order(project: Project) -> dg.AssetCheckResult:
    since = last_day(project.lake) - max(TOLD, timedelta(days=project.calendar.step))
    recent = project.lake.scan("daily_demand").filter(pl.col("date") >= since - USUAL_BEFORE)
    found = exceptions(recent.collect(), since)
    told = "store {store_id}, product {product_id}, {date}: {units:,.0f} units, {usual:,.1f} a period are usual"
    return dg.AssetCheckResult(
        passed=found.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        description=_some([told.format(**row) for row in found.iter_rows(named=True)]) or "none lately",
        metadata={"orders": found.height},
    )


def _some(lines: list[str]) -> str:
    more = f"; and {len(lines) - NAMED:,} more" if len(lines) > NAMED else ""
    return "; ".join(lines[:NAMED]) + more


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
    asset="forecast_features",
    description="Every column of the plan that is known of nearly all days is known of the days to forecast. Where one "
    "ends before, its values are unknown from there on, a price holds on: this only warns.",
)
def plan_reaches_the_horizon(project: Project) -> dg.AssetCheckResult:
    lines = read_ends(project.lake)
    return dg.AssetCheckResult(
        passed=not lines,
        severity=dg.AssetCheckSeverity.WARN,
        description=_some([*lines]) or "every column does",
        metadata={"ends": [*lines]},
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
