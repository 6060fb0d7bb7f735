"""Who answers for which series while a challenger is tried out."""

from copy import copy
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from demand_forecast.publishing.package import PackageError, Trial, point_trial, read_package, write_package
from demand_forecast.service.contract.schema import SeriesId
from demand_forecast.service.state.arms import Arms, in_share
from demand_forecast.service.state.keys import KeyRing
from demand_forecast.service.state.live import Live
from demand_forecast.service.state.served import Served
from demand_forecast_tests.served_night import Night

SERIES = [(f"shop {shop}", f"item {item}") for shop in range(20) for item in range(200)]


def chosen(version: str, share: float) -> set[tuple[str, str]]:
    return {key for key in SERIES if in_share(key, version, share)}


def test_a_share_is_about_as_large_as_asked_and_holds_the_smaller_ones() -> None:
    shares = [0.01, 0.1, 0.3, 0.9]
    sets = [chosen("4", share) for share in shares]
    for share, series in zip(shares, sets, strict=True):
        assert len(series) / len(SERIES) == pytest.approx(share, abs=4 * (share * (1 - share) / len(SERIES)) ** 0.5)
    assert all(small < large for small, large in pairwise(sets))


def test_a_share_is_the_same_on_every_server_and_another_one_for_another_challenger() -> None:
    told = [in_share(key, "4", 0.5) for key in SERIES[:8]]
    assert told == [False, False, True, False, False, False, True, True], "between processes, machines and releases"
    both = chosen("4", 0.3) & chosen("5", 0.3)
    assert len(both) / len(SERIES) == pytest.approx(0.09, abs=0.03)
    assert in_share(("a", "bc"), "4", 0.5) is not in_share(("ab", "c"), "4", 0.5), "shop and product are kept apart"


@pytest.fixture(scope="module")
def served(night: Night, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Served]:
    folder = tmp_path_factory.mktemp("arms")
    champion, challenger = night.publish(folder), night.publish(folder, night.other)
    return {
        "champion": Served(read_package(folder, champion.name)),
        "challenger": Served(read_package(folder, challenger.name), "challenger"),
    }


def test_a_canary_answers_for_its_share_in_the_order_asked(served: dict[str, Served]) -> None:
    arms = Arms(**served, trial=Trial(package="4", mode="canary", share=0.5))
    keys = served["champion"].published.keys
    own = [in_share(key, "4", 0.5) for key in keys]
    assert 0 < sum(own) < len(own)
    assert [arms.forecast(key, 2, [])["arm"] for key in keys] == [("champion", "challenger")[one] for one in own]
    asked = [SeriesId(store_id=store, product_id=product) for store, product in keys]

    def answer(version: Served, part: list[SeriesId]) -> list[Any]:
        return [(version.arm, item) for item in part]

    given = arms.each(asked, answer)
    assert given == [(("champion", "challenger")[one], item) for one, item in zip(own, asked, strict=True)]
    assert arms.shadow is None


def test_a_shadow_answers_nobody(served: dict[str, Served]) -> None:
    arms = Arms(**served, trial=Trial(package="4", mode="shadow", share=0.5))
    assert arms.shadow is served["challenger"]
    assert {arms.served(key).arm for key in served["champion"].published.keys} == {"champion"}


def test_a_challenger_that_forecasts_other_days_is_not_tried_out(served: dict[str, Served]) -> None:
    trial = Trial(package="4", mode="canary", share=0.5)
    for what in ("origin", "horizon"):
        other = copy(served["challenger"])
        if what == "origin":
            day = other.info.forecast_origin - timedelta(days=1)
            other.info = other.info.model_copy(update={"forecast_origin": day})
        else:
            other.published = copy(other.published)
            other.published.horizon -= 1
        with pytest.raises(PackageError, match=rf"package {other.name} is not tried out"):
            Arms(served["champion"], other, trial)


def test_a_trial_of_another_night_is_refused_and_the_champion_answers(night: Night, tmp_path: Path) -> None:
    """A run that was killed between the champion's pointer and the trial leaves this."""
    earlier = night.other.table.with_columns(pl.col("date", "forecast_origin").dt.offset_by("-1d"))
    info = night.info(night.other)
    info = info.model_copy(update={"forecast_origin": info.forecast_origin - timedelta(days=1)})
    files = {"model_folder": night.other.folder, "tables": night.tables}
    challenger = write_package(tmp_path, forecast=earlier, info=info, live=False, **files)
    night.publish(tmp_path)
    point_trial(tmp_path, Trial(package=challenger.name, mode="canary", share=0.9))
    live = Live(tmp_path, KeyRing(None))
    live.look()
    assert live.arms().challenger is None
    assert live.refused is not None
    assert live.refused.package == challenger.name
