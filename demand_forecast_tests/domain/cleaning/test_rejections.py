"""A store or product whose lines are all rejected is named, with the reason and a line to look at."""

from datetime import date, timedelta

import polars as pl

from demand_forecast.domain.cleaning.rejections import absurd_lately, refused_lines, vanished
from demand_forecast.settings import Cleaning

DAY = date(2026, 11, 20)
Kept = list[tuple[str, str, int, int]]  # store, product, day, lines
Lost = list[tuple[str | None, str | None, int, str]]  # store, product, day, reason


def kept(rows: Kept) -> pl.DataFrame:
    schema = {"store_id": pl.String, "product_id": pl.String, "date": pl.Date, "lines": pl.UInt32}
    placed = [(store, product, DAY + timedelta(days=day), lines) for store, product, day, lines in rows]
    return pl.DataFrame(placed, schema=schema, orient="row")


def refused(rows: Lost) -> pl.DataFrame:
    raw = [
        (store, product, DAY + timedelta(days=day), reason, f"{day}.csv", line, "x", None, None)
        for line, (store, product, day, reason) in enumerate(rows, 2)
    ]
    columns = ["store_id", "product_id", "day", "reason", "file", "line", "units", "extra", "fault"]
    table = pl.DataFrame(raw, schema=columns, orient="row", schema_overrides={"extra": pl.String, "fault": pl.String})
    return refused_lines(table.lazy(), Cleaning(id_case="upper")).collect()


def names(kept_rows: Kept, lost: Lost) -> list[tuple[str, str, int, str]]:
    return [(one.kind, one.name, one.lines, one.reason) for one in vanished(kept(kept_rows), refused(lost))]


def test_a_store_whose_lines_are_all_rejected_tonight_is_named() -> None:
    before: Kept = [(store, product, 0, 3) for store in "AB" for product in "PQR"]
    tonight: Lost = [("a", product, 1, "unreadable_units") for product in "pqr"]
    lost = vanished(kept([*before, ("B", "P", 1, 3)]), refused(tonight))
    assert [str(one) for one in lost] == [
        "store A: 3 rejected, unreadable_units, for example 1.csv, line 4: a, r, x"
    ]  # its products sell elsewhere, and are named by it


def test_nearly_all_is_enough_and_a_few_are_not() -> None:
    lost: Lost = [("A", "P", 1, "unreadable_units")] * 19
    assert names([("A", "P", 0, 9), ("A", "P", 1, 1)], lost) == [("store", "A", 19, "unreadable_units")]
    assert names([("A", "P", 0, 9), ("A", "P", 1, 9)], lost) == []
    assert names([("A", "P", 0, 9)], lost[:2]) == []


def test_a_slow_product_is_named_after_three_lines_whatever_days_they_came_on() -> None:
    others: Kept = [("A", "Q", day, 90) for day in range(9)]
    lost: Lost = [("A", "P", day, "absurd_units") for day in (3, 5, 8)]
    assert names([("A", "P", 0, 1), *others], lost) == [("product", "P", 3, "absurd_units")]
    assert names([("A", "P", 6, 1), *others], lost) == []


def test_returns_and_replaced_lines_are_ordinary() -> None:
    ordinary: Lost = [("A", "P", 1, reason) for reason in ("return", "superseded", "cancellation", "non_product")]
    assert names([], ordinary * 9) == []


def test_a_store_that_nobody_listed_is_named_and_lines_without_a_store_are_not() -> None:
    lost: Lost = [("C", "P", 1, "unknown_store")] * 5 + [(None, None, 1, "missing_store")] * 9
    assert names([("A", "P", 1, 5)], lost) == [("store", "C", 5, "unknown_store")]


def test_a_single_absurd_line_is_told_for_two_weeks() -> None:
    lost = refused([("A", "P", 1, "absurd_units"), ("A", "P", 2, "unreadable_units")])
    assert [one.name for one in absurd_lately(lost, DAY + timedelta(days=14))] == ["P in store A"]
    assert absurd_lately(lost, DAY + timedelta(days=15)) == []
