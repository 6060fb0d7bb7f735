"""The sample retailer's mess, held against what its generator says really happened."""

from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

import polars as pl
import pytest

from demand_forecast.domain.cleaning.rules import clean_sales
from demand_forecast.domain.cleaning.schemas import violations
from demand_forecast.domain.demand.panel import build_daily_demand
from demand_forecast.sources.collecting.index import KNOWN
from demand_forecast.sources.collecting.sales import collect_sales
from demand_forecast.sources.configured import date_readings, decimals
from demand_forecast_tests.behaviour.sample import LATER, TRUTH, sample_attributes

LOST_DAY = date(2025, 3, 11)
EXPECTED = {
    "duplicate_line": "exact_duplicate",
    "return": "return",
    "negative_quantity": "return",
    "absurd_quantity": "absurd_units",
    "unknown_product": "unknown_product",
    "zero_price": "bad_price",
    "text_quantity": "unreadable_units",
    "impossible_date": "unreadable_date",
    "too_few_fields": "malformed_line",
    "too_many_fields": "malformed_line",
    "unterminated_quote": "malformed_line",
}


class Cleaned(NamedTuple):
    raw: pl.DataFrame
    clean: pl.DataFrame
    rejected: pl.DataFrame
    demand: pl.DataFrame


@pytest.fixture(scope="module")
def cleaned(monkeypatch_module: None) -> Cleaned:
    settings, attributes = sample_attributes()
    raw = pl.concat(collect_sales(settings, pl.DataFrame(schema=KNOWN), None, LATER), how="diagonal")
    clean, rejected = clean_sales(
        raw,
        cleaning=settings.cleaning,
        products=attributes["products"]["product_id"],
        stores=attributes["stores"]["store_id"],
        past_only=[],
        dates=date_readings(settings),
        decimals=decimals(settings),
        history_start=settings.history_start,
    )
    stock, plan = attributes["stock"], attributes["plan"]
    demand = build_daily_demand(clean, stock, plan, frequency="daily", missing_day=settings.missing_day)
    return Cleaned(raw, clean, rejected, demand)


@pytest.fixture(scope="module")
def monkeypatch_module() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DEMAND_FORECAST_HOME", raising=False)
        yield


def short(file: pl.Expr) -> pl.Expr:
    return file.str.split("/").list.last()


def test_every_row_is_clean_or_rejected(cleaned: Cleaned) -> None:
    assert cleaned.raw.height == cleaned.clean.height + cleaned.rejected.height


def test_every_injected_line_is_rejected_for_what_it_is(cleaned: Cleaned) -> None:
    faults = pl.read_csv(TRUTH / "faults.csv").filter(pl.col("line").is_not_null())
    found = cleaned.rejected.select("source", short(pl.col("file")), "line", "reason")
    judged = faults.with_columns(short(pl.col("file"))).join(found, on=["source", "file", "line"], how="left")
    wrong = judged.filter(pl.col("reason").ne_missing(pl.col("kind").replace_strict(EXPECTED)))
    assert judged.height > 300
    assert wrong.is_empty(), wrong


def test_nothing_else_is_rejected_but_the_report_that_was_corrected(cleaned: Cleaned) -> None:
    faults = pl.read_csv(TRUTH / "faults.csv").filter(pl.col("line").is_not_null())
    lines = faults.select("source", short(pl.col("file")), "line")
    others = cleaned.rejected.with_columns(short(pl.col("file"))).join(lines, on=["source", "file", "line"], how="anti")
    assert others["reason"].unique().to_list() == ["superseded"]
    assert others["file"].unique().to_list() == ["2026-09-02.csv"]


def test_what_is_left_is_what_was_sold(cleaned: Cleaned) -> None:
    """Units by series and day equal the true sales everywhere but on the day whose file was lost."""
    truth = pl.read_parquet(TRUTH / "truth.parquet").select("store_id", "product_id", "date", "sales")
    both = cleaned.demand.join(truth, on=["store_id", "product_id", "date"], how="inner")
    wrong = both.filter((pl.col("units") - pl.col("sales")).abs() > 1e-3, pl.col("date") != LOST_DAY)
    assert both.height > 350_000
    assert wrong.is_empty(), wrong


def test_the_lost_day_and_holidays_are_closed_not_without_demand(cleaned: Cleaned) -> None:
    by_file = cleaned.clean.filter(pl.col("source") == "branches")["store_id"].unique()
    lost = cleaned.demand.filter(pl.col("date") == LOST_DAY, pl.col("store_id").is_in(by_file.implode()))
    christmas = cleaned.demand.filter(pl.col("date").dt.to_string("%m-%d") == "12-25")
    assert lost.height > 0
    assert not lost["open"].any()
    assert not christmas["open"].any()
    assert cleaned.demand["open"].mean() > 0.98


def test_tables_keep_their_contracts(cleaned: Cleaned) -> None:
    assert violations("clean_sales", cleaned.clean) == {}
    assert violations("daily_demand", cleaned.demand) == {}
