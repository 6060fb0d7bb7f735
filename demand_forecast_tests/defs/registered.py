"""Versions in the registry, and decisions about them in the ledger."""

from datetime import date
from typing import Any

import polars as pl

from demand_forecast.defs.project import Project
from demand_forecast.domain.models import create
from demand_forecast.domain.tables import now
from demand_forecast.tracking.ledger import PromotionLedger


def register(project: Project, features: Any, trained: date, mark: str, model: str = "seasonal_naive") -> str:
    """A model that serves, registered as `model` with `mark` as its fingerprint."""
    frame, contract = features
    folder = project.home.root / f"model-{mark}"
    create("seasonal_naive").fit(frame.filter(pl.col("training")), contract).save(folder)
    with project.tracking.run("a model") as run:
        tags = {"model": model, "fingerprint": mark, "forecast_origin": str(trained)}
        return project.tracking.register(run.run_id, folder, tags)


def promote(project: Project, version: str) -> None:
    champion = project.tracking.champion()
    row = {
        "decided_at": now(),
        "decision": "promoted",
        "run_id": f"r{version}",
        "reasons": "better",
        "to_version": version,
    }
    row["from_version"] = champion.version if champion else None
    project.tracking.promote(row, PromotionLedger(project.lake))


def compare(project: Project, decision: str, challenger: str, improvement: float | None = 0.0) -> None:
    champion = project.tracking.champion()
    line = {"decided_at": now(), "decision": decision, "run_id": str(now()), "reasons": "figures"}
    line |= {"from_version": champion and champion.version, "to_version": challenger, "improvement": improvement}
    project.tracking.promote(line, PromotionLedger(project.lake))
