"""A collapse of sales stops a night; what chance explains, or a first run, does not."""

from collections.abc import Callable
from datetime import date, timedelta

import dagster as dg
import polars as pl
import pytest

from demand_forecast.defs.features.checks import volume_is_usual
from demand_forecast.defs.project import Project
from demand_forecast.domain.tables import now
from demand_forecast.tracking.ledger import PromotionLedger

LAST = date(2026, 10, 4)
STEADY, MONTHLY = [9.0] * 56, [1.0 if day % 28 == 3 else 0.0 for day in range(56)]


def check(project: Project, units: list[float], step: int = 1) -> dg.AssetCheckResult:
    days = [LAST - timedelta(days=step * back) for back in reversed(range(len(units)))]
    demand = {"store_id": "S", "date": days, "units": units, "open": [True] * len(units)}
    project.lake.replace("daily_demand", pl.DataFrame(demand))
    found = volume_is_usual(project)
    assert isinstance(found, dg.AssetCheckResult)
    return found


@pytest.mark.parametrize(
    ("units", "passed"),
    [
        (STEADY + [8.0] * 7, True),
        (STEADY + [0.1] * 7, False),
        (STEADY + [200.0] * 7, False),
        (MONTHLY + [0.0] * 7, True),
        (MONTHLY + [0.0] * 6 + [40.0], True),
        ([0.0] * 56 + [5.0] * 7, True),
        ([5.0] * 3, True),
    ],
    ids=["usual", "collapsed", "burst", "one sale a month", "one large order", "season begins", "three days"],
)
def test_a_collapse_is_what_chance_does_not_explain(project: Project, units: list[float], passed: bool) -> None:
    assert check(project, units).passed == passed


@pytest.mark.parametrize(("units", "passed"), [([9.0] * 9, True), ([9.0] * 8 + [0.0], False)])
def test_of_weeks_the_last_one_is_judged(project: Project, units: list[float], passed: bool) -> None:
    assert check(project, units, step=7).passed == passed


def test_it_stops_a_night_and_only_warns_before_the_first_champion(project_of: Callable[..., Project]) -> None:
    project = project_of()
    collapsed = STEADY + [0.0] * 7
    assert check(project, collapsed).severity == dg.AssetCheckSeverity.WARN
    line = {"decided_at": now(), "decision": "promoted", "run_id": "r", "reasons": "best", "to_version": "1"}
    PromotionLedger(project.lake).append(line)
    assert check(project, collapsed).severity == dg.AssetCheckSeverity.ERROR
