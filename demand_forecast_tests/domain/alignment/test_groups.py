"""Groups of series: their level, their demand against a plain sum, what the plan says about them."""

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from demand_forecast.domain.alignment.groups import GroupTables, alignment_level, membership
from demand_forecast.domain.alignment.groups import group_tables as tables_of_groups
from demand_forecast.domain.tables import SERIES
from demand_forecast.settings import Covariates

DAY = date(2024, 1, 1)
STATIC = ["department", "region"]


def retailer(products: int = 24, days: int = 5) -> dict[str, pl.DataFrame]:
    """Three shops in two regions, products of two departments; shop C opens on the third day."""
    rows = [
        (shop, f"P{p:02d}", DAY + timedelta(days=d), float(p + d), True)
        for shop in "ABC"
        for p in range(products)
        for d in range(2 if shop == "C" else 0, days)
    ]
    demand = pl.DataFrame(rows, schema=[*SERIES, "date", "units", "open"], orient="row")
    names = [f"P{p:02d}" for p in range(products)]
    return {
        "demand": demand.with_columns(pl.col("units").cast(pl.Float32), in_stock=pl.lit(1.0, pl.Float32)),
        "products": pl.DataFrame(
            {"product_id": names, "department": [["dry", "fresh"][p % 2] for p in range(products)]}
        ),
        "stores": pl.DataFrame({"store_id": ["A", "B", "C"], "region": ["north", "north", "south"]}),
        "plan": pl.DataFrame(
            [
                (None, None, DAY, "holiday", None),
                ("A", None, DAY, None, 1.0),
                ("B", "P00", DAY, None, 1.0),
            ],
            schema={
                "store_id": pl.String,
                "product_id": pl.String,
                "date": pl.Date,
                "event": pl.String,
                "promo": pl.Float64,
            },
            orient="row",
        ),
    }


@pytest.mark.parametrize(
    ("products", "expected"),
    [(24, ("store_id", "department")), (12, ("store_id",)), (8, ("region",)), (2, ())],
)
def test_the_finest_level_with_ten_series_a_group(products: int, expected: tuple[str, ...]) -> None:
    tables = retailer(products)
    series = tables["demand"].select(SERIES).unique()
    assert alignment_level(series, tables["products"], tables["stores"], STATIC).columns == expected


def group_tables(demand: pl.DataFrame, **given: Any) -> GroupTables:
    return tables_of_groups(demand, demand.select(SERIES).unique(), **given)


def test_units_of_a_group_are_the_sum_of_its_series() -> None:
    tables = retailer()
    groups = group_tables(**tables, covariates=Covariates(static=STATIC))
    found = {(row[0], row[1], row[2]): row[3] for row in groups.demand.select(*SERIES, "date", "units").iter_rows()}
    last = tables["demand"].filter(pl.col("date") == DAY + timedelta(days=4))
    assert found["all", "all", DAY + timedelta(days=4)] == last["units"].sum()
    fresh = last.filter((pl.col("store_id") == "A") & pl.col("product_id").str.slice(1).cast(pl.Int64).mod(2).eq(1))
    assert found["store_id:A", "department:fresh", DAY + timedelta(days=4)] == fresh["units"].sum()
    assert groups.demand.filter(pl.col("store_id") == "store_id:C")["date"].min() == DAY + timedelta(days=2)


def test_a_group_is_in_stock_for_the_share_of_what_it_usually_sells() -> None:
    """P01 sells 3 a day and the other 1; P01 is out for good from the third day on, the other for half of the last."""
    sold = {"P00": [1, 1, 1, 1, 0.5], "P01": [3, 3, 0, 0, 0]}
    stock = {"P00": [1, 1, 1, 1, 0.5], "P01": [1, 1, 0, 0, 0]}
    demand = pl.DataFrame(
        [("A", name, DAY + timedelta(days=d), sold[name][d], stock[name][d], True) for name in sold for d in range(5)],
        schema=[*SERIES, "date", "units", "in_stock", "open"],
        orient="row",
    )
    tables = retailer() | {"demand": demand}
    found = group_tables(**tables, covariates=Covariates()).demand.filter(pl.col("product_id") == "all")
    assert found["in_stock"].to_list() == pytest.approx([1, 1, 0.25, 0.25, 0.125])
    assert (found["units"] / found["in_stock"]).to_list() == pytest.approx([4, 4, 4, 4, 4])


def test_every_series_belongs_to_one_group_and_unknown_products_to_their_own() -> None:
    tables = retailer()
    series = tables["demand"].select(SERIES).unique()
    level = alignment_level(series, tables["products"], tables["stores"], STATIC)
    missing = tables["products"].filter(pl.col("product_id") != "P00")
    members = membership(series, level, missing, tables["stores"])
    assert members.select(SERIES).sort(SERIES).equals(series.sort(SERIES))
    assert members.filter(pl.col("product_id") == "P00")["product_group"].unique().to_list() == ["department:unknown"]


def test_the_plan_is_averaged_over_what_a_group_holds() -> None:
    tables = retailer()
    groups = group_tables(**tables, covariates=Covariates(static=STATIC, known_future=["event", "promo"]))
    plan = groups.plan.filter(pl.col("date") == DAY)
    of_all = plan.filter(pl.col("store_id").is_null())
    assert of_all["event"].to_list() == ["holiday"]

    def promo(shop: str, product: str) -> list[float]:
        return plan.filter(pl.col("store_id") == shop, pl.col("product_id") == product)["promo"].drop_nulls().to_list()

    assert promo("store_id:A", "department:dry") == [1.0]
    assert promo("store_id:B", "department:dry") == [pytest.approx(1 / 12)]
    assert sorted(promo("all", "all")) == [pytest.approx(1 / 72), pytest.approx(1 / 3)]
