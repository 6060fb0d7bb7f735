"""Decisions from live accuracy: retrain, and keep the champion or roll it back."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from demand_forecast.defs.features.assets import last_day
from demand_forecast.defs.features.readable import changes, obstacle_of
from demand_forecast.defs.metadata import TABLE_KINDS, Metadata, decision_first, markdown_table, picture, table_metadata
from demand_forecast.defs.monitoring.accuracy import read_scores
from demand_forecast.defs.project import Project
from demand_forecast.domain.watching.champion_review import review_champion, weeks_table
from demand_forecast.domain.watching.live_accuracy import accuracy_over, in_windows, series_scores
from demand_forecast.domain.watching.retraining import DRIFT_HISTORY, decide_retraining, windows_table
from demand_forecast.tracking.ledger import PromotionLedger

RETRAIN_DECISION, CHAMPION_REVIEW = "retrain_decision", "champion_review"
DECIDED: dict[str, pl.DataType] = {
    "day": pl.Date(),
    "decision": pl.String(),
    "champion": pl.String(),
    "last_training": pl.Date(),
    "windows": pl.Int64(),
    "windows_out": pl.Int64(),
    "reasons": pl.String(),
}
REVIEWED: dict[str, pl.DataType] = {
    "day": pl.Date(),
    "verdict": pl.String(),
    "champion": pl.String(),
    "previous": pl.String(),
    "weeks": pl.Int64(),
    "lost_to_previous": pl.Int64(),
    "lost_to_naive": pl.Int64(),
    "reasons": pl.String(),
}
MEANING = {
    "day": "last closed day when it was decided",
    "decision": "retrain, or keep the models that there are",
    "verdict": "keep; roll_back to previous; no_way_back: it loses, and nothing better is there to go back to",
    "champion": "version that is live",
    "previous": "version that was live before",
    "last_training": "newest forecast origin that a registered model was trained at",
    "windows": "whole windows since the last training, the newest few",
    "windows_out": "of these, out of bounds",
    "weeks": "whole weeks of the champion, the newest few",
    "lost_to_previous": "of these, lost to the previous champion in the shadow",
    "lost_to_naive": "of these, lost to seasonal naive",
    "reasons": "the rules and figures behind the decision",
}


@dg.asset(
    deps=["forecast_accuracy", "drift_report"],
    group_name="monitoring",
    kinds=TABLE_KINDS,
    description="Whether models are trained again, one row a night with its reasons: errors above what the backtest "
    "promised, or drift, in enough of the last windows and in the newest; or a training that is too old. Training only "
    "makes challengers: who serves is decided by promoted_model.",
)
def retrain_decision(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    from demand_forecast.reports.charts.monitoring import retrain_windows

    lake, rules = project.lake, project.settings.monitoring
    champion = project.tracking.champion()
    live = champion.version if champion else None
    drift = lake.read("drift_history") if lake.exists("drift_history") else pl.DataFrame(schema=DRIFT_HISTORY)
    decision = decide_retraining(
        read_scores(project, rules.retrain.windows),
        drift,
        day=last_day(project.lake),
        champion=live,
        promised=project.tracking.proof(live).figures.get("wql") if live else None,
        trained=_last_training(project),
        rules=rules,
        changed=changes(project) if lake.exists("demand_features") else (),
        frequency=project.frequency,
    )
    row = (decision.day, decision.decision, live, decision.trained, len(decision.windows))
    out = sum(window.out for window in decision.windows)
    table = _keep(project, RETRAIN_DECISION, (*row, out, "\n".join(decision.reasons)), DECIDED)
    context.log.info(f"{decision.decision}: {'; '.join(decision.reasons)}")
    windows, rule = windows_table(decision.windows), rules.retrain
    drawn = retrain_windows(windows, error_ratio=rule.error_ratio, drift_share=rule.drift_share)
    decided = {
        "decision": decision.decision,
        "reasons": _listed(decision.reasons),
        "bounds": picture(drawn),
        "windows": dg.MetadataValue.md(markdown_table(windows)),
    }
    return dg.MaterializeResult(metadata=decision_first(decided, table))


@dg.asset(
    deps=["forecast_accuracy", "promoted_model"],
    group_name="monitoring",
    kinds=TABLE_KINDS,
    description="The champion week by week against the previous champion in the shadow and against seasonal naive, on "
    "the forecasts that it published since it took over. Where it loses enough of the last weeks, the newest among "
    "them, the sensor rollback takes it back.",
)
def champion_review(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    from demand_forecast.reports.charts.monitoring import accuracy_by_week

    champion, previous = project.tracking.champion(), project.tracking.previous()
    if champion is None:
        return dg.MaterializeResult(metadata={"verdict": "no champion"})
    rules = project.settings.monitoring
    scores = read_scores(project, rules.rollback.windows, project.settings.horizon)
    review = review_champion(
        scores,
        champion=champion.version,
        previous=previous.version if previous and obstacle_of(project, previous) is None else None,
        rules=rules,
        taken_back=PromotionLedger(project.lake).taken_back(),
        frequency=project.frequency,
    )
    margin = rules.rollback.margin
    lost = [sum(week.lost_to(rival, margin) for week in review.weeks) for rival in ("previous", "seasonal naive")]
    row = (last_day(project.lake), review.verdict, review.champion, review.previous, len(review.weeks), *lost)
    table = _keep(project, CHAMPION_REVIEW, (*row, "\n".join(review.reasons)), REVIEWED)
    context.log.info(f"{review.verdict}: {'; '.join(review.reasons)}")
    shown: Metadata = {"verdict": review.verdict, "reasons": _listed(review.reasons)}
    if len(scores):
        weeks = in_windows(series_scores(scores), scores["date"].max(), rules.window_days, project.frequency)  # type: ignore[arg-type]
        shown["accuracy"] = picture(accuracy_by_week(accuracy_over(weeks, ["window"])))
    shown["weeks"] = dg.MetadataValue.md(markdown_table(weeks_table(review.weeks, margin)))
    return dg.MaterializeResult(metadata=decision_first(shown, table))


def newest_row(project: Project, table: str) -> dict[str, Any] | None:
    """The newest night's row of a table of decisions; None before the first. Raises LakeError."""
    if not project.lake.exists(table):
        return None
    return next(project.lake.read(table).sort("day").tail(1).iter_rows(named=True), None)


def _keep(project: Project, table: str, row: tuple[Any, ...], schema: dict[str, pl.DataType]) -> Metadata:
    """Writes the night's row, replacing one of the same day; gives the table's metadata."""
    frame = pl.DataFrame([row], schema=schema, orient="row")
    version = project.lake.replace_since(table, frame, row[0], column="day")
    return table_metadata(project.lake.read(table).sort("day", descending=True), version, MEANING)


def _last_training(project: Project) -> date | None:
    origins = [version.forecast_origin for version in project.tracking.versions()]
    return max((origin for origin in origins if origin is not None), default=None)


def _listed(reasons: Sequence[str]) -> dg.MetadataValue:
    return dg.MetadataValue.md("\n".join(f"- {reason}" for reason in reasons))
