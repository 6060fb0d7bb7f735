"""A night that the models have not seen the like of comes to a forecast of every series, and says what was new."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from demand_forecast_tests.behaviour.conftest import COLUMNS, MONDAY, Shopkeeper, csv, files_source, sales_rows
from demand_forecast_tests.behaviour.test_small_retailers import check_forecast, series

DAYS = 56
HEADER = "day,promo,event,heat"


def plan(days: int) -> list[str]:
    """Lines `day,promo,event,heat` for all shops and products."""
    return [
        f"{MONDAY + timedelta(days=n)},{int(n % 9 == 0)},{'fair' if n % 20 == 0 else ''},{10 + n % 7}.5"
        for n in range(days)
    ]


@pytest.mark.slow
def test_a_second_shop_a_2_a_new_event_and_words_among_numbers(tmp_path: Path) -> None:
    shop = Shopkeeper(tmp_path)
    shop.write("sales/all.csv", csv(sales_rows(DAYS, {"North": ["A", "B"]})))
    shop.write("plan.csv", csv(plan(DAYS + 14), HEADER))
    columns = {"date": "day", "promo": "promo", "event": "event", "heat": "heat"}
    sales, ahead = {"path": "sales/*", "columns": COLUMNS}, {"path": "plan.csv", "columns": columns}
    shop.configure(
        source=files_source(sales=sales, plan=ahead),
        covariates={"known_future": ["promo", "event", "heat"]},
        training={"candidates": ["seasonal_naive", "lightgbm"], "max_rows": 2000},
    )
    first = shop.run()
    assert first.status == 0, first.said

    tomorrow = MONDAY + timedelta(days=DAYS)
    lines = plan(DAYS + 15)
    lines[DAYS + 3] = f"{MONDAY + timedelta(days=DAYS + 3)},2,circus,hot"
    for place in range(5):
        lines[place] = lines[place].rpartition(",")[0] + ",warm"
    shop.write("plan.csv", csv(lines, HEADER))
    shop.write("sales/later.csv", csv(sales_rows(1, {"North": ["A", "B"], "South": ["A", "C"]}, first=tomorrow)))
    night = shop.run("night")
    assert night.status == 0, night.said
    forecast = shop.table("demand_forecast")
    assert series(forecast) == {("North", "A"), ("North", "B"), ("South", "A"), ("South", "C")}
    check_forecast(forecast, 4 * 7)
    assert forecast["forecast_origin"].unique().to_list() == [tomorrow]
    for line in (
        "unseen by the models: store 'South'",
        "unseen by the models: event 'circus'",
        "clean_plan: promo: '2' is read as 0 or 1",
        "clean_plan: heat: 'hot', 'warm' (6 in all) is no number, unknown",
        "forecast_features: night_is_as_the_models_know_it",
    ):
        assert line in night.said, night.said
    rows = shop.table("forecast_features")
    assert rows.filter(pl.col("promo") > 1).is_empty()
    assert rows.filter(pl.col("date") == tomorrow + timedelta(days=3))["heat"].null_count() == 4
