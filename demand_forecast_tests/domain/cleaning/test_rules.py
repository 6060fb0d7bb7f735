"""Cleaning: conservation over messy rows, every reason, and loops as oracles."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from demand_forecast.domain.cleaning.dates import PLAIN, DateReading
from demand_forecast.domain.cleaning.rules import REASONS, clean_sales, rejections_by_reason
from demand_forecast.domain.demand.covariates import MissingCovariateError
from demand_forecast.domain.tables import RAW_PROVENANCE
from demand_forecast.settings import Cancellation, Cleaning, Match, load_settings

ARRIVED = datetime(2024, 5, 1, tzinfo=UTC)
Row = dict[str, object]
COLUMNS = ["date", "store_id", "product_id", "units", "price", "invoice", "customer", "sheet", "visitors"]
SCHEMA = RAW_PROVENANCE | dict.fromkeys([*COLUMNS, "extra", "fault"], pl.String())
TILL = Cleaning(
    id_case="upper",
    extract="sheet",
    non_product=Match(column="product_id", pattern="^(POST|TEST.*)$"),
    cancellation=Cancellation(column="invoice", pattern="^C", same=["store_id", "product_id", "customer"]),
)


def raw_row(**given: object) -> Row:
    row = {
        "source": "tills",
        "file": "may.csv",
        "line": 2,
        "report": "may",
        "file_hash": "",
        "content_hash": "",
        "arrived_at": ARRIVED,
        "day": date(2024, 5, 1),
        "date": "2024-05-01",
        "store_id": "S1",
        "product_id": "P1",
        "units": "3",
        "price": "1.50",
        "invoice": "1",
        "customer": "7",
        "sheet": "a",
        "visitors": "10",
        "extra": "",
        "fault": None,
    }
    return row | given


def raw_sales(rows: Sequence[Mapping[str, object]]) -> pl.DataFrame:
    return pl.DataFrame([raw_row(**{"line": line, **row}) for line, row in enumerate(rows, 2)], schema=SCHEMA)


def cleaned(raw: pl.DataFrame | pl.LazyFrame, **given: object) -> tuple[pl.DataFrame, pl.DataFrame]:
    options: dict[str, object] = {
        "cleaning": TILL,
        "products": ["P1", "P2", "P3", "POST"],
        "stores": ["S1", "S2"],
        "past_only": ["visitors"],
        "dates": {"tills": PLAIN, "web": DateReading("%d/%m/%Y")},
        "decimals": {"tills": ".", "web": ","},
        "history_start": date(2024, 1, 1),
    }
    return clean_sales(raw, **(options | given))  # type: ignore[arg-type]


def reasons(rows: Sequence[Mapping[str, object]], **given: object) -> list[str | None]:
    """The reason of each row, None where it is clean; rows are told apart by file and line."""
    raw = raw_sales(rows)
    clean, rejected = cleaned(raw, **given)
    found = dict(zip(rejected.select("file", "line").rows(), rejected["reason"], strict=True))
    assert not set(clean.select("file", "line").rows()) & set(found)
    return [found.get(place) for place in raw.select("file", "line").rows()]


BAD: list[tuple[Row, str]] = [
    ({"fault": "malformed_line", "date": None, "units": None}, "malformed_line"),
    ({"store_id": " \u00a0"}, "missing_store"),
    ({"product_id": None}, "missing_product"),
    ({"date": "2024-02-30"}, "unreadable_date"),
    ({"date": "03/04/2024"}, "unreadable_date"),
    ({"date": None}, "unreadable_date"),
    ({"date": "2024-05-11"}, "future_date"),
    ({"date": "2023-12-31"}, "before_history"),
    ({"units": "deux"}, "unreadable_units"),
    ({"units": "1,000"}, "unreadable_units"),
    ({"units": "NaN"}, "unreadable_units"),
    ({"units": "inf"}, "unreadable_units"),
    ({"units": "1e39"}, "unreadable_units"),
    ({"units": ""}, "unreadable_units"),
    ({"product_id": "post"}, "non_product"),
    ({"product_id": "P9"}, "unknown_product"),
    ({"store_id": "S9"}, "unknown_store"),
    ({"invoice": "C2", "units": "-8"}, "cancellation"),
    ({"units": "-1"}, "return"),
    ({"units": "3017620422003"}, "absurd_units"),
    ({"price": "dear"}, "unreadable_price"),
    ({"price": "0.00"}, "bad_price"),
    ({"price": "-2"}, "bad_price"),
]
GOOD: list[Row] = [
    {"units": "0"},
    {"units": " 2.5 "},
    {"store_id": " s1 "},
    {"price": None},
    {"price": ""},
    {"date": "2024-05-01 23:59:59"},
    {"date": "2024-05-10", "day": date(2024, 5, 10)},
    {"source": "web", "date": "03/04/2024", "units": "1,5", "price": "2,00"},
    {"customer": None},
]


@pytest.mark.parametrize(("row", "reason"), BAD, ids=lambda value: value if isinstance(value, str) else None)
def test_a_bad_row_has_its_reason_and_leaves_its_neighbour_alone(row: Row, reason: str) -> None:
    assert reasons([row, {"invoice": "99"}]) == [reason, None]


@pytest.mark.parametrize("row", GOOD)
def test_a_good_row_counts(row: Row) -> None:
    assert reasons([row]) == [None]


def test_every_reason_has_a_test_row() -> None:
    grouped = {"superseded", "withdrawn", "extract_overlap", "exact_duplicate", "cancelled_sale"}
    assert {reason for _, reason in BAD} | grouped == set(REASONS)


def test_of_sources_that_are_one_the_first_that_has_the_day_says_it() -> None:
    second = date(2024, 5, 2)
    rows = [
        {"source": "old", "report": "a"},
        {"source": "old", "report": "b", "invoice": "2"},
        {"source": "new", "report": "table"},
        {"source": "old", "report": "c", "day": second, "date": "2024-05-02"},
        {"source": "other", "report": "d", "invoice": "3"},
    ]
    expected = ["superseded", "superseded", None, None, None]
    assert reasons(rows, families=[("new", "old")]) == expected
    assert reasons(rows, families=[("old", "new")]) == [None, None, "superseded", None, None]
    assert reasons(rows) == [None] * 5


def test_what_a_withdrawn_source_said_does_not_count() -> None:
    rows: list[Row] = [{"source": "old"}, {"source": "new"}]
    assert reasons(rows, withdrawn=["old"]) == ["withdrawn", None]


def test_a_clean_row_is_typed() -> None:
    clean, _ = cleaned(
        raw_sales([{"source": "web", "store_id": " s1 ", "date": "03/04/2024", "units": "1,5", "price": "2"}])
    )
    assert clean.schema == {
        "date": pl.Date, "store_id": pl.String, "product_id": pl.String, "units": pl.Float32, "price": pl.Float32,
        "visitors": pl.Float32, "source": pl.String, "file": pl.String, "line": pl.Int64,
    }  # fmt: skip
    assert clean.row(0) == (date(2024, 4, 3), "S1", "P1", 1.5, 2.0, 10.0, "web", "may.csv", 2)


def test_a_rejected_row_is_as_it_arrived() -> None:
    raw = raw_sales([{"units": "deux", "store_id": " s1 ", "extra": '{"Note":"été"}'}])
    assert_frame_equal(cleaned(raw)[1].drop("reason"), raw)


def test_an_unreadable_covariate_is_not_said() -> None:
    clean, _ = cleaned(raw_sales([{"visitors": "many"}, {"visitors": "inf", "units": "1"}, {"units": "2"}]))
    assert clean["visitors"].to_list() == [None, None, 10.0]


def test_a_newer_version_replaces_its_report_and_day_only() -> None:
    later = ARRIVED + timedelta(hours=1)
    other_day = {"day": date(2024, 5, 2), "date": "2024-05-02"}
    rows: list[Row] = [
        {"line": 1},
        {"line": 2, **other_day},
        {"line": 3, "report": "june"},
        {"line": 4, "source": "web", "date": "01/05/2024", "price": None},
        {"line": 5, "file": "may_corrected.csv", "arrived_at": later, "units": "4"},
    ]
    assert reasons(rows) == ["superseded", None, None, None, None]


def test_of_versions_that_arrived_together_the_later_name_counts() -> None:
    rows: list[Row] = [
        {"line": 1, "file": "may_b.csv"},
        {"line": 1, "file": "may_a.csv"},
        {"line": 2, "file": "may_b.csv"},
    ]
    assert reasons([{**row, "units": str(number)} for number, row in enumerate(rows)]) == [None, "superseded", None]


def test_a_version_with_what_the_first_said_counts_again() -> None:
    arrivals = [ARRIVED + timedelta(hours=hours) for hours in range(3)]
    rows: list[Row] = [
        {"line": number, "arrived_at": arrived, "content_hash": content, "units": content}
        for number, (arrived, content) in enumerate(zip(arrivals, "121", strict=True))
    ]
    assert reasons(rows) == ["superseded", "superseded", None]


def test_on_a_day_in_two_extracts_the_later_counts() -> None:
    second = {"date": "2024-05-02", "day": date(2024, 5, 2)}
    rows: list[Row] = [
        {"sheet": "a"},
        {"sheet": "b", "units": "9"},
        {"sheet": "a", **second},
        {"sheet": None, "units": "5"},
    ]
    assert reasons(rows) == ["extract_overlap", None, None, None]
    assert reasons(rows, cleaning=Cleaning()) == [None] * 4


def test_the_first_of_equal_lines_counts() -> None:
    rows: list[Row] = [
        {"line": 9},
        {"line": 4},
        {"line": 5, "extra": '{"Note":"x"}'},
        {"line": 6, "report": "june"},
        {"line": 7},
    ]
    assert reasons(rows) == ["exact_duplicate", None, None, None, "exact_duplicate"]


def test_equal_lines_may_be_kept_but_one_line_stored_twice_is_one() -> None:
    raw = raw_sales([{"line": 2}, {"line": 3}, {"line": 2}])
    clean, rejected = cleaned(raw, cleaning=Cleaning(duplicates="keep"))
    assert (clean["line"].to_list(), rejected["reason"].to_list()) == ([2, 3], ["exact_duplicate"])


def test_a_lone_absurd_line_is_seen_whatever_the_length_of_its_series() -> None:
    usual: list[Row] = [{"units": str(1 + number % 5), "invoice": str(number)} for number in range(150)]
    absurd: Row = {"units": "4000", "invoice": "x"}
    assert reasons([*usual, absurd])[-1] == "absurd_units"
    assert reasons([*usual, absurd | {"store_id": "S2"}])[-1] == "absurd_units"  # alone in its series: its product
    assert reasons([*usual, absurd | {"product_id": "P2"}])[-1] == "absurd_units"  # alone of its product: all lines
    assert reasons([absurd, {"units": "1"}])[0] is None  # two lines say nothing about what is usual


@pytest.mark.parametrize("new", [{}, {"store_id": "S2"}, {"product_id": "P2"}])
def test_the_newest_days_alone_are_judged_by_the_days_before(new: Row) -> None:
    usual: list[Row] = [{"units": str(n % 9), "invoice": str(n)} for n in range(200)]
    later: Row = {"invoice": "x", "units": "4000", "date": "2024-05-02", "day": date(2024, 5, 2), **new}
    raw = raw_sales([*usual, later, later | {"units": "150"}])
    whole = cleaned(raw)
    before = whole[0].lazy().filter(pl.col("date") < date(2024, 5, 2))
    tail = cleaned(raw.filter(pl.col("day") == date(2024, 5, 2)), before=before)
    assert whole[1]["reason"].to_list() == ["absurd_units"]
    assert tail[1].equals(whole[1])
    assert tail[0].equals(whole[0].filter(pl.col("date") == date(2024, 5, 2)))


def test_a_series_of_large_lines_is_not_absurd() -> None:
    small = [{"units": "1", "invoice": str(number)} for number in range(300)]
    large = [{"units": "900", "product_id": "P2", "invoice": str(number)} for number in range(300)]
    assert not any(reasons(small + large))


def many(units: int, count: int, **other: object) -> list[Row]:
    return [{"units": str(units), "invoice": f"{units} {number} {other}", **other} for number in range(count)]


def test_a_steady_best_seller_among_slow_ones_is_not_absurd() -> None:
    assert not any(reasons([*many(1, 300), *many(900, 20, product_id="P2")]))


def test_a_level_that_lasts_is_one_from_the_first_line_on() -> None:
    """The product is sold by the gram now: three lines are absurd, with the fourth they are a level."""
    for lines, expected in ((3, {"absurd_units"}), (4, {None})):
        assert set(reasons([*many(2, 1000), *many(1500, lines)])[1000:]) == expected


def test_a_new_series_sells_as_its_class_or_its_product_elsewhere() -> None:
    grams = {"product_id": "P2", "units": "1500"}
    classes = pl.DataFrame({"product_id": ["P1", "P2", "P3"], "class": ["pieces", "loose", "loose"]})
    known = [*many(1, 30_000), *many(1400, 150, product_id="P3")]
    assert reasons([*known, grams])[-1] == "absurd_units"
    assert reasons([*known, grams], classes=classes)[-1] is None
    assert reasons([*known, *many(1400, 5, product_id="P2", store_id="S2"), grams])[-1] is None


def test_the_lines_of_a_class_before_say_what_is_usual_for_a_new_one() -> None:
    classes = pl.DataFrame({"product_id": ["P1", "P2", "P3"], "class": ["pieces", "loose", "loose"]})
    known = [*many(1, 30_000), *many(1400, 150, product_id="P3")]
    later: Row = {"product_id": "P2", "units": "1500", "date": "2024-05-02", "day": date(2024, 5, 2)}
    raw = raw_sales([*known, later])
    whole, rejected = cleaned(raw, classes=classes)
    assert rejected.is_empty()
    before = whole.lazy().filter(pl.col("date") < date(2024, 5, 2))
    assert cleaned(raw.filter(pl.col("day") == date(2024, 5, 2)), before=before, classes=classes)[1].is_empty()


def test_without_require_price_a_bad_price_is_not_said() -> None:
    raw = raw_sales([{"price": "0"}, {"price": "x"}, {"price": "2"}])
    clean, rejected = cleaned(raw, cleaning=Cleaning(require_price=False))
    assert (clean["price"].to_list(), rejected.height) == ([None, None, 2.0], 0)


def test_sales_without_a_price_column() -> None:
    clean, rejected = cleaned(raw_sales([{}]).drop("price"))
    assert clean.schema["price"] == pl.Float32
    assert (clean["price"].to_list(), rejected.height) == ([None], 0)


def test_without_tables_every_product_and_store_is_known() -> None:
    assert reasons([{"product_id": "P9", "store_id": "S9"}], products=None, stores=None) == [None]


def test_errors_name_the_key_and_the_columns() -> None:
    with pytest.raises(MissingCovariateError, match=r"covariates\.past_only: no input has weather; .*visitors"):
        cleaned(raw_sales([{}]), past_only=["weather"])
    with pytest.raises(ValueError, match=r"cleaning\.extract: raw_sales has no column 'year'.*sheet"):
        cleaned(raw_sales([{}]), cleaning=Cleaning(extract="year"))


def test_no_rows_are_two_empty_tables() -> None:
    clean, rejected = cleaned(raw_sales([]))
    assert (clean.height, rejected.height) == (0, 0)
    assert rejected.columns == [*SCHEMA, "reason"]


def test_rejections_by_reason_say_what_they_mean() -> None:
    _, rejected = cleaned(raw_sales([{"units": "x"}, {"units": "y"}, {"store_id": ""}]))
    assert rejections_by_reason(rejected).rows() == [
        ("unreadable_units", REASONS["unreadable_units"], 2),
        ("missing_store", REASONS["missing_store"], 1),
    ]


def test_the_most_recent_equal_sale_is_cancelled() -> None:
    at = "2024-05-01 {}:00".format
    rows: list[Row] = [
        {"date": at("09:00")},
        {"date": at("10:00")},
        {"date": at("10:30"), "units": "4"},
        {"date": at("10:40"), "customer": "8"},
        {"date": at("11:00"), "invoice": "C1", "units": "-3"},
        {"date": at("12:00")},
    ]
    assert reasons(rows) == [None, "cancelled_sale", None, None, "cancellation", None]


def test_a_clock_of_twelve_hours_orders_sales() -> None:
    rows: list[Row] = [
        {"date": f"01/05/2024 {time}", "price": None, "source": "web"} for time in ("09:00 PM", "10:00 AM")
    ]
    rows.append(rows[0] | {"date": "01/05/2024 11:30 AM", "invoice": "C1"})
    formats = {"web": DateReading("%d/%m/%Y %I:%M %p")}
    assert reasons(rows, dates=formats) == [None, "cancelled_sale", "cancellation"]


def test_nobody_knows_whose_sale_a_cancellation_without_customer_undoes() -> None:
    rows: list[Row] = [{"customer": None}, {"customer": "", "invoice": "C1", "units": "-3"}]
    assert reasons(rows) == [None, "cancellation"]


def cancelled_by_loop(events: list[tuple[int, str, str, str]]) -> set[int]:
    """Lines of cancelled sales: a stack per key, event by event."""
    stacks: dict[tuple[str, str], list[int]] = {}
    cancelled = set()
    for line, (_, invoice, product, units) in sorted(enumerate(events), key=lambda event: (event[1][0], event[0])):
        stack = stacks.setdefault((product, units.lstrip("-")), [])
        if not invoice.startswith("C"):
            stack += [] if units.startswith("-") else [line]
        elif stack:
            cancelled.add(stack.pop())
    return cancelled


EVENT = st.tuples(
    st.integers(0, 5),
    st.sampled_from(["1", "1", "C1"]),
    st.sampled_from(["P1", "P2"]),
    st.sampled_from(["1", "2", "-1", "-2"]),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(EVENT, min_size=1, max_size=25))
def test_cancellations_are_those_of_a_loop(events: list[tuple[int, str, str, str]]) -> None:
    rows: list[Row] = [
        {
            "line": line,
            "date": f"2024-05-01 0{hour}:00",
            "invoice": f"{invoice}-{line}",
            "product_id": product,
            "units": n,
        }
        for line, (hour, invoice, product, n) in enumerate(events)
    ]
    found = {line for line, reason in enumerate(reasons(rows)) if reason == "cancelled_sale"}
    assert found == cancelled_by_loop(events)


MESSY = st.fixed_dictionaries(
    {
        "source": st.sampled_from(["tills", "web", "unheard"]),
        "file": st.sampled_from(["a.csv", "b.csv"]),
        "line": st.integers(1, 6),
        "report": st.sampled_from(["may", "june"]),
        "arrived_at": st.sampled_from([ARRIVED, ARRIVED + timedelta(days=1)]),
        "day": st.sampled_from([date(2024, 5, 1), date(2024, 5, 2)]),
        "date": st.sampled_from(["2024-05-01", "2024-05-02 10:00", "02/05/2024", "2099-01-01", "1001-01-01", "", None]),
        "store_id": st.sampled_from(["S1", "s1 ", "", None]),
        "product_id": st.sampled_from(["P1", "p2", "POST", "P9"]),
        "units": st.sampled_from(["1", "2", "-2", "1,5", "nan", "9999999", "x", "0", None]),
        "price": st.sampled_from(["1", "0", "", "x", None]),
        "invoice": st.sampled_from(["1", "C1", None]),
        "customer": st.sampled_from(["7", None]),
        "sheet": st.sampled_from(["a", "b", None]),
        "visitors": st.sampled_from(["1", "x", ""]),
        "extra": st.sampled_from(["", '{"Note":"x"}']),
        "fault": st.sampled_from([None, None, None, "malformed_line"]),
    }
)


@settings(max_examples=40, deadline=None)
@given(st.lists(MESSY, max_size=40), st.randoms(use_true_random=False), st.sampled_from(["reject", "keep"]))
def test_every_row_is_in_exactly_one_table_and_row_order_changes_nothing(rows, random, duplicates) -> None:  # type: ignore[no-untyped-def]
    cleaning = TILL.model_copy(update={"duplicates": duplicates})
    raw = raw_sales([raw_row(**row) for row in rows])
    raw = raw.with_columns(
        pl.col("day").first().over([name for name in raw.columns if name != "day"])
    )  # a line has one
    clean, rejected = cleaned(raw.lazy(), cleaning=cleaning)
    assert clean.height + rejected.height == raw.height
    place = ["source", "file", "line"]
    both = Counter(clean.select(place).rows()) + Counter(rejected.select(place).rows())
    assert both == Counter(raw.select(place).rows())
    shuffled = raw[random.sample(range(raw.height), raw.height)] if raw.height else raw
    for ours, theirs in zip((clean, rejected), cleaned(shuffled, cleaning=cleaning), strict=True):
        assert_frame_equal(ours, theirs, check_row_order=False)


def superseded_and_repeated(rows: list[Row]) -> list[str | None]:
    """Oracle of the two grouped rules, for rows that are good otherwise."""
    found: list[str | None] = [None] * len(rows)
    order = sorted(range(len(rows)), key=lambda number: str((rows[number]["report"], rows[number]["day"])))
    for _, group in groupby(order, key=lambda number: (rows[number]["report"], rows[number]["day"])):
        members = list(group)
        newest = max((rows[number]["arrived_at"], rows[number]["file"]) for number in members)  # type: ignore[type-var]
        for number in members:
            if (rows[number]["arrived_at"], rows[number]["file"]) != newest:
                found[number] = "superseded"
    seen = set()
    for number in sorted(range(len(rows)), key=lambda number: (str(rows[number]["file"]), number)):
        said = tuple(str(rows[number][name]) for name in ("report", *COLUMNS, "extra"))
        if found[number] is None and said in seen:
            found[number] = "exact_duplicate"
        seen |= {said} if found[number] is None else set()
    return found


VERSION = st.fixed_dictionaries(
    {
        "file": st.sampled_from(["a.csv", "b.csv"]),
        "report": st.sampled_from(["may", "june"]),
        "arrived_at": st.sampled_from([ARRIVED, ARRIVED + timedelta(days=1)]),
        "day": st.sampled_from([date(2024, 5, 1), date(2024, 5, 2)]),
        "units": st.sampled_from(["1", "2"]),
        "price": st.sampled_from(["1", None]),
    }
)


@settings(max_examples=50, deadline=None)
@given(st.lists(VERSION, min_size=1, max_size=25))
def test_superseded_and_repeated_lines_are_those_of_a_loop(given_rows: list[Row]) -> None:
    rows = [raw_row(**row, date=str(row["day"]), line=line) for line, row in enumerate(given_rows)]
    assert reasons(rows) == superseded_and_repeated(rows)


@pytest.mark.skipif("ONLINE_RETAIL_DIR" not in os.environ, reason="needs ONLINE_RETAIL_DIR: see examples/online_retail")
def test_the_table_in_the_online_retail_example_is_what_comes_out() -> None:
    from demand_forecast.sources.collecting.index import KNOWN
    from demand_forecast.sources.collecting.sales import collect_sales
    from demand_forecast.sources.configured import date_readings, decimals

    example = Path(__file__).parents[3] / "examples" / "online_retail"
    config = load_settings(example / "config.yaml")
    frames = collect_sales(config, pl.DataFrame(schema=KNOWN), None, ARRIVED)
    clean, rejected = cleaned(
        pl.concat(frames, how="diagonal"),
        cleaning=config.cleaning,
        products=None,
        stores=None,
        past_only=[],
        dates=date_readings(config),
        decimals=decimals(config),
        history_start=None,
    )
    said = re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", (example / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    counted = rejections_by_reason(rejected)
    assert {reason: int(rows.replace(",", "")) for reason, rows in said} == dict(
        counted.select("reason", "rows").rows()
    )
    assert (clean.height, clean.height + rejected.height) == (997_114, 1_067_370)
