"""Contracts: a sound table breaks nothing, a broken one says which rule and how often."""

from datetime import date, timedelta

import polars as pl
import pytest

from demand_forecast.domain.cleaning.schemas import violations
from demand_forecast.domain.demand.panel import build_daily_demand
from demand_forecast.domain.tables import QUANTILE_COLUMNS

DAY = date(2024, 2, 28)


def sales() -> pl.DataFrame:
    days = [DAY + timedelta(days=number) for number in range(20)]
    frame = pl.DataFrame({"date": days * 2, "product_id": ["P1"] * 20 + ["P2"] * 20, "line": range(40)})
    return frame.with_columns(
        store_id=pl.lit("S1"),
        units=pl.col("line").cast(pl.Float32),
        price=pl.lit(None, pl.Float32),
        source=pl.lit("tills"),
        file=pl.lit("a.csv"),
    )


def demand(frequency: str = "daily") -> pl.DataFrame:
    return build_daily_demand(sales(), None, frequency=frequency, missing_day="no_sale")  # type: ignore[arg-type]


def forecast() -> pl.DataFrame:
    frame = pl.DataFrame({"horizon": [1, 2]}, schema={"horizon": pl.Int32}).with_columns(
        store_id=pl.lit("S1"),
        product_id=pl.lit("P1"),
        date=pl.lit(DAY) + pl.duration(days=pl.col("horizon")),
        forecast_origin=pl.lit(DAY),
        mean=pl.lit(1, pl.Float32),
        variance=pl.lit(1, pl.Float32),
        correlation=pl.lit(0.1, pl.Float32),
        model=pl.lit("lightgbm"),
        model_version=pl.lit("1"),
        alignment=pl.lit(1.0),
    )
    return frame.with_columns(pl.lit(level, pl.Float32).alias(name) for level, name in enumerate(QUANTILE_COLUMNS))


def test_what_the_code_makes_keeps_its_contract() -> None:
    assert violations("clean_sales", sales()) == {}
    assert violations("daily_demand", demand()) == {}
    assert violations("daily_demand", demand("weekly")) == {}
    assert violations("demand_forecast", forecast()) == {}


def test_columns_that_the_contract_does_not_know_are_free() -> None:
    assert violations("clean_products", pl.DataFrame({"product_id": ["P1"], "department": ["dairy"]})) == {}


def test_an_empty_table_needs_its_columns_all_the_same() -> None:
    assert violations("daily_demand", demand().clear()) == {}
    assert violations("daily_demand", demand().clear().drop("open")) == {"open|missing": 1}


def test_a_missing_column_and_a_wrong_type_are_named() -> None:
    broken = sales().drop("price").with_columns(pl.col("units").cast(pl.String))
    assert violations("clean_sales", broken) == {"price|missing": 40, "units|dtype": 40}


BROKEN = [
    (pl.col("units") - 3, "units|min", 2),
    (pl.when(pl.col("units") == 7).then(float("nan")).otherwise("units").alias("units"), "units|nan", 1),
    (pl.when(pl.col("units") > 17).then(None).otherwise("units").alias("units"), "unknown_throughout", 22),
    (pl.lit(1.5, pl.Float32).alias("in_stock"), "in_stock|max", 39),
    (pl.lit(False).alias("open"), "closed_sells_nothing", 39),
    (pl.lit("").alias("store_id"), "store_id|min_length", 39),
]


@pytest.mark.parametrize(("change", "rule", "rows"), BROKEN, ids=[rule for _, rule, _ in BROKEN])
def test_a_broken_value_is_counted(change: pl.Expr, rule: str, rows: int) -> None:
    assert (
        violations("daily_demand", demand().with_columns(change.cast(demand().schema[change.meta.output_name()])))[rule]
        == rows
    )


def test_gaps_repeats_and_disorder_of_the_panel_are_seen() -> None:
    whole = demand()
    without_a_day = pl.concat([whole[:5], whole[6:]])
    assert violations("daily_demand", without_a_day) == {"every_period": 1}
    twice = pl.concat([whole[:5], whole[4:]])
    assert violations("daily_demand", twice) == {"every_period": 1}
    ends_early = pl.concat([whole[:15], whole[19:]])
    assert violations("daily_demand", ends_early) == {"to_the_last_day": 1}
    assert violations("daily_demand", pl.concat([whole[20:], whole[:20]]))["in_order"] == 1


def test_quantiles_that_cross_and_days_before_the_origin_are_seen() -> None:
    assert violations("demand_forecast", forecast().with_columns(q50=pl.lit(0, pl.Float32))) == {"quantiles_rise": 2}
    early = forecast().with_columns(forecast_origin=pl.lit(DAY + timedelta(days=1)))
    assert violations("demand_forecast", early) == {"after_the_origin": 1}
    assert violations("demand_forecast", pl.concat([forecast(), forecast()[:1]])) == {"primary_key": 2}


def test_a_plan_key_that_is_there_twice_is_seen_also_where_it_is_null() -> None:
    plan = pl.DataFrame(
        {"date": [DAY, DAY, DAY], "store_id": [None, None, "S1"], "product_id": [None] * 3, "price": [1.0, 2.0, 1.0]},
        schema={"date": pl.Date, "store_id": pl.String, "product_id": pl.String, "price": pl.Float32},
    )
    assert violations("clean_plan", plan) == {"one_row_per_key": 2}
    assert violations("clean_plan", plan[1:]) == {}
