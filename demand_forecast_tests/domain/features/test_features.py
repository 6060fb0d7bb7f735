"""Features against a slow reading of the tables, row by row, in plain Python."""

import math
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from demand_forecast.domain.demand.covariates import MissingCovariateError
from demand_forecast.domain.features import (
    ContractError,
    FeatureContract,
    build_features,
    looked_back,
)
from demand_forecast.settings import Covariates, Training
from demand_forecast_tests.domain.small_retailer import FIRST_DAY, Retailer, make_retailer, tiny_series


@pytest.fixture(scope="module")
def retailer() -> Retailer:
    return make_retailer()


@pytest.fixture(scope="module")
def built(retailer: Retailer) -> tuple[pl.DataFrame, FeatureContract]:
    origins = [retailer.last_day - timedelta(days=back) for back in (40, 14, 0)]
    return retailer.features(origins)


class Reading:
    """What stands in daily_demand about one series: the slow oracle."""

    def __init__(self, retailer: Retailer, store: str, product: str) -> None:
        rows = retailer.demand.filter((pl.col("store_id") == store) & (pl.col("product_id") == product))
        self.rows = {row["date"]: row for row in rows.iter_rows(named=True)}
        self.first = min(self.rows)

    def mean(self, last: date, days: int, step: int = 1) -> float | None:
        """Units over the time in which there was something to sell."""
        found = [self.rows.get(last - timedelta(days=step * i)) for i in range(days)]
        counted = [row for row in found if row and row["open"] and row["in_stock"] > 0]
        return sum(row["units"] for row in counted) / sum(row["in_stock"] for row in counted) if counted else None

    def level(self, origin: date) -> float:
        means = [found for days in (28, 91, 182) if (found := self.mean(origin, days)) is not None]
        return max(sum(means) / len(means), 0.01) if means else 0.01


def expected_values(read: Reading, row: dict) -> dict[str, float | None]:
    """Some of the features of one row, computed by loops."""
    origin, target = row["forecast_origin"], row["date"]
    same_weekday = target - timedelta(days=7 * math.ceil(row["horizon"] / 7))
    last_year = target - timedelta(days=364)
    level = read.level(origin)

    def relative(value: float | None) -> float | None:
        return None if value is None else value / level

    sold = [day for day, seen in read.rows.items() if day <= origin and seen["units"] > 0]
    return {
        "base_level": level,
        "mean_7": relative(read.mean(origin, 7)),
        "mean_91": relative(read.mean(origin, 91)),
        "weekday_mean_8": relative(read.mean(same_weekday, 8, step=7)) if same_weekday >= read.first else None,
        "last_year_7": relative(read.mean(last_year + timedelta(days=3), 7))
        if last_year + timedelta(days=3) >= read.first
        else None,
        "last_season_units": read.rows[same_weekday]["units"] if same_weekday in read.rows else None,
        "since_sale": (origin - max(sold)).days if sold else 364,
        "age": min((origin - read.first).days, 364),
        "weekday": target.isoweekday(),
        "day_of_month": target.day,
    }


def test_features_equal_a_slow_reading_of_the_tables(retailer: Retailer, built: tuple) -> None:
    frame, _ = built
    established = frame.filter(pl.col("product_id") != "P-05")  # levels of new ones: test_launches.py
    for row in established.sample(300, seed=1).iter_rows(named=True):
        read = Reading(retailer, row["store_id"], row["product_id"])
        for name, expected in expected_values(read, row).items():
            if expected is None:
                assert row[name] is None, (name, row)
            else:
                assert row[name] == pytest.approx(expected, rel=1e-5, abs=1e-6), (name, row)


def test_units_and_dates_are_those_of_the_target_day(retailer: Retailer, built: tuple) -> None:
    frame, _ = built
    expected = pl.col("forecast_origin") + pl.duration(days=pl.col("horizon"))
    assert frame.select((pl.col("date") == expected).all()).item()
    joined = frame.join(
        retailer.demand.select("store_id", "product_id", "date", actual="units"),
        how="left",
        on=["store_id", "product_id", "date"],
    )
    assert joined["units"].equals(joined["actual"], null_equal=True)
    assert frame.filter(pl.col("date") > retailer.last_day)["units"].null_count() == 12 * 14


def test_planned_columns_are_read_at_the_target(retailer: Retailer, built: tuple) -> None:
    frame, contract = built
    plan = retailer.plan.filter(pl.col("promo").is_not_null()).select("date", "product_id", said="promo", asked="price")
    joined = frame.join(plan, on=["date", "product_id"], how="left")
    assert joined.select((pl.col("promo") == pl.col("said")).all()).item()
    assert joined.select((pl.col("price") - pl.col("asked")).abs().max()).item() < 1e-6
    events = dict(retailer.plan.filter(pl.col("event").is_not_null()).select("date", "event").iter_rows())
    named = [None if code is None else contract.categories["event"][code] for code in frame["event"]]
    assert named == [events.get(day) for day in frame["date"]]


def test_distance_to_events(retailer: Retailer, built: tuple) -> None:
    frame, _ = built
    events = retailer.plan.filter(pl.col("event").is_not_null())["date"].to_list()
    for day, until, since in frame.select("date", "event_until", "event_since").unique().iter_rows():
        first = first_day_seen(frame)
        ahead = [(event - day).days for event in events if event >= day]
        behind = [(day - event).days for event in events if first <= event <= day]
        assert until == min([*ahead, 7])
        assert since == min([*behind, 7])


def first_day_seen(frame: pl.DataFrame) -> date:
    return frame.select(pl.col("forecast_origin").min() - timedelta(days=7)).item()


def test_price_holds_until_the_next_and_the_more_particular_counts() -> None:
    base = make_retailer(days=60, products=1)
    last = base.last_day
    base = replace(base, demand=base.demand.with_columns(price=pl.lit(4.0, pl.Float32)))
    said = [
        (last - timedelta(days=30), "North", "P-00", 4.0),
        (last + timedelta(days=2), None, "P-00", 9.0),
        (last + timedelta(days=3), "North", "P-00", 6.0),
    ]
    plan = pl.DataFrame(said, schema=["date", "store_id", "product_id", "price"], orient="row")
    history = replace(base, plan=plan, covariates=Covariates()).history()
    joined = history.panel.join(history.series.select("series", "store_id"), on="series").filter(pl.col("date") > last)
    prices = {store: joined.filter(pl.col("store_id") == store)["price"].to_list() for store in ("North", "South")}
    assert prices["North"][:5] == [4, 4, 6, 6, 6]
    assert prices["South"][:5] == [4, 9, 9, 9, 9]


def test_price_without_a_plan_is_not_known_ahead() -> None:
    retailer = make_retailer(days=100, products=1)
    later = retailer.demand.with_columns(
        price=pl.when(pl.col("date") > retailer.last_day - timedelta(days=7)).then(1.0).otherwise(5.0)
    )
    bare = replace(retailer, demand=later, plan=retailer.plan.drop("price", "promo", "event"), covariates=Covariates())
    frame, contract = bare.features([retailer.last_day - timedelta(days=7)])
    row = frame.filter(~pl.col("training"))
    assert set(row["price"]) == {5.0}
    assert {column.read_at for column in contract.columns if column.name.startswith("price")} == {"origin"}


def test_a_wrongly_declared_feature_cannot_see_the_target(retailer: Retailer, monkeypatch: pytest.MonkeyPatch) -> None:
    from demand_forecast.domain.features import build, contract, declaration

    leak = declaration.Feature("leak", "past_only", "target", pl.col("units"), "wrong")
    declared = declaration.declare

    def with_leak(inputs: declaration.PanelInputs) -> tuple[declaration.Feature, ...]:
        return (*declared(inputs), leak)

    monkeypatch.setattr(contract, "declare", with_leak)
    with pytest.raises(pl.exceptions.ColumnNotFoundError, match="units"):
        retailer.features([retailer.last_day])
    assert "units" not in build.known_ahead(retailer.history().inputs)


def test_training_rows_count_and_weigh_what_they_should(built: tuple) -> None:
    frame, _ = built
    drawn = frame.filter("training")
    assert drawn["units"].null_count() == 0
    assert drawn["weight"].min() > 0
    assert drawn.filter(pl.col("weekday") == 7).is_empty()
    assert not drawn.select("store_id", "product_id", "forecast_origin", "horizon").is_duplicated().any()


def test_few_rows_are_drawn_where_few_may_be(retailer: Retailer) -> None:
    frame, _ = retailer.features([], training=Training(window=400, max_rows=500))
    assert 350 <= len(frame) <= 500
    small, large = (frame.filter(pl.col("base_level").is_between(*bounds)) for bounds in ((0, 1.5), (2, 99)))
    assert (
        small.select(pl.col("weight").min()).item() > large.select(pl.col("weight").max()).item()
    )  # in stock or out, a small series weighs more
    by_product = dict(frame.group_by("product_id").len().iter_rows())
    assert by_product["P-00"] > 1.3 * by_product["P-04"]


def test_horizons_and_origins_are_drawn_evenly(built: tuple) -> None:
    counts = built[0].filter("training").group_by("horizon").len()["len"].to_numpy()
    assert len(counts) == 14
    assert counts.max() / counts.min() < 1.3


def test_series_that_start_late_have_no_earlier_rows(retailer: Retailer, built: tuple) -> None:
    starts = retailer.demand.group_by("store_id", "product_id").agg(start=pl.col("date").min())
    joined = built[0].join(starts, on=["store_id", "product_id"])
    assert joined.select((pl.col("forecast_origin") >= pl.col("start")).all()).item()


def test_the_online_service_reads_what_the_night_read(retailer: Retailer, built: tuple) -> None:
    frame, contract = built
    asked = frame.filter(pl.col("forecast_origin") == retailer.last_day).sample(20, seed=2)
    rows = asked.select("store_id", "product_id", "forecast_origin", "horizon")
    again = build_features(retailer.history(since=retailer.last_day - timedelta(days=400)), rows, contract)
    names = [column.name for column in contract.columns if column.name != "horizon"]
    for name in names:
        expected, found = (f[name].cast(pl.Float64).fill_null(-1).to_numpy() for f in (asked, again))
        np.testing.assert_allclose(found, expected, rtol=2e-5, err_msg=name)


@pytest.mark.parametrize("late", [0, 150, 700])
def test_the_newest_days_are_enough_for_the_next_forecast(late: int) -> None:
    retailer = make_retailer(days=900)
    demand = retailer.demand.filter((pl.col("product_id") != "P-03") | (pl.col("date") >= FIRST_DAY + timedelta(late)))
    said = (pl.col("product_id") != "P-03") | (pl.col("date") >= FIRST_DAY + timedelta(late - 20))
    retailer = replace(retailer, demand=demand, plan=retailer.plan.filter(said | pl.col("product_id").is_null()))
    whole, contract = retailer.features([retailer.last_day])
    newest = demand.filter(pl.col("date") >= looked_back(retailer.last_day, "daily"))
    assert 3 * len(newest) < 2 * len(demand)
    started = demand.group_by("store_id", "product_id").agg(first_sale=pl.col("date").min())
    found = replace(retailer, demand=newest).ahead(contract, started).rows
    assert_frame_equal(found, whole.filter(~pl.col("training")), rel_tol=1e-5)


def test_contract_travels_as_json_and_names_what_is_wrong(built: tuple) -> None:
    frame, contract = built
    assert FeatureContract.from_json(contract.to_json()) == contract
    contract.check(frame)
    with pytest.raises(ContractError, match="mean_28 is missing"):
        contract.check(frame.drop("mean_28"))
    with pytest.raises(ContractError, match="surprise is unexpected"):
        contract.check(frame.with_columns(surprise=1))
    with pytest.raises(ContractError, match="event is not a number"):
        contract.check(frame.with_columns(pl.col("event").cast(pl.String)))
    with pytest.raises(ContractError, match="not a feature contract"):
        FeatureContract.from_json("{}")
    for column in contract.columns:
        assert not column.model_input or f"| {column.name} |" in contract.to_markdown()


def test_unseen_category_is_not_known(retailer: Retailer, built: tuple) -> None:
    _, contract = built
    moved = replace(retailer, products=retailer.products.with_columns(department=pl.lit("new")))
    rows = pl.DataFrame(
        {"store_id": ["North"], "product_id": ["P-00"], "forecast_origin": [retailer.last_day], "horizon": [1]}
    )
    assert build_features(moved.history(), rows, contract)["department"].to_list() == [None]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"product_id": "P-77"}, "P-77 in North has no history"),
        ({"horizon": 15}, "horizon is 1 to 14"),
        ({"forecast_origin": date(2030, 1, 1)}, "2030-01-01"),
    ],
)
def test_rows_that_cannot_be_built_are_named(retailer: Retailer, built: tuple, changes: dict, said: str) -> None:
    row = {"store_id": "North", "product_id": "P-00", "forecast_origin": retailer.last_day, "horizon": 1} | changes
    with pytest.raises(ContractError, match=said):
        build_features(retailer.history(), pl.DataFrame([row]), built[1])


def test_declared_covariates_that_are_nowhere_are_named(retailer: Retailer) -> None:
    for kind in ("static", "known_future", "past_only"):
        wrong = replace(retailer, covariates=Covariates(**{kind: ["colour"]}))
        with pytest.raises(MissingCovariateError, match="colour"):
            wrong.history()
    taken = replace(
        retailer,
        products=retailer.products.rename({"department": "weekday"}),
        covariates=Covariates(static=["weekday"]),
    )
    with pytest.raises(ContractError, match="weekday"):
        taken.features([])


def test_holes_in_the_history_are_named(retailer: Retailer) -> None:
    with pytest.raises(ContractError, match="not complete"):
        replace(retailer, demand=retailer.demand.filter(pl.col("date") != date(2023, 5, 5))).history()


def test_a_shop_that_is_usually_or_planned_closed(retailer: Retailer, built: tuple) -> None:
    frame, _ = built
    ahead = frame.filter(pl.col("forecast_origin") == retailer.last_day)
    assert set(ahead.filter(pl.col("weekday") == 7)["expected_open"]) == {0.0}
    assert set(ahead.filter(pl.col("weekday") < 7)["expected_open"]) == {1.0}
    closing = pl.DataFrame(
        {"date": [retailer.last_day + timedelta(days=1)], "store_id": ["North"], "product_id": [None], "open": [0.0]}
    )
    planned = replace(
        retailer, plan=pl.concat([retailer.plan, closing.cast({"product_id": pl.String})], how="diagonal")
    )
    frame, _ = planned.features([retailer.last_day])
    shut = frame.filter((pl.col("date") == closing["date"][0]) & ~pl.col("training"))
    assert dict(shut.select("store_id", "expected_open").iter_rows()) == {"North": 0.0, "South": 1.0}


def test_weekly_history() -> None:
    units = [float(5 + i % 3) for i in range(120)]
    retailer = tiny_series(units, weekly=True)
    frame, _ = retailer.features([retailer.last_day])
    row = frame.filter((pl.col("horizon") == 2) & ~pl.col("training")).row(0, named=True)
    assert row["date"] == retailer.last_day + timedelta(weeks=2)
    assert row["last_season_units"] == units[119 + 2 - 52]
    assert row["base_level"] == pytest.approx(np.mean([np.mean(units[-n:]) for n in (4, 13, 26)]), rel=1e-6)


def test_weekly_plan_is_the_share_of_its_days() -> None:
    retailer = tiny_series([5.0] * 20, weekly=True)
    days = [retailer.last_day + timedelta(days=7 + i) for i in range(3)]
    plan = pl.DataFrame({"date": days, "store_id": ["North"] * 3, "promo": [1.0] * 3, "open": [0.0, 1.0, 1.0]})
    planned = replace(retailer, plan=plan, covariates=Covariates(known_future=["promo"]))
    frame, _ = planned.features([retailer.last_day])
    row = frame.filter((pl.col("horizon") == 1) & ~pl.col("training")).row(0, named=True)
    assert row["promo"] == pytest.approx(3 / 7)
    assert row["expected_open"] == pytest.approx(6 / 7)


@pytest.mark.parametrize(("starts", "dated_by"), [("monday", "last"), ("saturday", "first"), ("saturday", "last")])
def test_weeks_have_the_features_of_their_days_whatever_dates_them(starts: str, dated_by: str) -> None:
    """The same weeks under other dates, the plan by week or by day: only what reads the date itself differs."""
    units = [float(5 + i % 3) for i in range(120)]
    usual = replace(
        tiny_series(units, weekly=True), frequency="weekly totals", covariates=Covariates(known_future=["promo"])
    )
    weeks = [usual.last_day + timedelta(weeks=n) for n in (-3, -1, 1, 2)]
    usual = replace(usual, plan=pl.DataFrame({"date": weeks, "promo": 1.0, "open": [1.0, 1.0, 0.0, 1.0]}))
    moved = timedelta(days=(5 if starts == "saturday" else 0) + (6 if dated_by == "last" else 0))
    other = replace(
        usual,
        frequency=f"weekly totals from {starts} dated by {dated_by}",
        demand=usual.demand.with_columns(pl.col("date") + moved),
        plan=usual.plan.with_columns(pl.col("date") + moved),
    )
    days = pl.concat(usual.plan.with_columns(pl.col("date") + timedelta(n)) for n in range(7))
    by_day = replace(usual, frequency="weekly", plan=days)
    expected, others = (one.features([one.last_day])[0] for one in (usual, by_day))
    assert_frame_equal(others, expected)
    row = expected.filter((pl.col("horizon") == 1) & ~pl.col("training")).row(0, named=True)
    assert (row["promo"], row["expected_open"]) == (1.0, 0.0)
    found, contract = other.features([other.last_day])
    found, expected = (
        frame.filter(~pl.col("training")).drop("day_of_month", "day_of_year") for frame in (found, expected)
    )
    assert_frame_equal(found.with_columns(pl.col("forecast_origin", "date") - moved), expected)
    assert FeatureContract.from_json(contract.to_json()).inputs.frequency == other.frequency


def test_a_short_month_has_a_lower_base_level() -> None:
    months = [date(2021 + n // 12, n % 12 + 1, 1) for n in range(36)]
    days = [(months[n + 1] - month).days if n < 35 else 31 for n, month in enumerate(months)]
    demand = tiny_series([2.0 * n for n in days]).demand.with_columns(pl.Series("date", months))
    retailer = replace(tiny_series([1.0]), demand=demand, frequency="monthly", horizon=3)
    frame, _ = retailer.features([retailer.last_day])
    ahead = frame.filter(~pl.col("training")).sort("horizon")
    assert ahead["date"].to_list() == [date(2024, month, 1) for month in (1, 2, 3)]
    assert ahead["base_level"].to_list() == pytest.approx([62, 58, 62], rel=1e-3)
    assert ahead["mean_2"].to_list() == pytest.approx([1, 1, 1], rel=1e-3)


def test_categories_keep_their_codes_when_new_ones_come(retailer: Retailer) -> None:
    """A champion trained before a shop opened reads the frame made after: the new shop is unknown to it."""
    before = replace(retailer, demand=retailer.demand.filter(pl.col("store_id") != "North"))
    _, old = before.features([before.last_day])
    frame, new = retailer.features([retailer.last_day], previous=old)
    assert new.categories["store"][: len(old.categories["store"])] == old.categories["store"]
    assert "North" in new.categories["store"]
    column = old.model_columns.index("store")
    read = old.matrix(frame)[:, column]
    assert np.isnan(read[(frame["store_id"] == "North").to_numpy()]).all()
    assert (read[(frame["store_id"] == "South").to_numpy()] == 0).all()


def test_sales_without_a_single_unit_are_an_error_that_names_the_repair() -> None:
    retailer = tiny_series([0.0] * 60)
    with pytest.raises(ContractError, match=r"60 rows and not one unit sold.*check which column sales.columns says"):
        retailer.features([retailer.last_day])


def test_an_expression_reads_one_row_if_all_of_its_parts_do():
    from demand_forecast.domain.features.build import _reads_one_row

    units = pl.col("units")
    alone = (units + 1, pl.mean_horizontal(units, "price").log(), pl.when(units > 0).then("price").otherwise(1))
    further = (units.shift(1) + 1, units.forward_fill() * 2, pl.when(units.cum_sum() > 0).then(1), units - units.mean())
    assert [_reads_one_row(each) for each in (*alone, *further)] == [True] * 3 + [False] * 4
