"""Published forecasts scored when their actuals arrive."""

import json
from collections.abc import Iterator
from datetime import date

import dagster as dg
import polars as pl

from demand_forecast.defs.metadata import TABLE_KINDS, Metadata, markdown_table, picture, table_metadata
from demand_forecast.defs.project import Project
from demand_forecast.domain.demand.calendar import Calendar
from demand_forecast.domain.demand.hierarchy import SERIES_LEVEL, hierarchy_levels
from demand_forecast.domain.evaluation.roles import CHAMPION, PREVIOUS
from demand_forecast.domain.watching.live_accuracy import (
    SCORE_MEANING,
    SCORES,
    accuracy_over,
    actuals_by_day,
    first_day_to_score,
    in_windows,
    of_frequency,
    score_published,
    series_scores,
)

TABLE, PUBLISHED = "forecast_accuracy", "published_forecasts"
SHOWN_WEEKS = 26
ORIGINS = 7  # scored at once: takes half as long as one by one
FIGURES = (
    "pairs",
    "units",
    "wape",
    "bias",
    "wql",
    "rmse",
    "fva_wape",
    "fva_wql",
    "fva_wape_previous",
    "fva_wql_previous",
)


@dg.asset(
    deps=["daily_demand", "clean_products", "clean_stores", PUBLISHED],
    group_name="monitoring",
    kinds=TABLE_KINDS,
    description="Every published forecast against what was sold, scored when its day's actuals arrive: by origin, "
    "horizon, level and class of demand, beside seasonal naive and the previous champion in the shadow. Sums, so that "
    "any window's WAPE, bias, RMSE and WQL are ratios of sums. Only days whose actuals changed are scored again.",
)
def forecast_accuracy(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    first = _score_again(project)
    scores = read_scores(project, SHOWN_WEEKS)
    rows = project.lake.scan(TABLE).select(pl.len()).collect().item() if project.lake.exists(TABLE) else 0
    context.log.info(f"{rows:,} rows; {f'scored again from {first}' if first else 'no actuals changed'}")
    shown = {"scored_from": str(first or "nothing new")} | (_shown(scores, project) if len(scores) else {})
    table = table_metadata(scores, project.lake.version(TABLE), SCORE_MEANING) | {"dagster/row_count": rows}
    return dg.MaterializeResult(metadata=shown | table)


def read_scores(project: Project, windows: int, periods: int = 0) -> pl.DataFrame:
    """The last `windows` windows and `periods` of `forecast_accuracy` at series level, by class and in total, of
    forecasts of today's frequency; empty before the first.
    """
    if not project.lake.exists(TABLE):
        return pl.DataFrame(schema=SCORES)
    newest = project.lake.newest(TABLE)
    if newest is None:
        return pl.DataFrame(schema=SCORES)
    calendar = project.calendar
    length = calendar.within(project.settings.monitoring.window_days)
    recent = pl.col("date") > calendar.ahead(newest, -(windows * length + periods))
    alike = of_frequency(project.frequency)
    return project.lake.scan(TABLE).filter(recent, alike, pl.col("level") == SERIES_LEVEL.name).collect()


def _score_again(project: Project) -> date | None:
    """Scores the days from the first one whose actuals differ from those already scored; gives that day.

    The table's notes hold a digest of the scored actuals for each day whose forecasts are still kept.
    """
    lake = project.lake
    begin = _first_kept_day(project)
    if begin is None:
        return None
    demand = lake.scan("daily_demand").filter(pl.col("date") >= begin)
    actual = actuals_by_day(demand.select("store_id", "product_id", "date", "units", "in_stock", "open").collect())
    noted = json.loads(lake.notes(TABLE).get("actuals", "{}")) if lake.exists(TABLE) else {}
    first = first_day_to_score({date.fromisoformat(day): digest for day, digest in noted.items()}, actual)
    if first is not None:
        notes = {"actuals": json.dumps({str(day): digest for day, digest in actual.items()})}
        lake.replace_since(TABLE, pl.concat(_scores(project, first)), first, notes=notes)
    return first


def _first_kept_day(project: Project) -> date | None:
    """The first day whose scored forecasts are all still kept; None where nothing was published."""
    lake = project.lake
    if not lake.exists(PUBLISHED):
        return None
    ahead = project.calendar.ahead
    oldest = lake.scan(PUBLISHED).select(pl.col("forecast_origin").min()).collect().item()
    if oldest is None or not lake.exists(TABLE):
        return oldest and ahead(oldest, 1)
    gone = lake.scan(TABLE).filter(pl.col("forecast_origin") < oldest).select(pl.col("date").max()).collect().item()
    return ahead(max(oldest, gone or oldest), 1)


def _scores(project: Project, first: date) -> Iterator[pl.DataFrame]:
    """The scores of the days from `first` on, a few forecast origins at a time to bound memory."""
    lake, settings = project.lake, project.settings
    oldest = project.calendar.ahead(first, -settings.horizon)
    columns = ["store_id", "product_id", "date", "units", "in_stock", "open"]
    demand = lake.scan("daily_demand").filter(pl.col("date") >= oldest).select(columns).collect()
    products, stores = lake.read("clean_products"), lake.read("clean_stores")
    levels = hierarchy_levels(products, stores, settings.covariates.static)
    classes = lake.read("demand_classes") if lake.exists("demand_classes") else None
    scored = pl.col("date").is_between(first, demand["date"].max())
    published = lake.scan(PUBLISHED).filter(scored, of_frequency(project.frequency))
    yield pl.DataFrame(schema=SCORES)
    origins = published.select(pl.col("forecast_origin").unique().sort()).collect()
    for some in origins.iter_slices(ORIGINS):
        rows = published.filter(pl.col("forecast_origin").is_in(some["forecast_origin"].to_list())).collect()
        yield score_published(rows, demand, levels, products, stores, classes)


def _shown(scores: pl.DataFrame, project: Project) -> Metadata:
    from demand_forecast.reports.charts.monitoring import accuracy_by_week

    newest: date = scores["date"].max()  # type: ignore[assignment]
    windows = in_windows(scores, newest, project.settings.monitoring.window_days, project.frequency)
    week = windows.filter(pl.col("window") == newest).with_columns(week_ahead=_weeks_ahead(project.calendar))
    whole, weeks = series_scores(week), accuracy_over(series_scores(windows), ["window"])
    by_class = accuracy_over(week.filter(pl.col("role") != PREVIOUS)).filter(pl.col("role") == CHAMPION)
    return {
        "newest_day": str(newest),
        "weeks": picture(accuracy_by_week(weeks)),
        "last_week": _table(accuracy_over(whole), "role"),
        "last_week_by_week_ahead": _table(accuracy_over(whole, ["week_ahead"]), "role", "week_ahead"),
        "last_week_by_class": _table(by_class, "demand_class"),
    }


def _weeks_ahead(calendar: Calendar) -> pl.Expr:
    return (pl.col("horizon") - 1) // calendar.within(7) + 1


def _table(figures: pl.DataFrame, *by: str) -> dg.MetadataValue:
    known = [name for name in FIGURES if figures[name].null_count() < len(figures)]
    return dg.MetadataValue.md(markdown_table(figures.sort(by).select(*by, *known)))
