"""A store of which nothing was heard is unknown; one that seldom sells, a day off and a holiday of all are not."""

from collections.abc import Callable, Iterable
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from demand_forecast.domain.demand.calendar import calendar_of
from demand_forecast.domain.demand.silence import (
    Silence,
    Silences,
    first_difference,
    read_silences,
    silences,
)

FIRST = date(2024, 1, 1)  # a Monday
DAYS = 400
LAST = FIRST + timedelta(days=DAYS - 1)
Day = Callable[[date], bool]


def always(_: date) -> bool:
    return True


def but_sundays(day: date) -> bool:
    return day.weekday() != 6


def between(first: int, last: int) -> set[date]:
    """Days by their number from the newest, which is 1."""
    return {LAST - timedelta(days=back - 1) for back in range(last, first + 1)}


def lines(shops: dict[str, tuple[Day, Iterable[date]]], days: int = DAYS) -> pl.DataFrame:
    """Lines of shops on the days on which they sell, without those that are missing."""
    every = [LAST - timedelta(days=back) for back in range(days)]
    rows = [(shop, day) for shop, (sells, gone) in shops.items() for day in every if sells(day) and day not in gone]
    return pl.DataFrame(rows, schema={"store_id": pl.String, "date": pl.Date}, orient="row")


def unknown(found: Silences) -> set[tuple[str, date]]:
    return set(found.days.rows())


def test_a_store_whose_newest_days_are_missing_is_unknown_on_them() -> None:
    found = silences(lines({"A": (always, ()), "LATE": (always, between(14, 1)), "C": (but_sundays, ())}))
    assert [str(one) for one in found.found] == [
        f"store LATE: no line since {LAST - timedelta(days=14)}, usual on every day"
    ]
    assert unknown(found) == {("LATE", day) for day in between(14, 1)}


@pytest.mark.parametrize("history", [60, DAYS])
def test_one_night_without_a_store_that_never_missed_one_is_enough(history: int) -> None:
    found = silences(lines({"A": (always, ()), "B": (always, between(1, 1))}, history))
    assert unknown(found) == {("B", LAST)}


def test_a_region_of_stores_is_late_store_by_store() -> None:
    shops = {name: (always, between(2, 1) if name < "D" else ()) for name in "ABCDEFGH"}
    assert {one.store_id for one in silences(lines(shops)).found} == {"A", "B", "C"}


def test_a_weekly_closing_day_is_no_silence_and_stays_known_within_one() -> None:
    assert silences(lines({"A": (always, ()), "B": (but_sundays, ())})).found == ()
    found = silences(lines({"A": (always, ()), "B": (but_sundays, between(14, 1))}))
    assert unknown(found) == {("B", day) for day in between(14, 1) if but_sundays(day)}


def test_a_lost_file_in_the_middle_of_the_history_is_unknown() -> None:
    (one,) = silences(lines({"A": (always, ()), "B": (always, between(100, 94))})).found
    assert (one.first, one.last, one.until_now) == (LAST - timedelta(days=99), LAST - timedelta(days=93), False)


def test_a_day_off_in_the_middle_of_the_history_is_one() -> None:
    assert silences(lines({"A": (always, ()), "B": (always, between(100, 98))})).found == ()


def test_a_holiday_of_all_stores_is_none_of_one() -> None:
    holiday = between(60, 57)
    assert silences(lines({"A": (always, holiday), "B": (always, holiday)})).found == ()


def test_many_days_without_a_line_of_any_store_are_no_holiday() -> None:
    gap = between(60, 40)
    for shops in ({"A": (always, gap)}, {"A": (always, gap), "B": (but_sundays, gap)}):
        found = silences(lines(shops))
        assert [one.store_id for one in found.found] == ["A" if len(shops) == 1 else None]
        assert unknown(found) == {(shop, day) for shop, (sells, _) in shops.items() for day in gap if sells(day)}


def test_a_break_of_every_year_is_no_silence() -> None:
    christmas = between(30, 20)
    year_ago = {day - timedelta(days=365) for day in christmas}
    found = silences(lines({"A": (always, christmas | year_ago), "B": (always, ())}, 600))
    assert {one.first for one in found.found} == {min(year_ago)}  # the first time nobody could know


def test_days_that_the_plan_closes_are_no_silence() -> None:
    gone = between(20, 1)
    shops = lines({"A": (always, ()), "B": (always, gone)})
    closed = pl.DataFrame({"store_id": ["B"] * len(gone), "date": sorted(gone)})
    assert silences(shops, closed).found == ()
    assert silences(shops, closed.head(5)).found[0].store_id == "B"


def test_a_store_silent_for_eight_weeks_has_closed_for_good() -> None:
    shops = {"A": (always, ()), "B": (always, between(57, 1))}
    (one,) = silences(lines(shops)).found
    assert one.gone
    assert "closed for good" in str(one)
    assert silences(lines(shops)).days.is_empty()
    assert not silences(lines(shops | {"B": (always, between(56, 1))})).found[0].gone


def test_rows_of_weeks_are_judged_by_their_weekday() -> None:
    def mondays(day: date) -> bool:
        return day.weekday() == 0

    shops = lines({"A": (mondays, ()), "B": (mondays, between(21, 1))}, 728)
    assert {day for _, day in unknown(silences(shops))} == {day for day in between(21, 1) if mondays(day)}


def test_rows_of_months_are_judged_by_month() -> None:
    def firsts(day: date) -> bool:
        return day.day == 1

    shops = lines({"A": (firsts, ()), "B": (firsts, between(50, 1)), "C": (firsts, ())}, 1500)
    (one,) = silences(shops, calendar=calendar_of("monthly totals")).found
    assert str(one) == "store B: no line since 2024-12-31, usual on every month"
    assert unknown(silences(shops, calendar=calendar_of("monthly totals"))) == {
        ("B", date(2025, 1, 1) + timedelta(days=back)) for back in range(59)
    }


def test_chance_alone_raises_few_alarms() -> None:
    """Stores that have a line on each day with a probability of their own, from one in twenty to nearly always: the
    share of nights on which one is called late, and the silences by store and year.
    """
    rng, stores, years = np.random.default_rng(7), 40, 4
    shares = np.concatenate([np.linspace(0.05, 0.9, stores // 2), np.linspace(0.9, 0.999, stores // 2)])
    days = [FIRST + timedelta(days=number) for number in range(365 * years)]
    sold = rng.random((len(days), stores)) < shares
    rows = [(f"s{store:02}", days[day]) for day, store in zip(*np.nonzero(sold), strict=True)]
    heard = pl.DataFrame(rows, schema={"store_id": pl.String, "date": pl.Date}, orient="row")
    assert [one for one in silences(heard).found if not one.until_now] == []
    nights = [silences(heard.filter(pl.col("date") <= day)).found for day in days[400::30]]
    late = sum(one.until_now for night in nights for one in night)
    assert late / (len(nights) * stores) < 0.002


def test_a_customer_of_a_few_days_is_no_store_that_is_late() -> None:
    few = {LAST - timedelta(days=back) for back in (300, 297, 290)}
    assert silences(lines({"A": (always, ()), "Bermuda": (lambda day: day in few, ())})).found == ()


def test_what_was_found_is_read_again_from_its_text() -> None:
    found = silences(lines({"A": (always, ()), "B": (always, between(9, 1))}))
    assert read_silences(found.to_json()) == found.found


@pytest.mark.parametrize(
    ("days", "now", "expected"),
    [
        ((9, 1), (9, 1), None),
        ((9, 2), (9, 1), LAST),
        ((9, 1), None, LAST - timedelta(days=8)),
        (None, (9, 1), LAST - timedelta(days=8)),
        ((9, 1), (9, 4), LAST - timedelta(days=2)),
    ],
)
def test_the_first_day_of_which_two_nights_know_otherwise(
    days: tuple[int, int] | None, now: tuple[int, int] | None, expected: date | None
) -> None:
    before, after = ((_silence(*back),) if back else () for back in (days, now))
    assert first_difference(before, after) == expected


def _silence(first: int, last: int) -> Silence:
    days = between(first, last)
    return Silence("B", min(days), max(days), "every day", until_now=True, gone=False)
