"""Products, stores, plan and stock: typed, one row per key."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from demand_forecast.domain.cleaning.dates import PLAIN, DateReading
from demand_forecast.domain.cleaning.inputs import (
    InputReading,
    UnreadableDatesError,
    clean_plan,
    clean_products,
    clean_stock,
    clean_stores,
    left_out,
    require_static,
    unreadable,
)
from demand_forecast.domain.demand.covariates import MissingCovariateError
from demand_forecast.settings import Cleaning, Covariates

Row = dict[str, object]
DAY_KEY = ["date", "store_id", "product_id"]
PROVENANCE: dict[str, pl.DataType | type[pl.DataType]] = {
    "source": pl.String,
    "file": pl.String,
    "line": pl.Int64,
    "content_hash": pl.String,
    "arrived_at": pl.Datetime("us", "UTC"),
}


def raw(columns: Sequence[str], rows: Sequence[Row]) -> pl.DataFrame:
    schema = PROVENANCE | dict.fromkeys([*columns, "extra"], pl.String)
    known: Row = {"source": "b", "file": "x.csv", "content_hash": "", "arrived_at": datetime(2024, 5, 1, tzinfo=UTC)}
    filled = [known | {"line": line, "extra": '{"Colour":"red"}'} | row for line, row in enumerate(rows, 2)]
    return pl.DataFrame(filled, schema=schema)


def reading(**covariates: list[str]) -> InputReading:
    declared = Covariates.model_validate(covariates)
    return InputReading(
        declared, Cleaning(id_case="upper"), {"b": ".", "a": ","}, {"b": PLAIN, "a": DateReading("%d/%m/%Y")}
    )


def test_products_keep_id_and_declared_columns() -> None:
    rows: list[Row] = [{"product_id": " p1 ", "department": "dairy", "size": "1.5", "organic": "True"}]
    rows += [{"product_id": "P2", "department": " ", "size": None, "organic": "false"}, {"product_id": " "}]
    static = ["department", "size", "organic", "region"]
    found = clean_products(
        raw(["product_id", "department", "size", "organic", "supplier"], rows), reading(static=static)
    )
    assert found.schema == {
        "product_id": pl.String, "department": pl.String, "size": pl.Float32, "organic": pl.Float32
    }  # fmt: skip
    assert found.rows() == [("P1", "dairy", 1.5, 1), ("P2", None, None, 0)]


def test_a_column_with_one_text_is_text() -> None:
    rows: list[Row] = [{"store_id": "S1", "format": "1"}, {"store_id": "S2", "format": "large"}]
    found = clean_stores(raw(["store_id", "format"], rows), reading(static=["format"]))
    assert found["format"].to_list() == ["1", "large"]


def in_plan(values: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """raw_plan with these values of `heat` and 200 numbers, and clean_plan."""
    texts = [*values, *(f"{number / 10}" for number in range(200))]
    days = [date(2024, 1, 1) + timedelta(days=place) for place in range(len(texts))]
    rows: list[Row] = [{"date": str(day), "heat": text} for day, text in zip(days, texts, strict=True)]
    table = raw(["date", "heat"], rows)
    return table, clean_plan(table, reading(known_future=["heat"]))


@pytest.mark.parametrize("odd", [["n/a"] * 50, ["-", "NULL", "#N/A"], ["12,5"], ["hot", " cold "]])
def test_a_column_of_numbers_stays_one_whatever_a_few_cells_say(odd: list[str]) -> None:
    table, found = in_plan(odd)
    assert found["heat"].dtype == pl.Float32
    assert found["heat"].null_count() == len(odd)
    lost = unreadable(table, found, reading(known_future=["heat"]))
    assert lost.columns == ["column", "value", "source", "file", "line"]
    assert lost["value"].to_list() == [text.strip() for text in odd]
    assert lost.row(0) == ("heat", odd[0], "b", "x.csv", 2)


def test_more_names_than_one_in_a_hundred_are_names() -> None:
    table, found = in_plan(["hot"] * 3)
    assert found["heat"].dtype == pl.String
    assert unreadable(table, found, reading(known_future=["heat"])).is_empty()


@pytest.mark.parametrize("odd", ["n/a", "#N/A", "NULL", "-", "12,5", "about 3"])
@pytest.mark.parametrize("table", ["products", "stores"])
def test_one_slip_of_ten_leaves_a_column_of_numbers(table: str, odd: str) -> None:
    key, clean = {"products": ("product_id", clean_products), "stores": ("store_id", clean_stores)}[table]
    rows: list[Row] = [{key: f"K{number}", "size": str(number)} for number in range(9)] + [{key: "K9", "size": odd}]
    raw_table, known = raw([key, "size"], rows), reading(static=["size"])
    found = clean(raw_table, known)
    assert found["size"].dtype == pl.Float32
    assert found.filter(pl.col(key) == "K9")["size"].to_list() == [None]
    assert unreadable(raw_table, found, known).select("column", "value", "line").rows() == [("size", odd, 11)]


def test_codes_are_text_and_a_text_that_says_nothing_is_unknown() -> None:
    rows: list[Row] = [{"product_id": f"P{number}", "shelf": f"{number:03}"} for number in range(9)]
    words: list[Row] = [{"product_id": f"W{number}", "shelf": word} for number, word in enumerate(["n/a", "-", "NA"])]
    known = reading(static=["shelf"])
    found = clean_products(raw(["product_id", "shelf"], rows), known)
    assert found["shelf"].to_list() == [f"{number:03}" for number in range(9)]
    assert clean_products(raw(["product_id", "shelf"], rows + words), known)["shelf"].to_list()[9:] == [
        None, None, "NA"
    ]  # fmt: skip


def test_rows_that_are_left_out_are_told() -> None:
    columns = ["date", "store_id", "product_id", "in_stock"]
    rows: list[Row] = [
        {"date": "2024-05-01", "store_id": "S1", "product_id": "P1", "in_stock": "0.5"},
        {"date": "someday", "store_id": "S1", "product_id": "P1", "in_stock": "1"},
        {"date": "2024-05-01", "store_id": " ", "product_id": "P1", "in_stock": "1"},
        {"date": "2024-05-02", "store_id": "S1", "product_id": "P1", "in_stock": "17"},
    ]
    table = raw(columns, rows)
    lost = left_out("stock", table, reading())
    assert lost.select("column", "value", "line").rows() == [("date", "someday", 3), ("store_id", "", 4)]
    assert left_out("plan", table, reading()).height == 1  # of every store
    odd = unreadable(table, clean_stock(table, reading()), reading())
    assert odd.select("column", "value", "line").rows() == [("in_stock", "17", 5)]


def test_open_is_a_number_whatever_it_says() -> None:
    rows: list[Row] = [{"date": "2024-05-01", "open": "closed"}, {"date": "2024-05-02", "open": "false"}]
    table, known = raw(["date", "open"], rows), reading(known_future=["open"])
    found = clean_plan(table, known)
    assert found["open"].to_list() == [None, 0]
    assert unreadable(table, found, known)["value"].to_list() == ["closed"]


def test_what_is_read_is_not_told_as_unreadable() -> None:
    rows: list[Row] = [
        {"source": "a", "date": "01/05/2024", "price": "2,5", "promo": "True"},
        {"date": "2024-05-01", "price": "3.5", "promo": " "},
    ]
    table = raw(["date", "price", "promo"], rows)
    known = reading(known_future=["promo"])
    assert unreadable(table, clean_plan(table, known), known).is_empty()


def test_for_each_column_the_last_that_says_something_counts() -> None:
    columns = ["product_id", "size", "brand"]
    rows: list[Row] = [
        {"source": "a", "line": 1, "product_id": "P1", "size": "2,5"},
        {"file": "y.csv", "line": 1, "product_id": "P1", "size": "9", "brand": ""},
        {"file": "x.csv", "line": 8, "product_id": "p1", "size": "7", "brand": "Bio"},
        {"source": "b", "file": "x.csv", "line": 3, "product_id": "P1", "brand": "old"},
    ]
    first = reading(static=["size", "brand"])
    assert clean_products(raw(columns, rows), first).rows() == [("P1", 2.5, "Bio")]
    assert clean_products(raw(columns, rows[::-1]), first).rows() == [("P1", 2.5, "Bio")]


def test_the_plan_has_one_row_per_key_of_each_width() -> None:
    columns = ["date", "store_id", "product_id", "price", "promo", "holiday"]
    rows: list[Row] = [
        {"date": "2024-05-01", "store_id": "s1", "product_id": "P1", "price": "2", "promo": "0"},
        {"date": "2024-05-01", "store_id": "S1", "product_id": "P1", "price": "free", "promo": "1"},
        {"date": "2024-05-01", "holiday": "May Day"},
        {"source": "a", "date": "01/05/2024", "store_id": "S1", "product_id": "P1", "price": "2,5"},
        {"date": "someday", "holiday": "never"},
    ]
    found = clean_plan(raw(columns, rows), reading(known_future=["promo", "holiday"]))
    assert found.columns == columns
    day = date(2024, 5, 1)
    assert set(found.rows()) == {(day, None, None, None, None, "May Day"), (day, "S1", "P1", 2.5, 1, None)}


def test_stock_is_a_share_and_units_that_are_there() -> None:
    numbers = ["in_stock", "on_hand", "on_order"]
    said = [("0.5", "3", "24"), ("87", "-2", "-1"), (None, "x", None)]
    rows: list[Row] = [
        {"date": "2024-05-01", "store_id": "S1", "product_id": f"P{place}", **dict(zip(numbers, row, strict=True))}
        for place, row in enumerate(said)
    ]
    found = clean_stock(raw([*DAY_KEY, *numbers], [*rows, rows[0] | {"store_id": None}]), reading())
    assert found.select(numbers).rows() == [(0.5, 3, 24), (None, 0, 0), (None, None, None)]


def test_an_empty_table_is_an_empty_table_with_its_keys() -> None:
    assert clean_products(raw(["product_id"], []), reading()).schema == {"product_id": pl.String}
    assert clean_stores(raw(["store_id"], []), reading()).schema == {"store_id": pl.String}
    assert clean_plan(raw(DAY_KEY, []), reading()).columns == [*DAY_KEY, "price"]
    assert clean_stock(raw(DAY_KEY, []), reading()).columns == [*DAY_KEY, "in_stock", "on_hand", "on_order"]


def test_a_declared_covariate_that_nobody_has_is_an_error() -> None:
    expected = r"known_future: no input has promo; .*plan has date, holiday; not mapped: Colour"
    with pytest.raises(MissingCovariateError, match=expected):
        clean_plan(raw(["date", "holiday"], [{"date": "2024-05-01"}]), reading(known_future=["promo", "holiday"]))
    products, stores = raw(["product_id", "brand"], []), raw(["store_id", "region"], [])
    require_static(Covariates(static=["brand", "region"]), products, stores)
    with pytest.raises(MissingCovariateError, match=r"static: no input has city; .*product_id, brand; stores has"):
        require_static(Covariates(static=["brand", "city"]), products, stores)


def test_a_plan_whose_dates_nobody_can_read_is_an_error() -> None:
    with pytest.raises(UnreadableDatesError, match=r"raw_plan: none of 1 dates .*05/06/2024.*plan\.date_format"):
        clean_plan(raw(["date"], [{"date": "05/06/2024"}]), reading())


def test_a_plan_that_nobody_gave_is_empty() -> None:
    keys_only = raw(["date", "store_id", "product_id"], [])
    assert clean_plan(keys_only, reading()).columns == ["date", "store_id", "product_id", "price"]
    assert clean_stock(keys_only, reading()).is_empty()
