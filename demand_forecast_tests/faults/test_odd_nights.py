"""Nights on which the sources say something that no usual night says."""

import pytest

from demand_forecast_tests.behaviour.conftest import Shopkeeper, csv
from demand_forecast_tests.faults.kills import DAYS, completed, day, differences, report

pytestmark = pytest.mark.slow  # whole runs of a retailer in processes

HEADER_ONLY = csv([])


@pytest.mark.parametrize("content", [HEADER_ONLY, None], ids=["a file with a header only", "no file"])
def test_a_night_without_sales_changes_nothing(
    retailer: Shopkeeper, first_run: Shopkeeper, content: str | None
) -> None:
    if content is not None:
        retailer.write(f"sales/{day(DAYS)}.csv", content)
    assert completed(retailer, "night") == []
    assert not any(differences(retailer, first_run).values())


def test_ten_times_the_sales_go_through_and_are_told(retailer: Shopkeeper) -> None:
    report(retailer, DAYS, lambda units: 10 * units)
    night = retailer.run("night")
    assert night.status == 0, night.said
    assert "daily_demand: check newest_day_is_usual failed" in night.said, night.said
    assert retailer.table("demand_forecast")["forecast_origin"].unique().to_list() == [day(DAYS)]


@pytest.mark.parametrize("job", ["night", "run"])
def test_a_renamed_column_stops_before_anything_is_trained_or_forecast(retailer: Shopkeeper, job: str) -> None:
    report(retailer, DAYS)
    file = retailer.folder / f"sales/{day(DAYS)}.csv"
    file.write_text(file.read_text().replace("sold", "units_sold", 1))
    trained = len(list((retailer.folder / "home" / "mlflow" / "artifacts").rglob("model.json")))
    said = retailer.bad_night(
        f"sales/{day(DAYS)}.csv: no column 'sold'; did you mean 'units_sold'? Correct sales.columns.units", job=job
    )
    assert "✓ daily_demand" not in said
    assert len(list((retailer.folder / "home" / "mlflow" / "artifacts").rglob("model.json"))) == trained
