"""Drift: what has changed is found and named, what cannot be compared is said, the index is the textbook's."""

import math
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest

from demand_forecast.monitoring import drift
from demand_forecast.monitoring.drift import DriftResult, drift_report

NUMERIC = ["units", "price", "in_stock"]


def make_rows(rows: int = 3000, *, seed: int = 0, rate: float = 1.0) -> pl.DataFrame:
    """Heavy-tailed units of many series, a price, goods always there, and a weekday."""
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "units": rng.poisson(rate * np.exp(rng.normal(0.5, 1.3, rows))).astype(np.float32),
            "price": rng.normal(10, 2, rows).astype(np.float32),
            "in_stock": np.ones(rows, np.float32),
            "weekday": rng.integers(1, 8, rows),
        }
    )


def compare(current: pl.DataFrame, reference: pl.DataFrame, **settings: object) -> DriftResult:
    return drift_report(current, reference, numeric=NUMERIC, categorical=["weekday"], **settings)  # type: ignore[arg-type]


def scores(result: DriftResult) -> dict[str, float]:
    return dict(result.by_column.select("column", "score").iter_rows())


def drifted(result: DriftResult) -> list[str]:
    return result.by_column.filter(pl.col("drifted"))["column"].to_list()


def slow_psi(current: list[str], reference: list[str]) -> float:
    total = 0.0
    for label in set(current) | set(reference):
        now, then = current.count(label) / len(current), reference.count(label) / len(reference)
        now, then = now or 0.0001, then or 0.0001
        total += (now - then) * math.log(now / then)
    return total


def decile_of(value: float, reference: list[float]) -> str:
    ordered = sorted(reference)
    edges = [ordered[math.ceil(len(ordered) * tenth / 10) - 1] for tenth in range(1, 10)]
    return str(sum(value > edge for edge in edges))


def test_the_same_rows_have_not_drifted() -> None:
    rows = make_rows()
    result = compare(rows, rows)
    assert not result.drifted
    assert result.share == 0
    assert all(score == pytest.approx(0, abs=1e-9) for name, score in scores(result).items() if name != "in_stock")


def test_other_days_of_the_same_market_have_not_drifted() -> None:
    assert drifted(compare(make_rows(seed=1), make_rows(seed=2))) == []


def test_demand_that_doubled_is_found_and_named() -> None:
    result = compare(make_rows(seed=1, rate=2.5), make_rows(seed=2))
    assert drifted(result) == ["units"]
    assert result.share == pytest.approx(1 / 3), "in_stock is 1 on both sides and cannot move"
    assert not result.drifted
    assert compare(make_rows(seed=1, rate=2.5), make_rows(seed=2), drift_share=0.33).drifted


def test_a_value_that_was_constant_in_training_may_not_change_unseen() -> None:
    emptied = make_rows(seed=1).with_columns(in_stock=pl.lit(0.4, pl.Float32))
    result = compare(emptied, make_rows(seed=2))
    assert (drifted(result), result.share) == (["in_stock"], 0.25)


def test_what_cannot_move_is_listed_with_the_reason_and_does_not_count() -> None:
    rows, doubled = make_rows(seed=2), make_rows(seed=1, rate=2.5)
    result = compare(doubled, rows, fixed={"weekday": "as the calendar has it"})
    assert dict(result.by_column.select("column", "reason").iter_rows()) == {
        "units": None,
        "price": None,
        "in_stock": "always 1.0",
        "weekday": "as the calendar has it",
    }
    assert result.by_column["score"].null_count() == result.by_column["drifted"].null_count() == 2
    assert (drifted(result), result.share, result.drifted) == (["units"], 0.5, True)


def test_a_value_that_is_rare_is_not_taken_for_none() -> None:
    """The one row of 30,000 in which a shop was out of stock may not be in the sample."""
    rows = make_rows(30_000)
    once = rows.with_columns(in_stock=pl.when(pl.int_range(pl.len()) == 5).then(0.4).otherwise("in_stock"))
    reasons = compare(rows, once, max_rows=500).by_column["reason"]
    assert reasons.to_list() == [None] * 4


def test_evidently_counts_the_columns_that_we_count(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, scored = [], drift._scores
    monkeypatch.setattr(drift, "_scores", lambda snapshot: seen.append(snapshot) or scored(snapshot))
    result = compare(make_rows(seed=1, rate=2.5), make_rows(seed=2), fixed={"weekday": "as the calendar has it"})
    (counted,) = [one for one in seen[0]["metrics"] if one["config"]["type"].endswith(":DriftedColumnsCount")]
    assert counted["value"] == {"count": 1, "share": result.share}
    assert counted["config"]["drift_share"] == 0.5


def test_values_that_go_missing_are_drift() -> None:
    holes = pl.when(pl.int_range(pl.len()) % 2 == 0).then("price")
    assert drifted(compare(make_rows(seed=1).with_columns(price=holes), make_rows(seed=2))) == ["price"]


def test_new_categories_are_drift() -> None:
    eighth = pl.when(pl.col("weekday") < 4).then(pl.lit(8)).otherwise("weekday")
    assert drifted(compare(make_rows(seed=1).with_columns(weekday=eighth), make_rows(seed=2))) == ["weekday"]


def test_numbers_have_the_index_of_the_reference_deciles() -> None:
    current = make_rows(700, seed=1).with_columns(pl.col("price") * 1.08)
    reference = make_rows(900, seed=2)
    then = reference["price"].to_list()
    expected = slow_psi(*([decile_of(value, then) for value in rows["price"]] for rows in (current, reference)))
    assert scores(compare(current, reference))["price"] == pytest.approx(expected, rel=1e-6)


def test_categories_have_the_index_of_their_shares() -> None:
    current, reference = make_rows(700, seed=1).filter(pl.col("weekday") > 2), make_rows(900, seed=2)
    expected = slow_psi(*([str(day) for day in rows["weekday"]] for rows in (current, reference)))
    assert scores(compare(current, reference))["weekday"] == pytest.approx(expected, rel=1e-6)


def test_columns_that_cannot_be_compared_are_listed_with_the_reason() -> None:
    rows = make_rows()
    result = compare(
        rows.with_columns(price=pl.lit(None, pl.Float32), in_stock=pl.lit(float("nan"))), rows.drop("weekday")
    )
    reasons = dict(result.by_column.select("column", "reason").iter_rows())
    assert reasons == {
        "units": None,
        "price": "no value in the current rows",
        "in_stock": "no value in the current rows",
        "weekday": "not a column of the reference rows",
    }
    assert result.by_column["score"].null_count() == 3


@pytest.mark.parametrize("rows", [0, 99])
def test_too_few_rows_are_no_drift_and_say_so(rows: int) -> None:
    result = compare(make_rows(rate=9).head(rows), make_rows())
    assert (result.drifted, result.share, result.rows_current) == (False, 0.0, rows)
    assert set(result.by_column["reason"]) == {f"{rows} current rows; 100 are needed"}
    assert f"{rows} current rows" in result.html


def test_both_sides_are_sampled_the_same_way_each_time() -> None:
    first, second = (compare(make_rows(seed=1), make_rows(seed=2), max_rows=500) for _ in range(2))
    assert (first.rows_current, first.rows_reference) == (500, 500)
    assert first.by_column.equals(second.by_column)


class Addresses(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href") and tag != "a"]


def test_the_page_needs_no_network() -> None:
    page = Addresses()
    page.feed(compare(make_rows(seed=1), make_rows(seed=2)).html)
    assert not [address for address in page.found if not address.startswith("data:")]
