"""When the champion is taken back, to whom, and when there is no way back."""

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from demand_forecast.domain.watching.champion_review import Review, review_champion, weeks_table
from demand_forecast.domain.watching.live_accuracy import SCORES
from demand_forecast.settings import Monitoring

NEWEST = date(2026, 5, 31)
OWN = 0.5  # the champion's WQL; its rivals' differ by week
BETTER, WORSE = 0.4, 0.6


def row(day: date, origin: date, role: str, version: str, wql: float) -> dict[str, Any]:
    place = {
        "date": day,
        "forecast_origin": origin,
        "horizon": 1,
        "role": role,
        "model": role,
        "model_version": version,
    }
    sums = {"level": "series", "demand_class": "all", "pairs": 10, "units": 100.0, "quantile_loss": 100 * wql}
    return dict.fromkeys(SCORES, 1.0) | place | sums


def scores(previous: list[float], naive: list[float], step: int = 1, old: str = "1") -> pl.DataFrame:
    """Version 2 is the champion for as many weeks as the longer list has, after version 1 was for a week."""
    rows = []
    weeks = max(len(previous), len(naive))
    for back in range(weeks + 1):
        for days in range(0, 7, step):
            day = NEWEST - timedelta(days=7 * back + days)
            origin = day - timedelta(days=step)
            if back == weeks:
                rows.append(row(day, origin, "champion", "1", OWN))
                continue
            rows.append(row(day, origin, "champion", "2", OWN))
            for role, version, losses in (("previous", old, previous), ("baseline", "", naive)):
                if back < len(losses):
                    rows.append(row(day, origin, role, version, losses[-1 - back]))
    return pl.DataFrame(rows, schema=SCORES)


def reviewed(shadow: list[float], naive: list[float], **given: Any) -> Review:
    found = scores(shadow, naive, given.pop("step", 1), given.pop("old", "1"))
    return review_champion(found, **{"champion": "2", "previous": "1", "rules": Monitoring()} | given)


@pytest.mark.parametrize(
    ("previous", "naive", "given", "verdict"),
    [
        ([WORSE] * 4, [WORSE] * 4, {}, "keep"),
        ([BETTER] * 4, [WORSE] * 4, {}, "roll_back"),
        ([WORSE, BETTER, BETTER, BETTER], [WORSE] * 4, {}, "roll_back"),
        ([BETTER, BETTER, BETTER, WORSE], [WORSE] * 4, {}, "keep"),  # the newest is not lost
        ([WORSE, WORSE, BETTER, BETTER], [WORSE] * 4, {}, "keep"),  # two are not enough
        ([BETTER] * 3, [WORSE] * 3, {}, "roll_back"),  # three whole weeks are enough
        ([BETTER] * 2, [WORSE] * 2, {}, "keep"),
        ([OWN / 1.02 + 1e-9] * 4, [WORSE] * 4, {}, "keep"),  # worse by the margin, not by more
        ([OWN / 1.021] * 4, [WORSE] * 4, {}, "roll_back"),
        ([], [BETTER] * 4, {}, "roll_back"),  # seasonal naive is better, previous was not in the shadow
        ([OWN] * 4, [BETTER] * 4, {}, "roll_back"),
        ([WORSE] * 4, [BETTER] * 4, {}, "no_way_back"),  # previous would be worse still
        ([], [BETTER] * 4, {"previous": None}, "no_way_back"),
        ([BETTER] * 4, [WORSE] * 4, {"taken_back": ["1"]}, "no_way_back"),
        ([BETTER] * 4, [WORSE] * 4, {"old": "0"}, "keep"),  # the shadow of another version
        ([BETTER] * 4, [BETTER] * 4, {"champion": "1", "previous": "2"}, "keep"),  # not the champion of these weeks
        ([BETTER] * 4, [WORSE] * 4, {"step": 7}, "roll_back"),  # weekly periods
        ([BETTER, BETTER, BETTER, WORSE], [WORSE] * 4, {"step": 7}, "keep"),
    ],
)
def test_verdicts(previous: list[float], naive: list[float], given: dict[str, Any], verdict: str) -> None:
    assert reviewed(previous, naive, **given).verdict == verdict


def test_a_week_that_began_before_the_champion_took_over_is_not_whole() -> None:
    found = scores([BETTER] * 4, [WORSE] * 4).filter(pl.col("date") != NEWEST)
    review = review_champion(found, champion="2", previous="1", rules=Monitoring())
    assert [week.window.last for week in review.weeks] == [NEWEST - timedelta(days=back) for back in (15, 8, 1)]


def test_forecasts_of_an_earlier_reign_do_not_count() -> None:
    """Version 2 served, version 1 took over, version 2 is champion again since the last week."""
    found = scores([BETTER] * 4, [WORSE] * 4)
    week = NEWEST - timedelta(days=6)
    between = [row(week - timedelta(days=1), week - timedelta(days=2), "champion", "1", OWN)]
    early = (pl.col("date") < week) & (pl.col("role") == "champion") & (pl.col("date") == week - timedelta(days=1))
    found = pl.concat([found.filter(~early), pl.DataFrame(between, schema=SCORES)])
    review = review_champion(found, champion="2", previous="1", rules=Monitoring())
    assert [week.window.last for week in review.weeks] == [NEWEST]
    assert review.verdict == "keep"


def test_reasons_and_weeks_say_by_how_much() -> None:
    review = reviewed([WORSE, BETTER, BETTER, BETTER], [WORSE] * 4)
    assert review.reasons == (
        "against previous: worse by more than 2% of WQL in 3 of 4 whole weeks, in the newest by 25.0%; 3 of 4 with the "
        "newest are a defeat",
        "against seasonal naive: worse by more than 2% of WQL in 0 of 4 whole weeks; 3 of 4 with the newest are a "
        "defeat",
        "version 1 takes over again",
    )
    table = weeks_table(review.weeks, 0.02)
    assert table["lost_to"].to_list() == ["", "previous", "previous", "previous"]
    assert table["fva_wql_previous"].to_list() == pytest.approx([1 - OWN / WORSE] + [1 - OWN / BETTER] * 3)
    assert "no previous champion to go back to" in reviewed([], [BETTER] * 4, previous=None).reasons[-1]
    assert (
        "no whole week to compare"
        in review_champion(pl.DataFrame(schema=SCORES), champion="2", previous="1", rules=Monitoring()).reasons[0]
    )
