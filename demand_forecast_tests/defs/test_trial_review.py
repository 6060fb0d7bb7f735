"""The trial judged night by night on a small lake, a real registry and answers of the service."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import polars as pl
import pytest

from demand_forecast.defs.monitoring.accuracy import forecast_accuracy
from demand_forecast.defs.monitoring.served import served_predictions
from demand_forecast.defs.monitoring.trial import trial_review
from demand_forecast.defs.project import Project
from demand_forecast_tests.answered import line, write_segment
from demand_forecast_tests.defs.registered import compare, promote, register
from demand_forecast_tests.defs.test_live_proof import GOOD, SERIES, day, make_demand, make_published
from demand_forecast_tests.domain.small_retailer import DECLARED, make_retailer

NIGHTS = range(10, 25)
ASKED = [("north", "apple"), ("south", "bread")]
PERIODS = 3


@pytest.fixture(scope="module")
def features() -> Any:
    retailer = make_retailer(products=2)
    return retailer.features([retailer.last_day])


@pytest.fixture
def tried(project_of: Callable[..., Project], features: Any) -> Callable[..., Project]:
    """Two weeks of nights on which a challenger that forecasts a third too much was asked about two series."""

    def make(mode: str = "shadow") -> Project:
        project = project_of(covariates=DECLARED, serving={"trial": {"mode": mode}})
        project.tracking.prepare()
        champion, challenger = (register(project, features, day(5), mark) for mark in ("one", "two"))
        promote(project, champion)
        compare(project, "kept", challenger)
        versions, factors = {"champion": champion, "challenger": challenger}, GOOD | {"challenger": 1.3}
        tables = {
            "published_forecasts": pl.concat(make_published(origin, factors, versions) for origin in NIGHTS),
            "daily_demand": make_demand(NIGHTS[-1] + 1),
            "clean_products": pl.DataFrame({"product_id": ["apple", "bread"]}),
            "clean_stores": pl.DataFrame({"store_id": ["north", "south"]}),
        }
        for name, frame in tables.items():
            project.lake.replace(name, frame)
        heard = {"arm": "challenger", "version": challenger, "periods": PERIODS, "shadow": True}
        lines = [line(f"{origin}", ASKED, origin=day(origin), **heard) for origin in NIGHTS]
        others = [line("champion's", SERIES), line("of an older trial", SERIES, **heard | {"version": "0"})]
        others.append(line("cold", [("north", "bread")], origin=day(12), **heard, cold_start=True))
        write_segment(project.home.predictions, "1-7.jsonl", *lines, *others)
        return project

    return make


def night(project: Project) -> dg.ExecuteInProcessResult:
    return dg.materialize([forecast_accuracy, served_predictions, trial_review], resources={"project": project})


def test_both_scopes_are_judged_and_the_same_night_again_changes_nothing(tried: Callable[..., Project]) -> None:
    project = tried()
    result = night(project)
    rows = {row["scope"]: row for row in project.lake.read("trial_review").iter_rows(named=True)}
    kept = project.lake.read("published_forecasts")
    met = kept.filter(pl.col("date") <= day(NIGHTS[-1]), role="challenger")
    asked = pl.concat_str("store_id", "product_id", separator=" ").is_in([" ".join(one) for one in ASKED])
    assert rows["all"]["pairs"] == met.height
    assert rows["served"]["pairs"] == met.filter(asked, pl.col("horizon") <= PERIODS).height
    assert [(rows[scope]["series"], rows[scope]["days"]) for scope in ("served", "all")] == [(2, 14), (4, 14)]
    for row in rows.values():
        assert (row["verdict"], row["mode"], row["day"]) == ("champion better", "shadow", day(NIGHTS[-1]))
        assert (row["wape_champion"], row["wape_challenger"]) == pytest.approx((0, 0.3), abs=1e-6)
    shown = result.asset_materializations_for_node("trial_review")[0].metadata
    assert shown["verdict"].value == "served: champion better; all: champion better"
    assert "|served|champion better|2|14|" in str(shown["figures"].value)
    week = result.asset_materializations_for_node("forecast_accuracy")[0].metadata["last_week"]
    assert {line.split("|")[1] for line in str(week.value).splitlines()[2:]} >= {"champion", "challenger"}
    version = project.lake.version("trial_review")
    night(project)
    assert project.lake.version("trial_review") == version


def test_before_a_fortnight_there_is_no_verdict_and_before_the_first_day_nothing(tried: Callable[..., Project]) -> None:
    project = tried()
    for last, pairs, reason in ((NIGHTS[0], 0, "no pair"), (NIGHTS[-2], None, "on 13 days; a verdict needs 14")):
        project.lake.replace("daily_demand", make_demand(last + 1))
        night(project)
        newest = project.lake.read("trial_review").filter(day=day(last))
        assert newest["verdict"].to_list() == ["too few days"] * 2
        assert all(reason in said for said in newest["reason"])
        assert pairs is None or newest["pairs"].to_list() == [pairs] * 2


@pytest.mark.parametrize(
    ("mode", "reason"), [("off", "serving.trial.mode is off"), ("canary", "the last challenger is the champion")]
)
def test_without_a_trial_it_says_so(tried: Callable[..., Project], mode: str, reason: str) -> None:
    project = tried(mode)
    promote(project, project.tracking.aliases()["challenger"])
    result = dg.materialize([trial_review], resources={"project": project})
    shown = result.asset_materializations_for_node("trial_review")[0].metadata["verdict"].value
    assert shown == f"none tried out: {reason}"
    assert not project.lake.exists("trial_review")
