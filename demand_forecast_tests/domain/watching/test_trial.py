"""The review of a trial: sums beside loops in plain Python, and its error rates by simulation."""

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from demand_forecast.domain.evaluation.difference import by_series_and_day
from demand_forecast.domain.watching.trial import TrialReview, answered_pairs, arm_losses, review_trial
from demand_forecast_tests.domain.evaluation.test_difference import simulate
from demand_forecast_tests.domain.watching.test_live_accuracy import FIRST, counting, make_demand, make_published

ROLES = ("champion", "challenger")


def pinball(row: dict[str, Any]) -> float:
    levels = [tenth / 10 for tenth in range(1, 10)]
    short = [(level, row["units"] - row[f"q{round(100 * level)}"]) for level in levels]
    return 2 * sum(max(level * gap, (level - 1) * gap) for level, gap in short) / 9


def test_losses_are_of_the_pairs_that_both_arms_have() -> None:
    demand, published = make_demand(12), make_published(8, 4, roles=(*ROLES, "baseline"))
    gone = (pl.col("role") == "challenger") & (pl.col("forecast_origin") == FIRST + timedelta(days=5))
    another = (pl.col("role") == "champion") & (pl.col("forecast_origin") < FIRST + timedelta(days=2))
    published = published.filter(~gone).with_columns(
        model_version=pl.when(another).then(pl.lit("1")).otherwise("model_version")
    )
    rows = {role: {} for role in ROLES}
    for row in counting(published, demand):
        if (row["role"], row["model_version"]) in (("champion", "2"), ("challenger", "3")):
            key = (row["store_id"], row["product_id"], row["date"], row["forecast_origin"])
            rows[row["role"]][key] = (row["units"], pinball(row), abs(row["mean"] - row["units"]))
    both = rows["champion"].keys() & rows["challenger"].keys()
    losses = arm_losses(published, demand, "2", "3")
    assert 50 < len(losses) == len(both)
    for row in losses.iter_rows(named=True):
        key = (row["store_id"], row["product_id"], row["date"], row["forecast_origin"])
        assert [row[name] for name in ("units", "quantile_loss", "absolute_error")] == pytest.approx(
            rows["champion"][key]
        )
        assert [row[f"{name}_challenger"] for name in ("quantile_loss", "absolute_error")] == pytest.approx(
            rows["challenger"][key][1:]
        )


def test_only_what_the_challenger_answered_is_in_the_scope_served() -> None:
    losses = arm_losses(make_published(8, 4, roles=ROLES), make_demand(12), "2", "3")
    asked = {("north", "apple", FIRST + timedelta(days=4)): 2, ("south", "bread", FIRST + timedelta(days=6)): 9}
    served = pl.DataFrame(
        [(*key, periods) for key, periods in asked.items()],
        schema=["store_id", "product_id", "forecast_origin", "periods"],
        orient="row",
    )
    expected = [
        row
        for row in losses.iter_rows(named=True)
        if row["horizon"] <= asked.get((row["store_id"], row["product_id"], row["forecast_origin"]), 0)
    ]
    found = answered_pairs(losses, served)
    assert len(expected) > 3
    assert sorted(found.to_dicts(), key=str) == sorted(expected, key=str)


def test_sums_of_parts_are_the_sums_of_the_whole() -> None:
    losses = arm_losses(make_published(8, 4, roles=ROLES), make_demand(12), "2", "3")
    parts = [by_series_and_day(part) for part in losses.partition_by("forecast_origin")]
    again = by_series_and_day(pl.concat(parts))
    assert again["pairs"].sum() == len(losses)
    for name in ("verdict", "series", "days", "pairs"):
        assert getattr(review_trial(again), name) == getattr(review_trial(by_series_and_day(losses)), name)
    assert again.height == by_series_and_day(losses).height < losses.height


def verdicts(better: float, days: int = 28, runs: int = 30) -> list[str]:
    rng = np.random.default_rng(2)
    return [review_trial(simulate(rng, 60, days, better)).verdict for _ in range(runs)]


@pytest.mark.parametrize(("better", "verdict"), [(0.15, "challenger better"), (-0.15, "champion better")])
def test_a_real_difference_is_found(better: float, verdict: str) -> None:
    assert verdicts(better).count(verdict) >= 28


def test_equal_arms_have_no_significant_difference() -> None:
    assert verdicts(0.0).count("no significant difference yet") >= 28


def test_a_fortnight_is_the_least() -> None:
    early, late = (review_trial(simulate(np.random.default_rng(3), 60, days, 0.3)) for days in (13, 14))
    assert (early.verdict, late.verdict) == ("too few days", "challenger better")
    assert "on 13 days; a verdict needs 14" in early.reason
    assert (late.series, late.days) == (60, 14)
    assert 13 <= late.degrees_of_freedom <= 59 + 13


def test_nothing_to_compare_is_said() -> None:
    empty = simulate(np.random.default_rng(3), 2, 2).clear()
    assert review_trial(empty) == TrialReview("too few days", "no pair whose actuals have come", 0, 0, 0, 0.0, 0)
    same = simulate(np.random.default_rng(3), 5, 20).with_columns(quantile_loss_challenger="quantile_loss")
    assert review_trial(same).verdict == "no significant difference yet"
