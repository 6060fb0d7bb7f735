"""A challenger tried out on a running service, and what it answered in the lake."""

from typing import Any

import dagster as dg
import httpx
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from demand_forecast.defs.monitoring.served import served_predictions
from demand_forecast.defs.project import Project
from demand_forecast.domain.tables import SERIES
from demand_forecast.publishing.package import Trial, point_trial
from demand_forecast.service.state.arms import in_share
from demand_forecast_tests.served_night import CONFIG, Night
from demand_forecast_tests.service.in_process import serve_in_process

SHARE, ASKED, PERIODS = 0.5, 3, 5


def ask(client: httpx.Client, series: list[dict[str, str]]) -> list[list[str]]:
    """Asks about all series a few times; gives the arms that answered, by request."""
    body = {"series": series, "horizon": PERIODS, "quantiles": [0.5]}
    answers = [client.post("/v1/forecast", json=body).raise_for_status().json() for _ in range(ASKED)]
    return [[one["arm"] for one in answer["forecasts"]] for answer in answers]


@pytest.fixture(scope="module")
def taken(night: Night, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The arms that answered without a trial, in the shadow, as a canary and afterwards; and the table."""
    place = tmp_path_factory.mktemp("trial")
    (place / "config.yaml").write_text(CONFIG)
    home = place / ".demand_forecast"
    challenger = night.publish(home / "serving", night.other, live=False).name
    night.publish(home / "serving")
    series = night.champion.table.select(SERIES).unique().sort(SERIES).to_dicts()
    found: dict[str, Any] = {"series": [tuple(one.values()) for one in series]}
    with serve_in_process(place) as running:
        for name in (None, "shadow", "canary", None):
            trial = Trial(package=challenger, mode=name, share=SHARE) if name else None  # type: ignore[arg-type]
            point_trial(home / "serving", trial)
            running.look()
            assert (running.client.get("/v1/model").json()["trial"] or {"mode": None})["mode"] == name
            found[name or "champion alone"] = ask(running.client, series)
    project = Project(config=str(place / "config.yaml"))
    assert dg.materialize([served_predictions], resources={"project": project}).success
    assert list((home / "predictions").iterdir()) == []
    return found | {"table": project.lake.read("served_predictions")}


def test_in_the_shadow_the_champion_answers_and_a_canary_answers_for_its_share(taken: dict[str, Any]) -> None:
    alone = [["champion"] * len(taken["series"])] * ASKED
    own = ["challenger" if in_share(key, "4", SHARE) else "champion" for key in taken["series"]]
    assert taken["champion alone"] == taken["shadow"] == alone
    assert taken["canary"] == [own] * ASKED
    assert {*own} == {"champion", "challenger"}


def test_both_arms_are_in_the_lake_with_what_they_said(taken: dict[str, Any], night: Night) -> None:
    table, count = taken["table"], len(taken["series"])
    own = sum(in_share(key, "4", SHARE) for key in taken["series"])
    by_arm = {(arm, shadow): rows for arm, shadow, rows in table.group_by("arm", "shadow").len().iter_rows()}
    assert by_arm == {
        ("champion", False): ASKED * (4 * count - own),
        ("challenger", True): ASKED * count,
        ("challenger", False): ASKED * own,
    }
    assert table.filter(pl.col("shadow"))["request_id"].n_unique() == ASKED
    for arm, version in (("champion", night.champion), ("challenger", night.other)):
        said = table.filter(pl.col("arm") == arm, periods=PERIODS).unique(SERIES).sort(SERIES)
        horizon = pl.col("horizon") <= PERIODS
        published = version.table.filter(horizon).group_by(SERIES, maintain_order=True).agg("mean", "q50").sort(SERIES)
        assert said["model_version"].unique().to_list() == [version.number]
        assert_frame_equal(said.select(*SERIES, "mean", "q50"), published, rel_tol=0, abs_tol=1e-6)
    assert table["q10"].null_count() == len(table)
