"""Review of the challenger on trial, on the days whose actuals have arrived."""

from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from demand_forecast.defs.features.assets import last_day
from demand_forecast.defs.metadata import TABLE_KINDS, decision_first, markdown_table, table_metadata
from demand_forecast.defs.monitoring.accuracy import ORIGINS, PUBLISHED
from demand_forecast.defs.monitoring.served import TABLE as ANSWERS
from demand_forecast.defs.project import Project
from demand_forecast.domain.evaluation.difference import LOSSES, Difference, by_series_and_day
from demand_forecast.domain.evaluation.roles import CHALLENGER, CHAMPION
from demand_forecast.domain.tables import SERIES
from demand_forecast.domain.watching.live_accuracy import of_frequency
from demand_forecast.domain.watching.trial import (
    SCOPES,
    Scope,
    TrialReview,
    answered_pairs,
    arm_losses,
    review_trial,
)
from demand_forecast.tracking.ledger import PromotionLedger
from demand_forecast.tracking.trial import choose_trial

TABLE = "trial_review"
FIGURES = ("champion", "challenger", "difference", "standard_error", "p_value")
REVIEWED: dict[str, pl.DataType] = {
    "day": pl.Date(),
    "scope": pl.String(),
    "verdict": pl.String(),
    "mode": pl.String(),
    "champion": pl.String(),
    "challenger": pl.String(),
    "series": pl.Int64(),
    "days": pl.Int64(),
    "pairs": pl.Int64(),
    "units": pl.Float64(),
    "degrees_of_freedom": pl.Int64(),
    **{f"{metric}_{figure}": pl.Float64() for metric in LOSSES for figure in FIGURES},
    "reason": pl.String(),
}
MEANING = {
    "day": "last closed day when it was reviewed",
    "scope": "served: what the challenger answered, heard or in the shadow; all: every series that both forecast",
    "verdict": "challenger better, champion better, no significant difference yet, too few days: by WQL",
    "mode": "shadow: its answers are written down; canary: it answers for its share of the series",
    "champion": "version that is live",
    "challenger": "version that is tried out",
    "days": "days whose actuals have come",
    "pairs": "forecasts of both that met their actuals: series, origin and day",
    "units": "sold, summed over the pairs",
    "degrees_of_freedom": "of the standard error of WQL: from the number of series and of days, rounded down",
    **{f"{metric}_{arm}": f"{metric.upper()} of the {arm}" for metric in LOSSES for arm in (CHAMPION, CHALLENGER)},
    **{f"{metric}_difference": "challenger less champion: below zero the challenger is better" for metric in LOSSES},
    **{f"{metric}_standard_error": "of the difference, clustered by series and by day" for metric in LOSSES},
    **{f"{metric}_p_value": "probability of such a difference between equal arms" for metric in LOSSES},
    "reason": "the figures behind the verdict",
}


@dg.asset(
    deps=[ANSWERS, "forecast_accuracy", "daily_demand", PUBLISHED],
    group_name="monitoring",
    kinds=TABLE_KINDS,
    description="Whether the challenger on trial does better than the champion, on the same pairs of series and day: "
    "on what it answered, and on all series. One row a night and scope, with standard errors clustered by series and "
    "by day. It moves no alias: who serves is decided by promoted_model.",
)
def trial_review(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    lake = project.lake
    choice = choose_trial(project.tracking, PromotionLedger(lake), project.settings)
    champion = project.tracking.champion() if choice.version else None
    if choice.version is None or champion is None:
        return dg.MaterializeResult(metadata={"verdict": choice.text})
    day, challenger = last_day(lake), choice.version.version
    reviews = _review(project, champion.version, challenger)
    versions = (choice.mode, champion.version, challenger)
    rows = pl.DataFrame(
        [_row(day, scope, versions, review) for scope, review in reviews.items()], schema=REVIEWED, orient="row"
    )
    version = lake.replace_since(TABLE, rows, day, column="day")
    for scope, review in reviews.items():
        context.log.info(f"{scope}: {review.verdict}: {review.reason}")
    history = lake.read(TABLE).sort("day", "scope", descending=[True, False])
    figures = rows.select("scope", "verdict", "series", "days", "pairs", pl.col("^(wql|wape)_.*$"))
    shown = {
        "verdict": "; ".join(f"{scope}: {one.verdict}" for scope, one in reviews.items()),
        "trial": choice.text,
        "reasons": dg.MetadataValue.md("\n".join(f"- {scope}: {one.reason}" for scope, one in reviews.items())),
        "figures": dg.MetadataValue.md(markdown_table(figures)),
    }
    return dg.MaterializeResult(metadata=decision_first(shown, table_metadata(history, version, MEANING)))


def _review(project: Project, champion: str, challenger: str) -> dict[Scope, TrialReview]:
    """The review of each scope. Forecasts are read a few origins at a time to bound memory."""
    lake, served = project.lake, _answered(project, challenger)
    arms = pl.col("role").is_in([CHAMPION, CHALLENGER]) & pl.col("model_version").is_in([champion, challenger])
    newest = last_day(lake)
    published = lake.scan(PUBLISHED).filter(arms, pl.col("date") <= newest, of_frequency(project.frequency))
    tried = published.filter(pl.col("role") == CHALLENGER)
    origins = tried.select(pl.col("forecast_origin").unique().sort()).collect()["forecast_origin"]
    columns = [*SERIES, "date", "units", "in_stock", "open"]
    demand = lake.scan("daily_demand").filter(pl.col("date") >= (origins.min() or newest)).select(columns).collect()
    cells: dict[Scope, list[pl.DataFrame]] = {scope: [] for scope in SCOPES}
    for first in range(0, max(len(origins), 1), ORIGINS):
        some = origins[first : first + ORIGINS].to_list()
        rows = published.filter(pl.col("forecast_origin").is_in(some)).collect()
        losses = arm_losses(rows, demand, champion, challenger)
        cells["served"].append(by_series_and_day(answered_pairs(losses, served)))
        cells["all"].append(by_series_and_day(losses))
    return {scope: review_trial(by_series_and_day(pl.concat(parts))) for scope, parts in cells.items()}


def _answered(project: Project, challenger: str) -> pl.DataFrame:
    """By series and origin, the periods that the challenger answered as published, as canary or in the shadow."""
    as_published = (pl.col("endpoint") == "/v1/forecast") & ~pl.col("cold_start")
    own = (pl.col("arm") == CHALLENGER) & (pl.col("model_version") == challenger)
    answers = project.lake.scan(ANSWERS).filter(as_published & own)
    return answers.group_by(*SERIES, "forecast_origin").agg(pl.col("periods").max()).collect()


def _row(day: date, scope: Scope, versions: tuple[str, str, str], review: TrialReview) -> tuple[Any, ...]:
    size = (review.series, review.days, review.pairs, review.units, review.degrees_of_freedom)
    figures = [*_figures(review.wql), *_figures(review.wape)]
    return (day, scope, review.verdict, *versions, *size, *figures, review.reason)


def _figures(metric: Difference | None) -> tuple[float | None, ...]:
    return tuple(getattr(metric, name, None) for name in FIGURES)
