"""Odd but valid retailers come to a forecast, or to a decision that can be understood."""

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from demand_forecast_tests.behaviour.conftest import COLUMNS, MONDAY, Shopkeeper, csv, files_source, night, sales_rows

ONE = {"Corner": ["A"]}
NO_PRICE = {name: column for name, column in COLUMNS.items() if name != "price"}


@pytest.fixture
def corner(tmp_path: Path) -> Shopkeeper:
    """One product in one store, 60 days, no master data, no plan, no stock."""
    shop = Shopkeeper(tmp_path)
    shop.write("sales/all.csv", csv(sales_rows(60, ONE)))
    return shop.configure()


def series(frame: pl.DataFrame) -> set[tuple[str, str]]:
    return set(frame.select("store_id", "product_id").unique().iter_rows())


def check_forecast(forecast: pl.DataFrame, wanted: int) -> None:
    assert forecast.height == wanted
    assert forecast.select("store_id", "product_id", "date").is_unique().all()
    assert (forecast["mean"] >= 0).all()
    assert forecast["mean"].is_finite().all()
    assert (forecast["q10"] <= forecast["q90"]).all()


class TestTwoSourcesUnited:
    """A file of one kiosk, whose store is a constant, beside a ledger in SQLite; through the whole graph."""

    def test_the_graph_comes_to_a_forecast_of_every_series(self, united: Shopkeeper) -> None:
        forecast = united.table("demand_forecast")
        assert series(forecast) == {
            ("001", "007"),
            ("001", "0042"),
            ("001", "1e5"),
            ("Zürich", "007"),
            ("Zürich", "茶"),
        }, (united.folder / "said").read_text(encoding="utf-8")
        check_forecast(forecast, 5 * 7)
        assert united.champion() == forecast["model_version"][0]

    def test_ids_stay_the_text_they_are(self, united: Shopkeeper) -> None:
        """Leading zeros, an id that looks like a number in exponent form, other alphabets."""
        for table in ("raw_sales", "clean_sales", "daily_demand", "reorder_plan"):
            ids = set(united.table(table)["product_id"])
            assert ids == {"007", "0042", "1e5", "茶"}, table

    def test_rows_say_which_source_they_came_from(self, united: Shopkeeper) -> None:
        sales = united.table("clean_sales")
        assert set(sales.filter(pl.col("source") == "kiosk")["store_id"]) == {"001"}
        assert set(sales.filter(pl.col("source") == "books")["store_id"]) == {"Zürich"}
        assert united.table("rejected_sales").is_empty()

    def test_a_price_that_one_source_does_not_have_is_unknown_there(self, united: Shopkeeper) -> None:
        prices = united.table("daily_demand").group_by("store_id").agg(pl.col("price").drop_nulls().unique())
        assert dict(prices.iter_rows()) == {"001": [2.5], "Zürich": []}

    def test_a_series_of_one_day_is_forecast_beside_the_others(self, united: Shopkeeper) -> None:
        new = united.table("daily_demand").filter(pl.col("product_id") == "1e5")
        assert new.select("date", "units").rows() == [(MONDAY + timedelta(days=55), 4.0)]
        check_forecast(united.table("demand_forecast").filter(pl.col("product_id") == "1e5"), 7)

    def test_covariates_reach_the_features_the_past_ones_only_from_the_past(self, united: Shopkeeper) -> None:
        features = united.table("demand_features")
        ahead = features.filter(~pl.col("training"), pl.col("product_id") == "007").select("date", "promo").unique()
        planned = {day: float((day - MONDAY).days % 9 == 0) for day in ahead["date"]}
        assert dict(ahead.iter_rows()) == planned
        assert any(name.startswith("visitors") for name in features.columns)
        assert "visitors" not in features.columns


@pytest.mark.slow
def test_weeks_of_one_product_in_one_store_without_a_price(corner: Shopkeeper) -> None:
    """Through the whole graph, with less than a year of history and a week that is not over."""
    corner.write("sales/all.csv", csv(sales_rows(7 * 20 + 3, ONE)))
    source = files_source(sales={"path": "sales/*", "columns": NO_PRICE})
    outcome = corner.configure(source=source, frequency="weekly", horizon=4).run()
    assert outcome.status == 0, outcome.said
    demand, forecast = corner.table("daily_demand"), corner.table("demand_forecast")
    assert demand["price"].null_count() == demand.height == 20
    check_forecast(forecast, 4)
    assert forecast["date"].to_list() == [MONDAY + timedelta(weeks=n) for n in range(20, 24)]
    assert forecast["mean"].mean() == pytest.approx(demand["units"].mean(), rel=0.5)


LABELS = {
    "fridays": [str(MONDAY + timedelta(days=4 + 7 * n)) for n in range(44)],
    "iso weeks": [(MONDAY + timedelta(weeks=n)).strftime("%G-W%V") for n in range(44)],
    "months": [f"{2021 + n // 12}-{n % 12 + 1:02d}" for n in range(44)],
}
AHEAD = {
    "fridays": [MONDAY + timedelta(days=4 + 7 * n) for n in range(40, 44)],
    "iso weeks": [MONDAY + timedelta(weeks=n) for n in range(40, 44)],
    "months": [date(2024, month, 1) for month in (5, 6, 7, 8)],
}


@pytest.mark.slow
@pytest.mark.parametrize("label", LABELS)
def test_a_retailer_keeps_its_own_weeks_and_months(corner: Shopkeeper, label: str) -> None:
    """Totals of 40 periods, through the whole graph; then one more, through a night."""
    frequency = "monthly" if label == "months" else "weekly"
    rows = [f"{period},Corner,A,{90 + n % 5},2.5" for n, period in enumerate(LABELS[label])]
    corner.write("sales/all.csv", csv(rows[:40]))
    outcome = corner.configure(frequency=frequency, horizon=4).run()
    assert outcome.status == 0, outcome.said
    assert corner.table("daily_demand").height == 40
    forecast = corner.table("demand_forecast")
    check_forecast(forecast, 4)
    assert forecast["date"].to_list() == AHEAD[label]
    corner.write("sales/later.csv", csv(rows[40:41]))
    later = corner.run("night")
    assert later.status == 0, later.said
    assert corner.table("demand_forecast")["date"].to_list()[:3] == AHEAD[label][1:]


def test_one_product_in_one_store_without_anything_beside(corner: Shopkeeper) -> None:
    made = night(corner.settings)
    check_forecast(made.forecast, 7)
    assert series(made.forecast) == {("Corner", "A")}
    assert made.forecast["mean"].mean() == pytest.approx(9, rel=0.5)


@pytest.mark.parametrize("model", ["seasonal_naive", "gradient_boosting", "lightgbm"])
def test_every_candidate_learns_without_a_price(corner: Shopkeeper, model: str) -> None:
    corner.configure(source=files_source(sales={"path": "sales/*", "columns": NO_PRICE}))
    made = night(corner.settings, model)
    check_forecast(made.forecast, 7)
    assert made.demand["price"].null_count() == made.demand.height


def test_prices_of_zero_are_let_through_where_they_mean_nothing(corner: Shopkeeper) -> None:
    corner.write("sales/all.csv", csv([row.replace(",2.5", ",0") for row in sales_rows(60, ONE)]))
    corner.configure(cleaning={"require_price": False})
    check_forecast(night(corner.settings).forecast, 7)


def test_a_shop_that_closes_on_sundays_is_not_forecast_there(corner: Shopkeeper) -> None:
    rows = [row for row in sales_rows(60, ONE) if date.fromisoformat(row[:10]).weekday() != 6]
    corner.write("sales/all.csv", csv(rows))
    corner.configure(missing_day="closed")
    sundays = night(corner.settings).forecast.filter(pl.col("date").dt.weekday() == 7)
    assert sundays["mean"].to_list() == [0]


def test_sales_of_every_other_week_are_demand_of_zero_between(corner: Shopkeeper) -> None:
    rows = [row for row in sales_rows(60, ONE) if (date.fromisoformat(row[:10]) - MONDAY).days // 7 % 2 == 0]
    corner.write("sales/all.csv", csv(rows))
    made = night(corner.settings)
    check_forecast(made.forecast, 7)
    assert made.demand.height == (made.demand["date"].max() - MONDAY).days + 1  # type: ignore[operator]


def test_a_delivery_in_many_files_is_the_same_as_in_one(corner: Shopkeeper) -> None:
    whole = night(corner.settings).demand
    (corner.folder / "sales/all.csv").unlink()
    rows = sales_rows(60, ONE)
    for place in range(0, 60, 10):
        corner.write(f"sales/part{place}.csv", csv(rows[place : place + 10]))
    assert night(corner.settings).demand.equals(whole)
