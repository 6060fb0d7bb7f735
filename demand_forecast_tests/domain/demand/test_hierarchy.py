import polars as pl
import pytest

from demand_forecast.domain.demand.hierarchy import SERIES_LEVEL, TOTAL, Level, attach_static, hierarchy_levels

PRODUCTS = pl.DataFrame(
    {"product_id": ["a", "b", "c"], "cat_id": ["F", "F", "H"], "dept_id": ["F1", "F2", "H1"], "size": [1.0, 2.0, 3.0]}
)
STORES = pl.DataFrame({"store_id": ["CA_1", "TX_1"], "state_id": ["CA", "TX"]})
M5_LEVELS = {
    (),
    ("state_id",),
    ("store_id",),
    ("cat_id",),
    ("dept_id",),
    ("state_id", "cat_id"),
    ("state_id", "dept_id"),
    ("store_id", "cat_id"),
    ("store_id", "dept_id"),
    ("product_id",),
    ("state_id", "product_id"),
    ("store_id", "product_id"),
}


def test_m5_has_its_twelve_levels() -> None:
    levels = hierarchy_levels(PRODUCTS, STORES, ["state_id", "cat_id", "dept_id"])
    assert len(levels) == 12
    assert {level.columns for level in levels} == M5_LEVELS


def test_levels_are_named_after_their_columns() -> None:
    names = [level.name for level in hierarchy_levels(PRODUCTS, STORES, ["dept_id"])]
    assert names == ["total", "dept_id", "product_id", "store_id", "store_id x dept_id", "series"]


def test_levels_do_not_change_when_only_one_shop_is_left() -> None:
    declared = ["state_id", "cat_id", "dept_id"]
    assert hierarchy_levels(PRODUCTS, STORES.head(1), declared) == hierarchy_levels(PRODUCTS, STORES, declared)


@pytest.mark.parametrize("column", ["size", "empty", "undelivered"])
def test_a_column_of_numbers_or_without_values_makes_no_level(column: str) -> None:
    products = PRODUCTS.with_columns(empty=pl.lit(None, pl.String))
    levels = hierarchy_levels(products, STORES, [column])
    assert {level.columns for level in levels} == {(), ("product_id",), ("store_id",), ("store_id", "product_id")}


def test_without_master_data_there_are_the_four_levels_of_the_ids() -> None:
    levels = hierarchy_levels(pl.DataFrame(), pl.DataFrame(), ["city"])
    assert [level.name for level in levels] == ["total", "product_id", "store_id", "series"]


def test_of_many_levels_the_coarsest_and_the_series_are_kept() -> None:
    products = pl.DataFrame({"product_id": [str(i) for i in range(50)]}).with_columns(
        pl.col("product_id").cast(pl.Int64).mod(n).cast(pl.String).alias(f"group_{n}") for n in range(2, 14)
    )
    levels = hierarchy_levels(products, STORES, [*products.columns[1:], "state_id"])
    assert len(levels) == 20
    assert levels[0] == TOTAL
    assert levels[-1] == SERIES_LEVEL
    assert Level("group_9", ("group_9",)) in levels
    assert Level("store_id x group_13", ("store_id", "group_13")) not in levels


def test_static_columns_of_unknown_ids_are_null() -> None:
    series = pl.DataFrame({"store_id": ["TX_1", "XX"], "product_id": ["c", "z"]})
    attached = attach_static(series, PRODUCTS.select("product_id", "cat_id"), STORES)
    assert attached.rows() == [("TX_1", "c", "H", "TX"), ("XX", "z", None, None)]
