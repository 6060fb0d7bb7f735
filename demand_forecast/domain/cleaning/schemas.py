"""What must be true of a table before anything is built on it."""

# ruff: noqa: N805 - dataframely gives a rule the schema, not an instance

from itertools import pairwise

import dataframely as dy
import polars as pl

from demand_forecast.domain.tables import QUANTILE_COLUMNS


class CleanSales(dy.Schema):
    date = dy.Date()
    store_id = dy.String(min_length=1)
    product_id = dy.String(min_length=1)
    units = dy.Float32(min=0)
    price = dy.Float32(nullable=True)
    source = dy.String()
    file = dy.String()
    line = dy.Int64()


class CleanProducts(dy.Schema):
    product_id = dy.String(primary_key=True, min_length=1)


class CleanStores(dy.Schema):
    store_id = dy.String(primary_key=True, min_length=1)


class CleanPlan(dy.Schema):
    date = dy.Date()
    store_id = dy.String(nullable=True, min_length=1)
    product_id = dy.String(nullable=True, min_length=1)
    price = dy.Float32(nullable=True)

    @dy.rule()
    def one_row_per_key(cls) -> pl.Expr:
        return ~pl.struct("date", "store_id", "product_id").is_duplicated()


class CleanStock(dy.Schema):
    date = dy.Date(primary_key=True)
    store_id = dy.String(primary_key=True, min_length=1)
    product_id = dy.String(primary_key=True, min_length=1)
    in_stock = dy.Float32(nullable=True, min=0, max=1)
    on_hand = dy.Float32(nullable=True, min=0)
    on_order = dy.Float32(nullable=True, min=0)


class DailyDemand(dy.Schema):
    """Sorted and without a gap, which together mean that no key is there twice. Nothing is known of a day without
    units; one with units and without in_stock is an exceptional one.
    """

    store_id = dy.String(min_length=1)
    product_id = dy.String(min_length=1)
    date = dy.Date()
    units = dy.Float32(nullable=True, min=0)
    price = dy.Float32(nullable=True)
    in_stock = dy.Float32(nullable=True, min=0, max=1)
    open = dy.Bool(nullable=True)

    @dy.rule()
    def in_order(cls) -> pl.Expr:
        store, product = pl.col("store_id"), pl.col("product_id")
        same_store = store == store.shift()
        ordered = (store > store.shift()) | (same_store & (product >= product.shift()))
        return ordered.fill_null(True)

    @dy.rule()
    def every_period(cls) -> pl.Expr:
        day = pl.col("date").dt
        monthly = (day.day() == 1).all() | (pl.col("date") == day.month_end()).all()
        weekly = (day.weekday() == day.weekday().first()).all()
        number = pl.when(monthly).then(day.year() * 12 + day.month().cast(pl.Int32)).otherwise(day.epoch("d"))
        step = pl.when(weekly & ~monthly).then(7).otherwise(1)
        same = (pl.col("store_id") == pl.col("store_id").shift()) & (
            pl.col("product_id") == pl.col("product_id").shift()
        )
        return ~same.fill_null(False) | (number.diff() == step)

    @dy.rule()
    def to_the_last_day(cls) -> pl.Expr:
        ends = (pl.col("store_id") != pl.col("store_id").shift(-1)) | (
            pl.col("product_id") != pl.col("product_id").shift(-1)
        )
        return ~ends.fill_null(True) | (pl.col("date") == pl.col("date").max())

    @dy.rule()
    def closed_sells_nothing(cls) -> pl.Expr:
        return pl.col("open") | (pl.col("units") == 0)

    @dy.rule()
    def unknown_throughout(cls) -> pl.Expr:
        unknown = pl.col("units").is_null()
        return (unknown == pl.col("open").is_null()) & (~unknown | pl.col("in_stock").is_null())


class DemandForecast(dy.Schema):
    store_id = dy.String(primary_key=True, min_length=1)
    product_id = dy.String(primary_key=True, min_length=1)
    date = dy.Date(primary_key=True)
    forecast_origin = dy.Date(primary_key=True)
    horizon = dy.Int32(min=1)
    mean = dy.Float32(min=0)
    q10 = dy.Float32(min=0)
    q20 = dy.Float32()
    q30 = dy.Float32()
    q40 = dy.Float32()
    q50 = dy.Float32()
    q60 = dy.Float32()
    q70 = dy.Float32()
    q80 = dy.Float32()
    q90 = dy.Float32()
    variance = dy.Float32(min=0)
    model = dy.String(min_length=1)
    model_version = dy.String(min_length=1)
    alignment = dy.Float64(min_exclusive=0)

    @dy.rule()
    def quantiles_rise(cls) -> pl.Expr:
        pairs = pairwise(QUANTILE_COLUMNS)
        return pl.all_horizontal(pl.col(low) <= pl.col(high) for low, high in pairs)

    @dy.rule()
    def after_the_origin(cls) -> pl.Expr:
        return pl.col("date") > pl.col("forecast_origin")


CONTRACTS: dict[str, type[dy.Schema]] = {
    "clean_sales": CleanSales,
    "clean_products": CleanProducts,
    "clean_stores": CleanStores,
    "clean_plan": CleanPlan,
    "clean_stock": CleanStock,
    "daily_demand": DailyDemand,
    "demand_forecast": DemandForecast,
}


def violations(table_name: str, frame: pl.DataFrame) -> dict[str, int]:
    """The broken rules of the table's contract, with the number of rows that break each; empty where all is well.

    A missing column is `<column>|missing` and one of another type `<column>|dtype`, each broken by every row (at least
    one); the other rules are not asked then. Columns that the contract does not know, as covariates, are free.
    Raises KeyError for a table without a contract.
    """
    contract = CONTRACTS[table_name]
    wrong = _layout(contract, frame)
    if wrong or frame.is_empty():
        return wrong
    _, failure = contract.filter(frame.select(contract.column_names()))
    return dict(failure.counts())


def _layout(contract: type[dy.Schema], frame: pl.DataFrame) -> dict[str, int]:
    rows = max(1, frame.height)
    missing = [name for name in contract.column_names() if name not in frame.columns]
    other = [
        name
        for name, column in contract.columns().items()
        if name in frame.columns and frame.schema[name] != column.dtype
    ]
    return {f"{name}|missing": rows for name in missing} | {f"{name}|dtype": rows for name in other}
