"""Backtest of every candidate on the same rolling origins, its report, and the promotion."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg
import polars as pl

from demand_forecast.defs.features.assets import own_features
from demand_forecast.defs.features.contract import data_versions
from demand_forecast.defs.features.readable import outdated
from demand_forecast.defs.metadata import (
    TABLE_KINDS,
    Metadata,
    bars,
    decision_first,
    markdown_table,
    picture,
    report,
    table_metadata,
)
from demand_forecast.defs.models.assets import read_features, registered_candidates
from demand_forecast.defs.models.group_model import read_group_backtest
from demand_forecast.defs.project import SETTINGS, Project, recipe
from demand_forecast.domain.demand.demand_classes import demand_classes
from demand_forecast.domain.demand.hierarchy import hierarchy_levels
from demand_forecast.domain.evaluation.backtest import Candidate, run_backtest, unproven
from demand_forecast.domain.evaluation.chance import read_chance
from demand_forecast.domain.evaluation.difference import (
    LOSSES,
    Difference,
    backtest_losses,
    by_series_and_day,
    compare,
    side_by_side,
)
from demand_forecast.domain.evaluation.promotion import Contender, Decision, decide, tested_loss
from demand_forecast.domain.evaluation.roles import CHAMPION
from demand_forecast.domain.evaluation.scoring import score_backtest, summary_table
from demand_forecast.domain.features import FeatureContract
from demand_forecast.domain.models import BASELINE_MODEL, ForecastModel, create, load_model
from demand_forecast.domain.models.proof import Proof
from demand_forecast.domain.models.spread import KINDS, Spread
from demand_forecast.domain.models.training_rows import newest_origin
from demand_forecast.domain.replenishment.policy import error_correlation
from demand_forecast.domain.tables import QUANTILE_COLUMNS, SERIES, now
from demand_forecast.tracking.ledger import DECISIONS, ROLLED_BACK, PromotionLedger
from demand_forecast.tracking.registry import ModelVersion
from demand_forecast.tracking.rollback import roll_back
from demand_forecast.workspace.atomic_write import replace_text

BY = "promoted_model"  # who decided, in the ledger
EVIDENCE = ["metric", "champion_value", "challenger_value", "improvement"]
EVIDENCE += ["bias", "bias_allowance", "calibration_error", "calibration_allowance"]
EVIDENCE += ["loss_difference", "standard_error", "p_value", "verdict"]


@dg.asset(
    deps=[*SETTINGS.training.candidates, "group_model"],
    group_name="evaluation",
    kinds=TABLE_KINDS,
    description="What every candidate would have forecast at the same rolling origins, each trained only on what was "
    "known there, beside the units that were sold. The champion is among them: as it is where it has not "
    "seen the days, else its recipe trained at the origin. Says too how far each is moved towards the forecasts of "
    "groups (table alignment), learned for an origin from the others.",
)
def backtest(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    from demand_forecast.reports.charts.accuracy import error_by_horizon

    lake, versions = project.lake, _versions(project)
    mark = recipe(sorted(versions.items()), lake.versions(["demand_features", "group_backtest"]))
    seconds = 0.0
    if lake.exists("backtest") and lake.notes("backtest").get("made_of") == mark:
        context.log.info("the same models on the same features: the backtest stands")
    else:
        seconds = _run(context, project, versions, mark)
    made, learned = lake.read("backtest"), lake.read("alignment")
    shown: Metadata = {
        "origins": [*map(str, made["forecast_origin"].unique().sort())],
        "error_by_horizon": picture(error_by_horizon(made)),
        "alignment": dg.MetadataValue.md(markdown_table(learned.filter(pl.col("forecast_origin").is_null()))),
        "error_correlation": dg.MetadataValue.md(markdown_table(_correlations(lake.read("proofs")))),
        "fit_seconds": round(seconds, 2),
    }
    return dg.MaterializeResult(metadata=shown | table_metadata(made, lake.version("backtest")))


def _run(context: dg.AssetExecutionContext, project: Project, versions: dict[str, str], mark: str) -> float:
    """Writes `backtest`, what is learned from it (`alignment`, `proofs`), and today's `demand_classes`.

    Gives the seconds spent fitting models.
    """
    lake = project.lake
    features, contract = read_features(project)
    seconds: list[float] = []

    def log_fit(model: str, origin: date, took: float) -> None:
        context.log.info(f"{model} at {origin}")
        seconds.append(took)

    groups = read_group_backtest(project)
    made, learned, spreads = run_backtest(
        features, contract, _candidates(project, contract), _backtest_origins(features), groups, on_fit=log_fit
    )
    proofs = [
        (name, _proof(project, name, made, learned, spreads.get(name)).to_json()) for name in made["model"].unique()
    ]
    lake.replace("proofs", pl.DataFrame(proofs, schema={"model": pl.String, "proof": pl.String}, orient="row"))
    version = pl.col("model").replace_strict(versions, default=None, return_dtype=pl.String)
    last = newest_origin(features)
    known = lake.scan("daily_demand").filter(pl.col("date") <= last).collect()
    classes = demand_classes(known, [last]).drop("forecast_origin").cast({"demand_class": pl.String})
    lake.replace("demand_classes", classes)
    lake.replace("alignment", learned.with_columns(model_version=version))
    forecasts = made.drop("correlation")  # that of the models before they are proven; what they learned is in `proofs`
    lake.replace("backtest", forecasts, {"made_of": mark})  # last: its notes say what all are of
    return sum(seconds)


def _correlations(proofs: pl.DataFrame) -> pl.DataFrame:
    """By model, the correlation between the errors of a series' days, of each kind of demand."""
    learned = {model: Proof.from_json(proof).correlation for model, proof in proofs.iter_rows()}
    rows = [{"model": model, **dict(zip(KINDS, found, strict=True))} for model, found in learned.items() if found]
    return pl.DataFrame(rows, schema={"model": pl.String, **dict.fromkeys(KINDS, pl.Float64)}).sort("model")


def _proof(project: Project, name: str, made: pl.DataFrame, learned: pl.DataFrame, spread: Spread | None) -> Proof:
    """What the backtest taught about one model, without its figures."""
    weights = learned.filter(pl.col("model") == name, pl.col("forecast_origin").is_null())["weight"]
    return Proof(
        alignment=float(weights[0]) if len(weights) else 0.0,
        correlation=error_correlation(made, name, project.settings.replenishment, project.frequency),
        spread=spread,
        origins=tuple(made["forecast_origin"].unique().sort()),
    )


def _versions(project: Project) -> dict[str, str]:
    """The registered version behind each name in the backtest."""
    champion = _defender(project)
    versions = {name: found.version for name, found in registered_candidates(project).items()}
    return versions | ({CHAMPION: champion.version} if champion else {})


def _defender(project: Project) -> ModelVersion | None:
    """The champion, where it is of what is configured now."""
    champion = project.tracking.champion()
    return champion if champion and outdated(project, champion) is None else None


def _candidates(project: Project, contract: FeatureContract) -> dict[str, Candidate]:
    """The candidates, and the champion: itself at origins it has not seen, else its recipe trained again. One that is
    not of what is configured now is not among them: its recipe trained again is one of the candidates.
    """
    seed, champion = project.settings.seed, _defender(project)
    candidates: dict[str, Candidate] = {
        name: lambda _, name=name: create(name, seed=seed)  # type: ignore[misc]
        for name in project.settings.training.candidates
    }
    if champion is None:
        return candidates
    with TemporaryDirectory() as folder:
        frozen = load_model(project.tracking.download(champion.version, Path(folder)))
    usable = frozen.contract.reads(contract)

    def defending(origin: date) -> ForecastModel:
        unseen = champion.forecast_origin is not None and origin >= champion.forecast_origin
        return frozen if usable and unseen else type(frozen)(**frozen.parameters)

    return candidates | {CHAMPION: defending}


def _backtest_origins(features: pl.DataFrame) -> list[date]:
    """The origins of the rows held out from training whose outcome is known."""
    known = features.filter(~pl.col("training") & pl.col("units").is_not_null())
    return known["forecast_origin"].unique().sort().to_list()


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
    learned = lake.read("alignment")
    levels = hierarchy_levels(products, stores, settings.covariates.static)
    season = project.calendar.season
    metrics = score_backtest(made, demand, levels, products, stores, season=season)
    version = lake.replace("backtest_metrics", metrics)
    summary = summary_table(metrics)
    _prove(project, summary)
    if summary.is_empty():
        return _nothing_compared(project, version)
    if _is_echo(made):
        tables = (summary, made, metrics, learned)
        summary, made, metrics, learned = (frame.filter(pl.col("model") != CHAMPION) for frame in tables)
    pictures = evaluation.accuracy_pictures(summary, metrics, made, settings.promotion.metric)
    page = evaluation.evaluation_report(
        summary=summary,
        metrics=metrics,
        backtest=made,
        demand=demand,
        title=f"Evaluation of {settings.name}",
        generated_at=now(),
        data_versions=data_versions(lake),
        pictures=pictures,
        alignment=learned,
        metric=settings.promotion.metric,
        rules=settings.promotion,
        reproduce=[f"demand-forecast run --config {settings.path.name}"],
    )
    file = project.home.reports / "evaluation_report.html"
    replace_text(file, page)
    best = summary.row(0, named=True)
    context.log.info(f"best by WRMSSE: {best['model']} {best['wrmsse']:.3f}")
    shown = _findings(summary, {name: one.png for name, one in pictures.items()}, file)
    return dg.MaterializeResult(metadata=decision_first(shown, table_metadata(metrics, version)))


def _nothing_compared(project: Project, version: int) -> dg.MaterializeResult:
    from demand_forecast.reports.evaluation import report_of_nothing

    lake, settings = project.lake, project.settings
    said = unproven(lake.read("backtest"), settings.horizon, project.frequency)[0]
    file = project.home.reports / "evaluation_report.html"
    title = f"Evaluation of {settings.name}"
    replace_text(file, report_of_nothing(said, title=title, generated_at=now(), data_versions=data_versions(lake)))
    shown: Metadata = {"best": said, "report": report(file)}
    return dg.MaterializeResult(metadata=shown | table_metadata(lake.read("backtest_metrics"), version))


def _findings(summary: pl.DataFrame, pictures: Mapping[str, bytes], file: Path) -> Metadata:
    best = summary.row(0, named=True)
    return {
        "best": f"{best['model']}: WRMSSE {best['wrmsse']:.3f}, WAPE {best['wape']:.3f}, bias {best['bias']:+.1%}",
        "candidates": _by_wrmsse(summary),
        **{name: picture(png) for name, png in pictures.items()},
        "report": report(file),
        "summary": dg.MetadataValue.md(markdown_table(summary)),
    }


def _by_wrmsse(summary: pl.DataFrame) -> dg.MetadataValue:
    return bars(dict(summary.select("model", "wrmsse").drop_nulls().iter_rows()), "WRMSSE")


def _prove(project: Project, summary: pl.DataFrame) -> None:
    """Keeps with each candidate's version what its backtest taught, and its metrics with the MLflow run that trained
    it, so that runs can be compared there.
    """
    figures = {row.pop("model"): row for row in summary.to_dicts()}
    proofs = dict(project.lake.read("proofs").iter_rows())
    for name, version in registered_candidates(project).items():
        if name not in figures:  # nothing was compared
            continue
        known = {metric: value for metric, value in figures[name].items() if value is not None}
        project.tracking.finished_run(version.run_id).log_metrics(known)
        project.tracking.keep_proof(version.version, replace(Proof.from_json(proofs[name]), figures=figures[name]))


def _is_echo(made: pl.DataFrame) -> bool:
    """Whether the champion forecast exactly what a candidate did, so that showing both would repeat it."""
    champion = made.filter(pl.col("model") == CHAMPION)["mean"]
    others = made.filter(pl.col("model") != CHAMPION).partition_by("model")
    return any(other["mean"].equals(champion) for other in others)


class PromotionConfig(dg.Config):
    """Empty for a decision by backtest; for a rollback why `from_version` is taken back, and who requested it."""

    roll_back: str = ""
    from_version: str = ""  # where another version is champion by now, the rollback has already happened
    by: str = BY


@dg.asset(
    deps=["evaluation_report"],
    group_name="evaluation",
    kinds={"mlflow", "deltalake"},
    description="Who serves: the best challenger takes over only if it beats the champion on the same origins by the "
    "stated margin and by more than chance, with bias and calibration in bounds. Where nobody serves yet, the best "
    "that beats seasonal naive does, else seasonal naive itself, with reservations. A training decides once. In a "
    "rollback the previous champion takes over again, once it has shown that it loads and serves. The decision goes to "
    "the append-only promotion ledger first, then the registry's aliases move.",
)
def promoted_model(
    context: dg.AssetExecutionContext, config: PromotionConfig, project: Project
) -> dg.MaterializeResult:
    from demand_forecast.reports.charts.monitoring import promotion_history

    ledger = PromotionLedger(project.lake)
    project.tracking.settle(ledger)  # a run killed between ledger and aliases left them apart
    act = _take_back if config.roll_back else _promote
    outcome, reasons = act(project, ledger, config, context.run_id)
    champion = project.tracking.champion()
    context.log.info(f"{outcome}: {reasons[-1]}")
    rows, reservations = ledger.table(), ledger.reservations()
    for line in reservations:
        context.log.warning(f"with reservations: {line}")
    shown: Metadata = {
        "decision": outcome,
        "champion": f"{champion.model} version {champion.version}" if champion else "none",
        "reasons": _listed(reasons),
    }
    if reservations:
        shown["reservations"] = _listed(reservations)
    if len(rows):
        shown["evidence"] = dg.MetadataValue.md(markdown_table(rows.tail(1).select(EVIDENCE)))
    if project.lake.exists("backtest_metrics"):  # a rollback needs no backtest
        shown["candidates"] = _by_wrmsse(summary_table(project.lake.read("backtest_metrics")))
    if len(rows):
        shown["history"] = picture(promotion_history(rows))
        shown = decision_first(shown, table_metadata(rows, meaning={"decision": ", ".join(DECISIONS)}))
    return dg.MaterializeResult(metadata=shown | {"aliases": dg.MetadataValue.json(project.tracking.aliases())})


def _listed(lines: Sequence[str]) -> dg.MetadataValue:
    return dg.MetadataValue.md("\n".join(f"- {line}" for line in lines))


def _promote(project: Project, ledger: PromotionLedger, _: PromotionConfig, run_id: str) -> tuple[str, Sequence[str]]:
    """Decides, unless the champion comes of this very training: what it was chosen from is not looked at again."""
    promotion = _made_champion(project, ledger)
    if promotion:
        return promotion["decision"], promotion["reasons"].splitlines()
    decision = _decide(project, ledger)
    if decision.challenger is not None and not _is_recorded(decision, ledger):
        project.tracking.promote(_ledger_row(decision, run_id), ledger)
    return decision.outcome, decision.reasons


def _take_back(
    project: Project, ledger: PromotionLedger, config: PromotionConfig, run_id: str
) -> tuple[str, Sequence[str]]:
    """Skips the rollback where that version is not champion any more: a run that died had already done it."""
    champion = project.tracking.champion()
    if champion is None or config.from_version in ("", champion.version):
        rows = project.lake.read("forecast_features")
        said = {"reasons": config.roll_back, "by": config.by, "run_id": run_id}
        roll_back(project.tracking, ledger, rows, own_rows=partial(_own_rows, project), **said)
    return ROLLED_BACK, config.roll_back.splitlines()


def _made_champion(project: Project, ledger: PromotionLedger) -> dict[str, Any] | None:
    """The ledger's last line, if it is this asset's promotion of a candidate of the newest training."""
    last = next(iter(ledger.rows()[-1:]), None)
    if last is None or (last["decision"], last["by"]) != ("promoted", BY):
        return None
    made = {version.version for version in registered_candidates(project).values()}
    return last if last["to_version"] in made else None


def _own_rows(project: Project, contract: FeatureContract) -> pl.DataFrame | None:
    own = own_features(project, contract)
    return None if own is None else own.rows


def _decide(project: Project, ledger: PromotionLedger) -> Decision:
    metrics, rules = project.lake.read("backtest_metrics"), project.settings.promotion
    figures = {row["model"]: row for row in summary_table(metrics).iter_rows(named=True)}
    live, champion, candidates = project.tracking.champion(), _defender(project), registered_candidates(project)
    defending = _name_in_backtest(champion, figures, candidates) if champion else None
    barred = ledger.taken_back() | ({live.version} if live else set())
    entrants = {name: version.version for name, version in candidates.items() if version.version not in barred}
    origins, chances = _origins(metrics), read_chance(metrics)
    differences = _differences(project, [*entrants], defending or BASELINE_MODEL, tested_loss(rules.metric))

    def contender(version: str, model: str, name: str) -> Contender:
        figures_of = figures.get(name, {})
        return Contender(version, model, figures_of, origins.get(name, ()), differences.get(name), chances.get(name))

    baseline = candidates.get(BASELINE_MODEL)
    decision = decide(
        [contender(version, name, name) for name, version in entrants.items()],
        contender(champion.version, champion.model, defending) if champion and defending else None,
        contender(baseline.version if baseline else "", BASELINE_MODEL, BASELINE_MODEL),
        rules,
        unproven(project.lake.read("backtest"), project.settings.horizon, project.frequency),
    )
    return decision if live is None or champion else decision.instead_of(live.version, str(outdated(project, live)))


def _origins(metrics: pl.DataFrame) -> dict[str, tuple[date, ...]]:
    """By model, the origins of its own rows in `backtest_metrics`."""
    known = metrics.drop_nulls(["forecast_origin", "value"]).group_by("model")
    return {model: tuple(days) for model, days in known.agg(pl.col("forecast_origin").unique()).iter_rows()}


def _differences(project: Project, names: Sequence[str], incumbent: str, loss: str) -> dict[str, Difference | None]:
    """By name in the backtest, its loss against the incumbent's on the pairs that both have, two models at a time."""
    if not names:
        return {}
    columns = [*SERIES, "date", "forecast_origin", "horizon", "units", "exposure", "mean", *QUANTILE_COLUMNS, "model"]
    backtest = project.lake.scan("backtest").select(columns)

    def losses(name: str) -> pl.DataFrame:
        return backtest_losses(backtest.filter(pl.col("model") == name).collect())

    theirs = losses(incumbent)
    return {name: compare(by_series_and_day(side_by_side(theirs, losses(name))), LOSSES[loss]) for name in names}


def _name_in_backtest(
    champion: ModelVersion, figures: Mapping[str, object], candidates: Mapping[str, ModelVersion]
) -> str:
    """The name the champion was backtested under: the candidate that it is, else champion.

    Raises ValueError where it was not and others were.
    """
    same = [name for name, found in candidates.items() if found.version == champion.version]
    for name in (*same, CHAMPION):  # once it is promoted, the backtest's champion is the one before it
        if name in figures or not figures:
            return name
    raise ValueError(
        f"backtest_metrics: champion version {champion.version} is not among the models compared; materialize "
        "backtest and evaluation_report first"
    )


def _is_recorded(decision: Decision, ledger: PromotionLedger) -> bool:
    """Whether the ledger's last line is this decision: the same night twice adds nothing."""
    last = ledger.rows()[-1:]
    recorded = [(row["decision"], row["from_version"], row["to_version"]) for row in last]
    return (decision.outcome, decision.from_version, decision.challenger) in recorded


def _ledger_row(decision: Decision, run_id: str) -> dict[str, object]:
    return {
        "decided_at": now(),
        "decision": decision.outcome,
        "from_version": decision.from_version,
        "to_version": decision.challenger,
        "by": BY,
        "run_id": run_id,
        "metric": decision.metric,
        "champion_value": decision.champion_value,
        "challenger_value": decision.challenger_value,
        "improvement": decision.improvement,
        "bias": decision.bias,
        "bias_allowance": decision.bias_allowance,
        "calibration_error": decision.calibration_error,
        "calibration_allowance": decision.calibration_allowance,
        "loss_difference": decision.loss_difference,
        "standard_error": decision.standard_error,
        "p_value": decision.p_value,
        "verdict": decision.verdict,
        "reasons": "\n".join(decision.reasons),
        "reservations": "\n".join(decision.reservations) or None,
    }
