"""A registered model made again from what it was made of."""

import pytest

from demand_forecast_tests.behaviour.conftest import MONDAY, Shopkeeper, csv, sales_rows


def test_a_version_is_made_again(united: Shopkeeper) -> None:
    require_equal(united, united.champion(), united.lake.version("daily_demand"))


@pytest.mark.slow
def test_a_version_is_made_again_after_later_nights_that_changed_the_tables(later_night: Shopkeeper) -> None:
    champion, features = later_night.champion(), later_night.lake.version("daily_demand")
    row = sales_rows(57, {"-": ["007", "0042"]})[-2:]
    later_night.write("sales/next.csv", csv([f"{line},4" for line in row], "day,shop,item,sold,paid,visitors"))
    assert later_night.run("night").status == 0
    assert later_night.lake.version("daily_demand") != features
    assert later_night.table("daily_demand")["date"].max() > MONDAY.fromordinal(MONDAY.toordinal() + 55)  # type: ignore[operator]
    require_equal(later_night, champion, features)


def require_equal(retailer: Shopkeeper, version: str | None, features: int) -> None:
    assert version is not None
    outcome = retailer.run("reproduce", version)
    assert outcome.status == 0, outcome.said
    for word in (f"daily_demand {features}", ": equal", "equal to the last bit"):
        assert word in outcome.said


def test_a_version_that_nobody_registered(united: Shopkeeper) -> None:
    united.run("reproduce", "99").failed_with("has no version 99; choose one that is registered")
