"""Alignment against its definition, and that its weight is learned, not assumed."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from demand_forecast.domain.alignment.align import WEIGHTS, Groups, learn_weights

ORIGIN = date(2024, 5, 5)
DAYS = [ORIGIN + timedelta(days=d) for d in (1, 2, 3)]


def rows(series: list[str], units: float = 1.0) -> pl.DataFrame:
    return pl.DataFrame(
        [("A", product, ORIGIN, day, units, 1.0) for product in series for day in DAYS],
        schema=["store_id", "product_id", "forecast_origin", "date", "units", "exposure"],
        orient="row",
    )


def groups(forecasts: dict[str, list[float]], members: dict[str, str]) -> Groups:
    forecast = pl.DataFrame(
        [
            ("all", group, ORIGIN, day, mean)
            for group, means in forecasts.items()
            for day, mean in zip(DAYS, means, strict=True)
        ],
        schema=["store_group", "product_group", "forecast_origin", "date", "mean"],
        orient="row",
    )
    belongs = [("A", product, "all", group) for product, group in members.items()]
    return Groups(
        forecast, pl.DataFrame(belongs, schema=["store_id", "product_id", "store_group", "product_group"], orient="row")
    )


def test_weight_one_makes_series_add_up_to_their_group() -> None:
    asked = rows(["a", "b", "c"])
    mean = np.array([1.0, 2, 3, 3, 2, 1, 5, 5, 5])
    made = groups({"g": [6.0, 4, 2], "h": [5.0, 10, 4]}, {"a": "g", "b": "g", "c": "h"}).align(asked, mean, 1.0)
    assert made.reshape(3, 3)[:2].sum(axis=0) == pytest.approx([6, 4, 2])
    assert made.reshape(3, 3)[2] == pytest.approx([5, 10, 4])
    assert made[0] / made[3] == pytest.approx(1 / 3)


def test_a_weight_is_the_power_of_the_ratio_and_the_ratio_is_bounded() -> None:
    asked, mean = rows(["a"]), np.array([1.0, 1, 1])
    found = groups({"g": [1.5, 100.0, 0.0]}, {"a": "g"}).align(asked, mean, 0.5)
    assert found == pytest.approx([1.5**0.5, 2**0.5, 0.5**0.5])
    factor = groups({"g": [1.5, 100.0, 0.0]}, {"a": "g"}).factor(asked, 3 * mean, 1.0)
    assert factor.tolist() == [0.5, 2.0, 0.5]
    assert groups({"g": [1.5, 100.0, 0.0]}, {"a": "g"}).factor(asked, mean, 0.0).tolist() == [1.0, 1.0, 1.0]


def test_what_has_no_group_forecast_or_no_demand_stays() -> None:
    asked, mean = rows(["a", "b"]), np.array([0.0, 0, 0, 1, 2, 3])
    made = groups({"g": [5.0, 5, 5]}, {"a": "g", "b": "elsewhere"}).align(asked, mean, 0.75)
    assert made.tolist() == mean.tolist()


def test_errors_are_those_of_groups_and_total_by_hand() -> None:
    asked = rows(["a", "b"], units=2.0)
    mean = np.array([3.0, 3, 3, 1, 1, 1])
    found = groups({"g": [2.0, 2, 2], "h": [2.0, 2, 2]}, {"a": "g", "b": "h"}).errors(asked, mean)
    assert set(found) == set(WEIGHTS)
    # each group is wrong by 1 a day, their total by nothing; 4 units are sold a day
    assert found[0.0] == pytest.approx((1 + 1 + 0) / 2 / 4)
    assert found[0.75] < found[0.5] < found[0.25] < found[0.0]


def test_the_weight_is_learned_from_the_other_origins() -> None:
    days = [ORIGIN - timedelta(days=28 * back) for back in range(3)]
    better = {weight: 1 - weight for weight in WEIGHTS}
    half = {weight: 1 + 9 * (weight - 0.5) ** 2 for weight in WEIGHTS}
    learned = learn_weights(dict(zip(days, [better, better, half], strict=True)))
    best = 0.6  # of the sum of 2 (1 - w) + 1 + 9 (w - 0.5)^2, whose slope is -2 + 18 (w - 0.5)
    others = 0.55  # of one of the two and the half
    assert learned == pytest.approx(
        {
            None: (3 * best + 0.5) / 4,
            days[0]: (2 * others + 0.5) / 3,
            days[1]: (2 * others + 0.5) / 3,
            days[2]: (2 * 1.0 + 0.5) / 3,
        }
    )


def test_a_weight_moves_little_with_one_origin_more() -> None:
    """Ten origins that are best at about three quarters: three of them teach no extremes."""
    rng = np.random.default_rng(5)
    best = rng.normal(0.75, 0.25, 10)
    errors = [{weight: 1 + (weight - one) ** 2 for weight in WEIGHTS} for one in best]
    days = [ORIGIN - timedelta(days=28 * back) for back in range(10)]
    triples = [dict(zip(days[at : at + 3], errors[at : at + 3], strict=True)) for at in range(8)]
    learned = [learn_weights(triple)[None] for triple in triples]
    assert np.ptp(best) > 0.7
    assert np.ptp(learned) < 0.3
    assert np.mean(learned) == pytest.approx(np.mean(best), abs=0.08)


def test_it_is_off_where_it_does_not_pay() -> None:
    days = [ORIGIN - timedelta(days=28 * back) for back in range(2)]
    worse = {weight: 1 + weight for weight in WEIGHTS}
    assert set(learn_weights(dict.fromkeys(days, worse)).values()) == {0.0}
    up, down = {weight: 1 - weight / 2 for weight in WEIGHTS}, {weight: 1 + 2 * weight for weight in WEIGHTS}
    assert set(learn_weights({days[0]: up, days[1]: down}).values()) == {0.0}
    assert learn_weights({days[0]: up}) == {None: 0.0, days[0]: 0.0}
