"""Sensors that act on live accuracy: retraining and rollback."""

from hashlib import sha256
from typing import Any

import dagster as dg
import polars as pl

from demand_forecast.defs.automation.jobs import TRAINING, UNFINISHED, training
from demand_forecast.defs.automation.status import SENSORS
from demand_forecast.defs.monitoring.decisions import CHAMPION_REVIEW, RETRAIN_DECISION, newest_row
from demand_forecast.defs.project import SETTINGS, Project
from demand_forecast.domain.evaluation.roles import CHAMPION
from demand_forecast.domain.watching.champion_review import ROLL_BACK
from demand_forecast.domain.watching.retraining import RETRAIN
from demand_forecast.tracking.ledger import ROLLED_BACK, PromotionLedger

ROLLBACK = "rollback"
DECIDED = dg.AssetSelection.assets("promoted_model")
SERVED = DECIDED.downstream() & dg.AssetSelection.groups("forecasts", "serving")

rollback_job = dg.define_asset_job(
    ROLLBACK,
    selection=DECIDED | SERVED,
    description="The previous champion takes over again, once it has shown that it loads and serves: then it "
    "forecasts, orders are planned, and it is packed to be served.",
)


def rollback_config(reasons: str, from_version: str, by: str) -> dict[str, Any]:
    """The run configuration of the job rollback."""
    config = {"roll_back": reasons, "from_version": from_version, "by": by}
    return {"ops": {"promoted_model": {"config": config}}}


@dg.sensor(
    job=training,
    minimum_interval_seconds=SETTINGS.automation.interval,
    default_status=SENSORS,
    description="Requests a training where the newest retrain decision says so, once for each decision.",
)
def retraining(context: dg.SensorEvaluationContext, project: Project) -> dg.RunRequest | dg.SkipReason:
    decision = newest_row(project, RETRAIN_DECISION)
    if decision is None or decision["decision"] != RETRAIN:
        return dg.SkipReason("The newest decision is to keep the models." if decision else "No decision yet.")
    if _is_running(context, TRAINING):
        return dg.SkipReason("A training is running.")
    why = sha256(str(decision["reasons"]).encode()).hexdigest()[:12]  # what is configured may change twice a day
    return dg.RunRequest(run_key=f"retrain-{decision['day']}-{why}")


@dg.sensor(
    job=rollback_job,
    minimum_interval_seconds=SETTINGS.automation.interval,
    default_status=SENSORS,
    description="Takes the champion back where its newest review says so, and finishes a rollback that died half-way.",
)
def rollback(context: dg.SensorEvaluationContext, project: Project) -> dg.RunRequest | dg.SkipReason:
    unfinished, review = _unfinished(project), newest_row(project, CHAMPION_REVIEW)
    champion = project.tracking.aliases().get(CHAMPION)
    if unfinished:
        tonight = review and review["day"]  # one try a night
        request = _request(
            f"finish-{unfinished['run_id']}-{tonight}", unfinished["reasons"], unfinished["from_version"]
        )
    elif review is None or review["verdict"] != ROLL_BACK:
        return dg.SkipReason("The newest review keeps the champion." if review else "No review yet.")
    elif review["champion"] != champion:
        return dg.SkipReason(f"Version {review['champion']} is champion no more.")
    else:
        request = _request(f"rollback-{champion}-{review['day']}", review["reasons"], review["champion"])
    return dg.SkipReason("A rollback is running.") if _is_running(context, ROLLBACK) else request


def _unfinished(project: Project) -> dict[str, Any] | None:
    """A rollback that is in the ledger but not live yet, because its run died; None where there is none."""
    last = PromotionLedger(project.lake).last_promotion()
    if last is None or last["decision"] != ROLLED_BACK:
        return None
    live = {project.tracking.aliases().get(CHAMPION), _published_version(project)}
    return last if live - {None} != {last["to_version"]} else None


def _published_version(project: Project) -> str | None:
    if not project.lake.exists("demand_forecast"):
        return None
    return project.lake.scan("demand_forecast").select(pl.col("model_version").first()).collect().item()


def _request(run_key: str, reasons: str, from_version: str) -> dg.RunRequest:
    return dg.RunRequest(run_key=run_key, run_config=rollback_config(reasons, from_version, "sensor rollback"))


def _is_running(context: dg.SensorEvaluationContext, job: str) -> bool:
    return bool(context.instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=UNFINISHED)))
