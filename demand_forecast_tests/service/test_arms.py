"""Who answers for which series while a challenger is tried out."""

from pathlib import Path
from typing import Any

import pytest

from demand_forecast.service.arms import Arms, in_share
from demand_forecast.service.schema import SeriesId
from demand_forecast.service.served import Served
from demand_forecast.tracking.package import Trial, read_package
from demand_forecast_tests.served_night import Night

SERIES = [(f"shop {shop}", f"item {item}") for shop in range(20) for item in range(200)]


def chosen(version: str, share: float) -> set[tuple[str, str]]:
    return {key for key in SERIES if in_share(key, version, share)}


def test_a_share_is_about_as_large_as_asked_and_holds_the_smaller_ones() -> None:
    shares = [0.01, 0.1, 0.3, 0.9]
    sets = [chosen("4", share) for share in shares]
    for share, series in zip(shares, sets, strict=True):
        assert len(series) / len(SERIES) == pytest.approx(share, abs=4 * (share * (1 - share) / len(SERIES)) ** 0.5)
    assert sets == sorted(sets, key=len)
    assert all(small < large for small, large in zip(sets, sets[1:], strict=False))


def test_a_share_is_the_same_on_every_server_and_another_one_for_another_challenger() -> None:
    # fixed by hand: what a hash says must not change between processes, machines or releases
    assert [in_share(key, "4", 0.5) for key in SERIES[:8]] == []
    both = chosen("4", 0.3) & chosen("5", 0.3)
    assert len(both) / len(SERIES) == pytest.approx(0.09, abs=0.03)
    assert not in_share(("a", "bc"), "4", 0.5) is in_share(("ab", "c"), "4", 0.5) is in_share(("abc", ""), "4", 0.5)


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

    assert arms.each(asked, answer) == [
        (("champion", "challenger")[one], item) for one, item in zip(own, asked, strict=True)
    ]
    assert arms.shadow is None


def test_a_shadow_answers_nobody(served: dict[str, Served]) -> None:
    arms = Arms(**served, trial=Trial(package="4", mode="shadow", share=0.5))
    assert arms.shadow is served["challenger"]
    assert {arms.served(key).arm for key in served["champion"].published.keys} == {"champion"}


def test_a_challenger_of_another_origin_is_not_tried_out(
    night: Night, served: dict[str, Served], tmp_path: Path
) -> None:
    published = served["champion"].published
    shorter = night.other.table.filter(horizon=1)
