"""A registered model made again from what it was made of, after nights that changed the tables."""

import polars as pl

from demand_forecast_tests.behaviour.conftest import MONDAY, Shopkeeper, csv, sales_rows


def test_a_version_is_made_again_after_later_nights(later_night: Shopkeeper) -> None:
    champion = later_night.champion()
    assert champion is not None
    features = later_night.lake.version("daily_demand")
    row = sales_rows(57, {"-": ["007", "0042"]})[-2:]
    later_night.write("sales/next.csv", csv([f"{line},4" for line in row], "day,shop,item,sold,paid,visitors"))
    assert later_night.run("night").status == 0
    assert later_night.lake.version("daily_demand") != features
    assert later_night.table("daily_demand")["date"].max() > MONDAY.fromordinal(MONDAY.toordinal() + 55)  # type: ignore[operator]
    outcome = later_night.run("reproduce", champion)
    assert outcome.status == 0, outcome.said
    for word in (f"daily_demand {features}", ": equal", "equal to the last bit"):
        assert word in outcome.said


def test_features_that_are_others_are_told(later_night: Shopkeeper) -> None:
    """The recorded table is not what its inputs give: somebody wrote to the lake."""
    lake, champion = later_night.lake, later_night.champion()
    version = lake.version("demand_features")
    location = lake.location("demand_features")
    files = [*map(str, (later_night.folder / "home/lake/demand_features").glob("*.parquet"))]
    assert location in files[0]
    spoiled = pl.read_parquet(files[0]).with_columns(pl.col("units") + 1)
    spoiled.write_parquet(files[0])
    outcome = later_night.run("reproduce", str(champion))
    assert outcome.status == 1, outcome.said
    assert f"demand_features {version}: NOT equal" in outcome.said


def test_a_version_that_nobody_registered(united: Shopkeeper) -> None:
    united.run("reproduce", "99").failed_with("has no version 99; choose one that is registered")
