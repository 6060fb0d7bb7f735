"""The demand panel against a plain loop over series and days."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from statistics import fmean

import polars as pl
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from demand_forecast.domain.demand.calendar import WEEKDAYS
from demand_forecast.domain.demand.panel import build_daily_demand, continues

MONDAY = date(2024, 2, 26)  # the week of the leap day
SALES = {
    "date": pl.Date,
    "store_id": pl.String,
    "product_id": pl.String,
    "units": pl.Float32,
    "price": pl.Float32,
    "visitors": pl.Float32,
}
PLAN = {
    "date": pl.Date,
    "store_id": pl.String,
    "product_id": pl.String,
    "price": pl.Float32,
    "open": pl.Float32,
}
STOCK = {
    "date": pl.Date,
    "store_id": pl.String,
    "product_id": pl.String,
    "in_stock": pl.Float32,
    "on_hand": pl.Float32,
}
Row = Mapping[str, object]


def day(number: int) -> date:
    return MONDAY + timedelta(days=number)


def sale(number: int, units: float, **given: object) -> Row:
    row = {"date": day(number), "store_id": "S1", "product_id": "P1", "units": units, "price": None, "visitors": None}
    return row | given


def asked(number: int, **given: object) -> Row:
    return {"date": day(number), "store_id": None, "product_id": None, "price": None, "open": None} | given


def panel(
    sales: Sequence[Row],
    stock: Sequence[Row] = (),
    plan: Sequence[Row] | None = (),
    frequency: str = "daily",
    missing_day: str = "no_sale",
    before: pl.DataFrame | None = None,
    arrived: date | None = None,
) -> pl.DataFrame:
    return build_daily_demand(
        pl.DataFrame(list(sales), schema=SALES),
        pl.DataFrame(list(stock), schema=STOCK),
        None if plan is None else pl.DataFrame(list(plan), schema=PLAN),
        frequency=frequency,
        missing_day=missing_day,  # type: ignore[arg-type]
        past_only=["visitors"],
        before=before,
        arrived=arrived,
    )


def test_layout_and_leap_day() -> None:
    found = panel([sale(2, 2), sale(4, 1)])
    assert found.schema == {
        "store_id": pl.String, "product_id": pl.String, "date": pl.Date, "units": pl.Float32, "price": pl.Float32,
        "in_stock": pl.Float32, "open": pl.Boolean, "visitors": pl.Float32,
    }  # fmt: skip
    assert found["date"].to_list() == [date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1)]
    assert found["units"].to_list() == [2, 0, 1]


def test_a_series_starts_with_its_first_sale_and_ends_with_the_last_day_of_all() -> None:
    found = panel([sale(0, 0), sale(1, 5), sale(3, 1, product_id="P2")])
    assert found.select("product_id", "date", "units").rows() == [
        ("P1", day(1), 5),
        ("P1", day(2), 0),
        ("P1", day(3), 0),
        ("P2", day(3), 1),
    ]


def test_what_never_sold_starts_with_its_first_row() -> None:
    found = panel([sale(0, 0), sale(2, 0)])
    assert found["units"].to_list() == [0, 0, 0]


def test_the_price_of_a_day_is_the_mean_of_its_units_and_holds() -> None:
    found = panel([sale(0, 1), sale(1, 3, price=1), sale(1, 1, price=5), sale(3, 0, price=7), sale(4, 1)])
    assert found["price"].to_list() == [2, 2, 2, 7, 7]


def test_the_particular_price_of_the_plan_counts_and_each_holds() -> None:
    plan = [
        asked(-9, store_id="S1", price=1),
        asked(-5, product_id="P1", price=2),
        asked(-2, product_id="P1", price=3),
        asked(1, store_id="S1", product_id="P1", price=4),
        asked(2, product_id="P1", price=5),
        asked(99, product_id="P1", price=9),
    ]
    sales = [sale(0, 1, price=8), sale(2, 1, product_id="P2", price=8), sale(2, 1, store_id="S2", product_id="P2")]
    found = panel(sales, plan=plan)
    assert found.select("store_id", "product_id", "price").rows() == [
        ("S1", "P1", 3),
        ("S1", "P1", 4),
        ("S1", "P1", 4),
        ("S1", "P2", 1),
        ("S2", "P2", None),
    ]


def test_stock_is_full_where_nobody_says() -> None:
    stock = [
        {"date": day(1), "store_id": "S1", "product_id": "P1", "in_stock": 0.25, "on_hand": 3},
        {"date": day(2), "store_id": "S1", "product_id": "P1", "in_stock": None, "on_hand": 0},
        {"date": day(2), "store_id": "S9", "product_id": "P1", "in_stock": 0, "on_hand": 0},
    ]
    assert panel([sale(0, 1), sale(2, 1)], stock)["in_stock"].to_list() == [1, 0.25, 1]


def test_the_plan_closes_and_a_missing_report_is_a_closed_shop() -> None:
    sales = [sale(0, 1), sale(3, 1), sale(2, 1, store_id="S2"), sale(3, 0, store_id="S2")]
    plan = [asked(1, open=0), asked(1, store_id="S2", open=1), asked(2, store_id="S2", open=0), asked(2, open=1)]
    found = panel(sales, plan=plan)
    assert found.filter(store_id="S1")["open"].to_list() == [True, False, True, True]
    assert found.filter(store_id="S2")["open"].to_list() == [True, True]  # it sold on the day that the plan closed it
    closed = panel(sales, missing_day="closed")
    assert closed.filter(store_id="S1")["open"].to_list() == [True, False, False, True]
    assert closed.filter(store_id="S2")["open"].to_list() == [True, True]  # a line of zero units is a report


def test_past_only_is_the_mean_of_the_day() -> None:
    found = panel([sale(0, 1, visitors=10), sale(0, 1, visitors=20), sale(0, 1), sale(2, 1)])
    assert found["visitors"].to_list() == [15, None, None]


def test_weeks_are_whole() -> None:
    sales = [sale(-1, 8), sale(3, 2, price=2, visitors=4), sale(6, 1, visitors=6), sale(9, 5), sale(14, 9)]
    found = panel(sales, frequency="weekly", missing_day="closed", plan=[asked(8, price=9)])
    assert found.select("date", "units", "open", "visitors").rows() == [(day(0), 3, True, 5), (day(7), 5, True, None)]
    assert found["price"].to_list() == pytest.approx([2, (2 + 6 * 9) / 7])


def test_a_week_without_an_open_day_is_closed_and_one_short_of_stock_says_so() -> None:
    stock = [{"date": day(8), "store_id": "S1", "product_id": "P1", "in_stock": 0.3, "on_hand": None}]
    sales = [sale(0, 1), sale(14, 1), sale(20, 1), sale(7, 1, store_id="S2")]
    found = panel(sales, stock, frequency="weekly", missing_day="closed").filter(store_id="S1")
    assert found["open"].to_list() == [True, False, True]
    assert found["in_stock"].to_list() == pytest.approx([1, 6.3 / 7, 1])


def test_less_than_a_week_has_no_week() -> None:
    found = panel([sale(1, 3), sale(6, 3)], frequency="weekly", missing_day="closed")
    assert found.is_empty()
    assert found.schema == panel([sale(0, 1)]).schema


@pytest.mark.parametrize("frequency", ["daily", "weekly"])
def test_no_sales_are_no_demand(frequency: str) -> None:
    assert panel([], frequency=frequency, missing_day="closed").is_empty()


def price_in_force(plan: Sequence[Row], store: str, product: str, today: date) -> object:
    for key in ((store, product), (None, product), (store, None), (None, None)):
        rows = [row for row in plan if (row["store_id"], row["product_id"]) == key and row["price"] is not None]
        past = [row for row in rows if row["date"] <= today]  # type: ignore[operator]
        if past:
            return max(past, key=lambda row: row["date"])["price"]  # type: ignore[arg-type, return-value]
    return None


def plan_open(plan: Sequence[Row], store: str, product: str, today: date) -> bool:
    for key in ((store, product), (None, product), (store, None), (None, None)):
        for row in plan:
            if (row["store_id"], row["product_id"], row["date"]) == (*key, today) and row["open"] is not None:
                return row["open"] != 0
    return True


def panel_by_loop(sales: Sequence[Row], plan: Sequence[Row], missing_day: str) -> list[dict[str, object]]:
    last = max(row["date"] for row in sales)  # type: ignore[type-var]
    lines = defaultdict(list)
    for row in sales:
        lines[row["store_id"], row["product_id"], row["date"]].append(row)
    reported = {(row["store_id"], row["date"]) for row in sales}
    found = []
    for store, product in sorted({key[:2] for key in lines}):  # type: ignore[type-var]
        own = [row for row in sales if (row["store_id"], row["product_id"]) == (store, product)]
        today = min(row["date"] for row in ([row for row in own if row["units"]] or own))  # type: ignore[type-var]
        rows, price = [], None
        while today <= last:  # type: ignore[operator]
            of_day = lines[store, product, today]
            units = sum(row["units"] for row in of_day)  # type: ignore[misc]
            priced = [row for row in of_day if row["price"] is not None]
            weight = sum(row["units"] for row in priced)  # type: ignore[misc]
            sold_at = sum(row["units"] * row["price"] for row in priced) / weight if weight else None  # type: ignore[operator]
            if priced and not weight:
                sold_at = fmean(row["price"] for row in priced)  # type: ignore[misc]
            price = price_in_force(plan, str(store), str(product), today) or sold_at or price  # type: ignore[arg-type]
            is_open = plan_open(plan, str(store), str(product), today)  # type: ignore[arg-type]
            is_open = is_open and (missing_day == "no_sale" or (store, today) in reported)
            rows.append({"date": today, "units": units, "price": price, "open": is_open or units > 0})
            today += timedelta(days=1)  # type: ignore[operator]
        first = next((row["price"] for row in rows if row["price"] is not None), None)
        for row in rows:
            row["price"] = first if row["price"] is None else row["price"]
        found += [{"store_id": store, "product_id": product} | row for row in rows]
    return found


IDS = st.sampled_from(["A", "B"])
SALE = st.builds(
    lambda number, units, price, store, product: sale(number, units, price=price, store_id=store, product_id=product),
    st.integers(0, 20),
    st.sampled_from([0, 0, 1, 2, 7]),
    st.sampled_from([None, 1.0, 2.0, 4.0]),
    IDS,
    IDS,
)
PLANNED = st.builds(
    lambda number, price, is_open, store, product: asked(
        number, price=price, open=is_open, store_id=store, product_id=product
    ),
    st.integers(-5, 22),
    st.sampled_from([None, 3.0, 5.0, 6.0]),
    st.sampled_from([None, 0, 1]),
    st.none() | IDS,
    st.none() | IDS,
)


def plan_key(row: Row) -> tuple[object, ...]:
    return row["date"], row["store_id"], row["product_id"]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(SALE, min_size=1, max_size=25),
    st.lists(PLANNED, max_size=15, unique_by=plan_key),
    st.sampled_from(["closed", "no_sale"]),
    st.randoms(use_true_random=False),
)
def test_the_panel_is_that_of_a_loop_whatever_the_order_of_rows(sales, plan, missing_day, random) -> None:  # type: ignore[no-untyped-def]
    found = panel(sales, plan=plan, missing_day=missing_day)
    expected = pl.DataFrame(panel_by_loop(sales, plan, missing_day), schema=found.drop("in_stock", "visitors").schema)
    assert_frame_equal(found.drop("in_stock", "visitors"), expected, check_exact=False, rel_tol=1e-4)
    shuffled = panel(random.sample(sales, len(sales)), plan=random.sample(plan, len(plan)), missing_day=missing_day)
    assert_frame_equal(found, shuffled)


CUT = given(
    st.lists(SALE, min_size=1, max_size=25),
    st.lists(PLANNED, max_size=15, unique_by=plan_key),
    st.sampled_from(["closed", "no_sale"]),
    st.integers(0, 20),
)


@settings(max_examples=25, deadline=None)
@CUT
def test_days_put_behind_a_panel_are_those_of_the_whole(sales, plan, missing_day, cut) -> None:  # type: ignore[no-untyped-def]
    require_continued(sales, plan, missing_day, cut)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@CUT
def test_days_put_behind_many_panels_are_those_of_the_whole(sales, plan, missing_day, cut) -> None:  # type: ignore[no-untyped-def]
    require_continued(sales, plan, missing_day, cut)


def require_continued(sales: Sequence[Row], plan: Sequence[Row], missing_day: str, cut: int) -> None:
    earlier, later = ([row for row in sales if (row["date"] <= day(cut)) == early] for early in (True, False))
    known = panel(earlier, plan=plan, missing_day=missing_day)
    assume(len(known))
    before = known.filter(pl.col("date") == pl.col("date").max())
    after = panel(later, plan=plan, missing_day=missing_day, before=before)
    whole = panel(sales, plan=plan, missing_day=missing_day)
    both = pl.concat([known, after]).sort("store_id", "product_id", "date")
    says_so = continues(before, after, known.lazy())
    event(f"continues: {says_so}, equal: {both.equals(whole)}")
    assert both.equals(whole) or not says_so


@settings(max_examples=60, deadline=None)
@given(st.lists(SALE, min_size=1, max_size=25), st.lists(PLANNED, max_size=15, unique_by=plan_key))
def test_weeks_are_the_sums_of_whole_weeks_of_sales(sales, plan) -> None:  # type: ignore[no-untyped-def]
    weekly = panel(sales, plan=plan, frequency="weekly", missing_day="closed")
    lines = pl.DataFrame(sales, schema=SALES)
    first, last = lines["date"].min(), lines["date"].max()
    weeks = lines.with_columns(date=pl.col("date").dt.truncate("1w"))
    weeks = weeks.filter((pl.col("date") >= first) & (pl.col("date") + pl.duration(days=6) <= last))
    sums = weeks.group_by("store_id", "product_id", "date").agg(pl.col("units").sum()).filter(pl.col("units") > 0)
    sold = weekly.select("store_id", "product_id", "date", "units").filter(pl.col("units") > 0)
    assert_frame_equal(sold, sums.select(sold.columns), check_row_order=False)
    steps = weekly.select(pl.col("date").diff().over("store_id", "product_id").drop_nulls().unique())["date"]
    assert steps.is_in([timedelta(days=7)]).all()


COUNTS = st.sampled_from([0.0, 1.0, 5.0])
WEEK_ROWS = st.lists(
    st.builds(lambda week, product, units: sale(7 * week, units, product_id=product), st.integers(0, 8), IDS, COUNTS),
    min_size=1,
    max_size=15,
)


@settings(max_examples=30, deadline=None)
@given(WEEK_ROWS, st.integers(0, 6), st.booleans(), st.integers(0, 8), st.sampled_from([0.0, 0.5]))
def test_weeks_are_the_same_whatever_day_begins_and_dates_them(
    sales: Sequence[Row], shift: int, by_last: bool, week: int, share: float
) -> None:
    """Rows of whole weeks: those of stock and plan hold for all of the week."""
    stock = [{"date": day(7 * week), "store_id": "S1", "product_id": "A", "in_stock": share, "on_hand": 0.0}]
    plan = [asked(7 * week, open=0.0, product_id="B"), asked(7 * week, price=3.0, product_id="A")]
    usual = panel(sales, stock, plan, frequency="weekly totals")
    moved = shift + 6 * by_last

    def dated(rows: Sequence[Row]) -> list[Row]:
        return [row | {"date": row["date"] + timedelta(days=moved)} for row in rows]  # type: ignore[operator]

    code = f"weekly totals from {WEEKDAYS[shift]} dated by {'last' if by_last else 'first'}"
    found = panel(dated(sales), dated(stock), dated(plan), frequency=code)
    assert_frame_equal(found.with_columns(pl.col("date").dt.offset_by(f"-{moved}d")), usual)
    if day(7 * week) in usual["date"]:
        at = usual.filter(pl.col("date") == day(7 * week))
        assert at.filter(pl.col("product_id") == "A")["in_stock"].to_list() in ([], [share])
        assert not at.filter((pl.col("product_id") == "B") & (pl.col("units") == 0))["open"].any()


def test_the_newest_week_of_totals_counts_once_it_is_over() -> None:
    rows = [sale(0, 5), sale(7, 3), sale(14, 4)]
    whole = panel(rows, frequency="weekly totals", arrived=day(20))
    assert whole["date"].to_list() == [day(0), day(7), day(14)]
    assert panel(rows, frequency="weekly totals", arrived=day(19))["date"].to_list() == [day(0), day(7)]


@pytest.mark.parametrize("code", ["monthly", "monthly dated by last"])
def test_months_are_the_sums_of_their_days(code: str) -> None:
    days = [date(2024, 1, 1) + timedelta(days=n) for n in range(213)]  # to the end of July
    rows = [sale(0, 2.0, date=one) for one in days]
    found = panel(rows, plan=[asked(0, date=date(2024, 3, 11), price=4.0)], frequency=code)
    firsts = [date(2024, month, 1) for month in range(1, 9)]
    dates = firsts[:-1] if code == "monthly" else [first - timedelta(days=1) for first in firsts[1:]]
    assert found["date"].to_list() == dates
    assert found["units"].to_list() == [62, 58, 62, 60, 62, 60, 62]
    assert found["price"][2] == pytest.approx(4.0)
    assert panel(rows[:-1], frequency=code)["date"].to_list() == dates[:-1]
