"""Every candidate on the same rolling origins, what that says, and who goes live."""

from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
import polars as pl

from demand_forecast.defs.metadata import markdown_table, picture, report, table_metadata
from demand_forecast.defs.models.assets import INPUT_TABLES, read_features, registered_candidates
from demand_forecast.defs.project import SETTINGS, Project
from demand_forecast.domain.backtest import Candidate, run_backtest
from demand_forecast.domain.calendar import calendar_of
from demand_forecast.domain.features import FeatureContract
from demand_forecast.domain.hierarchy import hierarchy_levels
from demand_forecast.domain.models import create, describe, load_model
from demand_forecast.domain.promotion import Candidate as Contender
from demand_forecast.domain.promotion import Decision, decide
from demand_forecast.domain.scoring import score_backtest, summary_table
from demand_forecast.domain.tables import now
from demand_forecast.tracking.ledger import PromotionLedger

KINDS = {"polars", "deltalake"}
BASELINE, CHAMPION = "seasonal_naive", "champion"


@dg.asset(
    deps=SETTINGS.training.candidates,
    group_name="evaluation",
    kinds=KINDS,
    description="What every candidate would have forecast at the same rolling origins, each trained only on what was "
    "known there, beside the units that were sold. The champion is among them: as it is where it has not "
    "seen the days, else its recipe trained at the origin.",
)
def backtest(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    from demand_forecast.reports.charts.accuracy import error_by_horizon

    settings = project.settings
    features, contract = read_features(project)
    origins = _backtest_origins(features)
    candidates: dict[str, Candidate] = {
        name: lambda name=name: create(name, seed=settings.seed)  # type: ignore[misc]
        for name in settings.training.candidates
    }

    def said(model: str, origin: date) -> None:
        context.log.info(f"{model} at {origin}")

    made = run_backtest(features, contract, candidates, origins, on_forecast=said)
    made = pl.concat([made, *_champion_backtest(project, features, contract, origins, made)])
    version = project.lake.replace("backtest", made)
    shown = {"origins": [*map(str, origins)], "error_by_horizon": picture(error_by_horizon(made))}
    return dg.MaterializeResult(metadata=table_metadata(made, version) | shown)


def _backtest_origins(features: pl.DataFrame) -> list[date]:
    """The origins of the rows that are not for training and whose outcome is known."""
    known = features.filter(~pl.col("training") & pl.col("units").is_not_null())
    return known["forecast_origin"].unique().sort().to_list()


def _champion_backtest(
    project: Project, features: pl.DataFrame, contract: FeatureContract, origins: list[date], made: pl.DataFrame
) -> list[pl.DataFrame]:
    """The champion's forecasts at the same origins, under the name `champion`; none when there is no champion."""
    version = project.tracking.champion()
    if version is None:
        return []
    with TemporaryDirectory() as folder:
        champion = load_model(project.tracking.download(version.version, Path(folder)))
    unseen = [origin for origin in origins if str(origin) >= version.tags["forecast_origin"]]
    frozen = unseen if champion.contract.columns == contract.columns else []
    again = [origin for origin in origins if origin not in frozen]
    parts = [run_backtest(features, contract, {CHAMPION: champion}, frozen)] if frozen else []
    if (
        again
        and version.model in SETTINGS.training.candidates
        and create(version.model, seed=project.settings.seed).parameters == champion.parameters
    ):
        same = made.filter((pl.col("model") == version.model) & pl.col("forecast_origin").is_in(again))
        parts.append(same.with_columns(model=pl.lit(CHAMPION)))
    elif again:
        recipe = describe(version.model)
        parts.append(run_backtest(features, contract, {CHAMPION: lambda: recipe(**champion.parameters)}, again))
    return parts


@dg.asset(
    deps=["backtest", "clean_products", "clean_stores"],
    group_name="evaluation",
    kinds={"polars", "html"},
    description="Metrics of every candidate by level of the hierarchy and class of demand, per origin and over all, "
    "as a table (backtest_metrics) and as a page for people.",
)
def evaluation_report(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    from demand_forecast.reports import evaluation

    lake, settings = project.lake, project.settings
    made, demand, products, stores = map(lake.read, ("backtest", "daily_demand", "clean_products", "clean_stores"))
    levels = hierarchy_levels(products, stores, settings.covariates.static)
    season = calendar_of(settings.frequency).season
    metrics = score_backtest(made, demand, levels, products, stores, season=season)
    version = lake.replace("backtest_metrics", metrics)
    summary = summary_table(metrics)
    _track(project, summary)
    if _is_echo(made):
        summary, made, metrics = (frame.filter(pl.col("model") != CHAMPION) for frame in (summary, made, metrics))
    pictures = evaluation.accuracy_pictures(summary, metrics, made, demand, settings.promotion.metric)
    page = evaluation.evaluation_report(
        summary=summary,
        metrics=metrics,
        backtest=made,
        demand=demand,
        title=f"Evaluation of {settings.name}",
        generated_at=now(),
        data_versions=lake.versions(INPUT_TABLES),
        pictures=pictures,
        metric=settings.promotion.metric,
        reproduce=[f"demand-forecast run --config {settings.path.name}"],
    )
    file = project.home.reports / "evaluation_report.html"
    file.write_text(page, encoding="utf-8")
    best = summary.row(0, named=True)
    context.log.info(f"best by WRMSSE: {best['model']} {best['wrmsse']:.3f}")
    shown = {
        "summary": dg.MetadataValue.md(markdown_table(summary)),
        "report": report(file),
        **{name: picture(one.png) for name, one in pictures.items()},
    }
    return dg.MaterializeResult(metadata=table_metadata(metrics, version) | shown)


def _track(project: Project, summary: pl.DataFrame) -> None:
    """Adds each candidate's metrics to the MLflow run that trained it, so that runs can be compared there."""
    figures = {row.pop("model"): row for row in summary.to_dicts()}
    for name, version in registered_candidates(project).items():
        known = {metric: value for metric, value in figures[name].items() if value is not None}
        project.tracking.finished_run(version.run_id).log_metrics(known)


def _is_echo(made: pl.DataFrame) -> bool:
    """Whether the champion forecast what one of the candidates did: then it is no model more to compare."""
    champion = made.filter(pl.col("model") == CHAMPION)["mean"]
    others = made.filter(pl.col("model") != CHAMPION).partition_by("model")
    return any(other["mean"].equals(champion) for other in others)


@dg.asset(
    deps=["evaluation_report"],
    group_name="evaluation",
    kinds={"mlflow", "deltalake"},
    description="Who serves: the best challenger takes over only if it beats the champion on the same origins by the "
    "stated margin, with bias and calibration in bounds; the first champion must beat seasonal naive. The decision "
    "goes to the append-only promotion ledger first, then the registry's aliases move.",
)
def promoted_model(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    from demand_forecast.reports.charts.monitoring import promotion_history

    ledger = PromotionLedger(project.lake)
    project.tracking.settle(ledger)  # a run killed between ledger and aliases left them apart
    decision = _decide(project)
    if decision.challenger is not None and not _said_before(decision, ledger):
        project.tracking.promote(_ledger_row(decision, context.run_id), ledger)
    champion = project.tracking.champion()
    context.log.info(f"{decision.outcome}: {decision.reasons[-1]}")
    rows = project.lake.read("promotion_ledger") if ledger.rows() else pl.DataFrame()
    shown = {
        "decision": decision.outcome,
        "reasons": dg.MetadataValue.md("\n".join(f"- {reason}" for reason in decision.reasons)),
        "champion": f"{champion.model} version {champion.version}" if champion else "none",
        "aliases": dg.MetadataValue.json(project.tracking.aliases()),
    }
    if len(rows):
        shown |= table_metadata(rows) | {"history": picture(promotion_history(rows))}
    return dg.MaterializeResult(metadata=shown)


def _decide(project: Project) -> Decision:
    metrics = project.lake.read("backtest_metrics")
    origins = tuple(metrics["forecast_origin"].drop_nulls().unique().sort())
    figures = {row["model"]: row for row in summary_table(metrics).iter_rows(named=True)}
    champion = project.tracking.champion()
    contenders = [
        Contender(version.version, name, figures[name], origins)
        for name, version in registered_candidates(project).items()
        if champion is None or version.version != champion.version
    ]
    defending = Contender(champion.version, champion.model, figures[CHAMPION], origins) if champion else None
    return decide(
        contenders, defending, Contender("", BASELINE, figures[BASELINE], origins), project.settings.promotion
    )


def _said_before(decision: Decision, ledger: PromotionLedger) -> bool:
    """Whether the ledger's last line is this very decision: the same night twice adds nothing."""
    last = ledger.rows()[-1:]
    said = [(row["decision"], row["from_version"], row["to_version"]) for row in last]
    return (decision.outcome, decision.from_version, decision.challenger) in said


def _ledger_row(decision: Decision, run_id: str) -> dict[str, object]:
    return {
        "decided_at": now(),
        "decision": decision.outcome,
        "from_version": decision.from_version,
        "to_version": decision.challenger,
        "by": "promoted_model",
        "run_id": run_id,
        "metric": decision.metric,
        "champion_value": decision.champion_value,
        "challenger_value": decision.challenger_value,
        "improvement": decision.improvement,
        "bias": decision.bias,
        "calibration_error": decision.calibration_error,
        "reasons": "\n".join(decision.reasons),
    }
