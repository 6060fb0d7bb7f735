"""From a retailer's sales to a training: demand that shifts is drift, and undisturbed demand never is."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest

from demand_forecast.defs.automation.retraining import retraining
from demand_forecast.defs.monitoring.assets import drift_report
from demand_forecast.defs.monitoring.checks import recent_days_look_familiar
from demand_forecast.defs.monitoring.decisions import newest_row, retrain_decision
from demand_forecast.defs.project import Project
from demand_forecast.domain.watching.live_accuracy import SCORES
from demand_forecast.domain.watching.retraining import decide_retraining
from demand_forecast.settings import Monitoring
from demand_forecast_tests.defs.registered import promote, register
from demand_forecast_tests.domain.small_retailer import make_retailer

FIRST = date(2025, 1, 6)
YEAR, SERIES = 392, 30  # days before the training, products of one shop
WEEK = np.array([0.8, 0.8, 0.9, 1.0, 1.3, 1.6, 0.6])
TRAINED = FIRST + timedelta(days=YEAR - 1)


def sales(days: int, shifted_from: int | None = None) -> pl.DataFrame:
    """Poisson sales with a week's rhythm, no stock data; from the day `shifted_from` on, half of the demand at prices
    that are a quarter higher."""
    rng = np.random.default_rng(2)
    rate, price = rng.gamma(1.2, 6.0, (SERIES, 1)) + 0.2, rng.gamma(4.0, 1.5, (SERIES, 1)) + 1
    shifted = np.arange(days) >= (days if shifted_from is None else shifted_from)
    units = rng.poisson(rate * WEEK[np.arange(days) % 7] * np.where(shifted, 0.5, 1.0))
    prices = price * np.where(shifted, 1.25, 1.0)
    rows = {
        "store_id": "s",
        "product_id": np.repeat([f"p{number:02}" for number in range(SERIES)], days),
        "date": [FIRST + timedelta(days=number) for number in range(days)] * SERIES,
        "units": units.ravel().astype(np.float32),
        "price": prices.ravel().astype(np.float32),
    }
    return pl.DataFrame(rows).with_columns(in_stock=pl.lit(1.0, pl.Float32), open=pl.lit(True))


@pytest.fixture
def project(project_of: Callable[..., Project], undrawn: pytest.MonkeyPatch) -> Project:
    project = project_of()
    project.home.reports.mkdir(parents=True)
    project.tracking.prepare()
    retailer = make_retailer(products=2)
    promote(project, register(project, retailer.features([retailer.last_day]), TRAINED, "champion"))
    return project


def night(project: Project, demand: pl.DataFrame, *assets: Any) -> None:
    project.lake.replace("daily_demand", demand)
    assert dg.materialize([drift_report, *assets], resources={"project": project}, raise_on_error=False).success


def asked(project: Project, instance: dg.DagsterInstance) -> Any:
    with dg.build_sensor_context(resources={"project": project}, instance=instance) as context:
        return retraining(context)


def test_demand_that_shifts_is_trained_on_once(project: Project) -> None:
    made = sales(YEAR + 21, shifted_from=YEAR)
    with dg.DagsterInstance.ephemeral() as instance:
        assert asked(project, instance).skip_message == "No decision yet."
        for week in (1, 2, 3):
            night(project, made.filter(pl.col("date") <= TRAINED + timedelta(weeks=week)), retrain_decision)
        decisions = project.lake.read("retrain_decision").sort("day")
        assert decisions["decision"].to_list() == ["keep", "keep", "retrain"]
        last = newest_row(project, "retrain_decision") or {}
        assert (last["windows"], last["windows_out"], last["last_training"]) == (3, 2, TRAINED)
        assert recent_days_look_familiar(project).passed is False  # type: ignore[attr-defined]
        request = asked(project, instance)
        assert request.run_key.startswith(f"retrain-{TRAINED + timedelta(weeks=3)}-")
        instance.add_run(dg.DagsterRun(job_name="training", status=dg.DagsterRunStatus.STARTED))
        assert asked(project, instance).skip_message == "A training is running."


@pytest.mark.slow
def test_undisturbed_demand_never_asks_for_a_training(project: Project) -> None:
    made, unscored = sales(YEAR + 20 * 7), pl.DataFrame(schema=SCORES)
    for week in range(1, 21):
        day = TRAINED + timedelta(weeks=week)
        night(project, made.filter(pl.col("date") <= day))
        drift, trained = project.lake.read("drift_history"), day - timedelta(days=28)
        known = {"champion": "1", "promised": None, "trained": trained, "rules": Monitoring()}
        assert decide_retraining(unscored, drift, day=day, **known).decision == "keep", f"week {week}"
    assert project.lake.read("drift_history").height == 20
    reasons = dict(project.lake.read("drift").select("column", "reason").iter_rows())
    assert [name for name, reason in reasons.items() if reason is None] == ["units", "price"]
