"""Past days compared with what they said before."""

from datetime import date, timedelta

import polars as pl

from demand_forecast.domain.cleaning.past_days import Jump, jump_of

FIRST = date(2025, 1, 1)


def sales(
    days: int, units: float = 10.0, store: str = "S1", source: str = "tills", first: date = FIRST
) -> pl.DataFrame:
    dates = [first + timedelta(days=number) for number in range(days)]
    named = {"store_id": pl.lit(store), "product_id": pl.lit("P1"), "source": pl.lit(source)}
    return pl.DataFrame({"date": dates}).with_columns(units=pl.lit(units, pl.Float32), **named)


def jump(before: pl.DataFrame, now: pl.DataFrame) -> Jump:
    return jump_of(before.lazy(), now.lazy())


def test_a_history_that_counts_twice_is_another_one_and_says_by_which_source() -> None:
    found = jump(sales(60), pl.concat([sales(60), sales(60, source="ledger")]))
    assert found.is_other_history
    assert found.text == (
        "60 of 60 past days from 2025-01-01 to 2025-03-01 have 2.00 times the units of before (600 to 1,200); "
        "by source: ledger 0 to 600"
    )


def test_half_a_history_is_another_one() -> None:
    assert jump(sales(60), sales(60, 5.0)).is_other_history


def test_a_corrected_fortnight_is_none() -> None:
    found = jump(sales(60), pl.concat([sales(46), sales(14, 40.0, first=FIRST + timedelta(days=46))]))
    assert found.days.height == 14
    assert not found.is_other_history


def test_what_is_new_is_no_jump() -> None:
    old = sales(60)
    of_new_stores = sales(60, 500.0, "S2", "web")
    later = sales(30, 500.0, first=FIRST + timedelta(days=60))
    assert not jump(old, pl.concat([old, of_new_stores, later])).is_other_history
    assert jump(old.clear(), old).compared == 0


def test_days_that_came_back_empty_are_told() -> None:
    gone = jump(sales(60), sales(30))
    assert (gone.is_other_history, gone.days["now"].sum()) == (True, 0)


def test_a_backfill_of_older_days_and_a_month_that_was_late_are_none() -> None:
    month = timedelta(days=30)
    for before in (sales(30, first=FIRST + month), sales(30)):
        others = sales(60, store="S2")
        assert jump(pl.concat([before, others]), pl.concat([sales(60), others])).days.is_empty()


def test_a_gap_that_is_filled_is_told_as_units_instead_of_none() -> None:
    gap = pl.concat([sales(10), sales(20, first=FIRST + timedelta(days=40))])
    assert jump(gap, sales(60)).text.startswith("30 of 60 past days from 2025-01-11 to 2025-02-09 have units instead")
