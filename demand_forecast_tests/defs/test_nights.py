"""Night after night against all at once: the same tables, and only the days that something touched are made again."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from demand_forecast.defs.clean.assets import attributes, cleaned_sales
from demand_forecast.defs.features.assets import daily_demand, first_sales, read_heard
from demand_forecast.defs.features.checks import every_store_is_heard_of, newest_day_is_usual, no_exceptional_order
from demand_forecast.defs.project import Project, known_deliveries, settings_of
from demand_forecast.defs.raw.assets import raw_inputs
from demand_forecast.domain.tables import now
from demand_forecast.sources.collecting.sales import collect_sales
from demand_forecast_tests.landing_files import FIRST_DAY, write_config, write_reports

DAYS = 30
NEXT = FIRST_DAY + timedelta(days=DAYS)
LATE = FIRST_DAY + timedelta(days=20)
SOURCE = {
    "kind": "files",
    "sales": {
        "path": "landing/*.csv",
        "report": r"\d{4}-\d{2}-\d{2}(_late)?",
        "columns": {"date": "day", "store_id": "shop", "product_id": "sku", "units": "qty", "price": "price"},
    },
    "products": {"path": "products.csv"},
    "plan": {"path": "plan.csv"},
    "stock": {"path": "stock.csv"},
}


def function_of(asset: dg.AssetsDefinition) -> Callable[..., Any]:
    """Called itself, an asset makes a Dagster instance first: most of a night."""
    return asset.op.compute_fn.decorated_fn


CONTEXT = dg.build_asset_context()


class Shop:
    """A retailer's files, and a lake that is filled from them."""

    def __init__(self, folder: Path, home: str, **keys: object) -> None:
        self.folder = folder
        config = write_config(folder, sources=[SOURCE], home=home, **keys)
        settings_of.cache_clear()
        self.project = Project(config=str(config.rename(folder / f"{home}.yaml")))
        self.lake = self.project.lake

    def report(self, name: str, *rows: str) -> None:
        (self.folder / "landing" / f"{name}.csv").write_text("\n".join(["day,shop,sku,qty,price", *rows, ""]))

    def add(self, table: str, row: str) -> None:
        with (self.folder / f"{table}.csv").open("a") as file:
            file.write(row + "\n")

    def night(self) -> "Shop":
        project, context = self.project, CONTEXT
        self.lake.append("raw_sales", collect_sales(project.settings, known_deliveries(self.lake), None, now()))
        for asset in raw_inputs:
            function_of(asset)(project=project)
        for asset in attributes:
            function_of(asset)(context, project=project)
        list(function_of(cleaned_sales)(context, project=project))
        function_of(daily_demand)(context, project=project)
        return self

    @property
    def made_since(self) -> date:
        return date.fromisoformat(self.lake.notes("daily_demand").get("since", str(date.min)))


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undrawn: pytest.MonkeyPatch) -> Shop:
    """Thirty days have been collected."""
    monkeypatch.delenv("DEMAND_FORECAST_HOME", raising=False)
    write_reports(tmp_path, DAYS)
    (tmp_path / "products.csv").write_text("product_id\napple\nbread\ncheese\n")
    (tmp_path / "plan.csv").write_text(f"date,product_id,price\n{FIRST_DAY},apple,1.5\n")
    (tmp_path / "stock.csv").write_text(f"date,store_id,product_id,in_stock\n{FIRST_DAY},north,apple,1\n")
    return Shop(tmp_path, "home").night()


def a_new_day(shop: Shop) -> None:
    write_reports(shop.folder, 1, NEXT)


def three_new_days(shop: Shop) -> None:
    write_reports(shop.folder, 3, NEXT)


def a_corrected_report(shop: Shop) -> None:
    shop.report(f"{LATE}", f"{LATE},north,apple,99,1.5", f"{LATE},south,bread,1,2")


def late_rows(shop: Shop) -> None:
    shop.report(f"{LATE}_late", f"{LATE},north,bread,5,2.2")


def a_shop_that_opens(shop: Shop) -> None:
    shop.report(f"{NEXT}", f"{NEXT},west,apple,3,1.5", f"{NEXT},north,apple,7,1.5")


def a_first_sale_before_the_others(shop: Shop) -> None:
    shop.report(f"{LATE}_late", f"{LATE},west,bread,5,2.2")


def a_price_changed_in_the_plan(shop: Shop) -> None:
    shop.add("plan", f"{LATE},apple,1.1")


def a_stock_report(shop: Shop) -> None:
    shop.add("stock", f"{LATE},south,cheese,0.2")


def a_store_that_is_silent_for_days(shop: Shop) -> None:
    """Eight days, after which chance is out: days before tonight's are unknown, too."""
    for number in range(8):
        day = NEXT + timedelta(days=number)
        shop.report(f"{day}", f"{day},north,apple,7,1.5")


def a_night_without_sales(shop: Shop) -> None:
    shop.report(f"{NEXT}")


def a_night_of_refused_lines(shop: Shop) -> None:
    shop.report(f"{NEXT}", f"{NEXT},north,apple,x,1.5", f"{NEXT},north,pear,4,1.5")


NIGHTS: dict[Callable[[Shop], None], date] = {
    a_new_day: NEXT,
    three_new_days: NEXT,
    a_corrected_report: LATE,
    late_rows: LATE,
    a_shop_that_opens: NEXT,
    a_first_sale_before_the_others: LATE,
    a_price_changed_in_the_plan: LATE,
    a_stock_report: LATE,
    a_store_that_is_silent_for_days: NEXT,
    a_night_without_sales: date.min,
    a_night_of_refused_lines: date.min,
}
OFTEN = {a_new_day, a_corrected_report, a_shop_that_opens, a_price_changed_in_the_plan, a_night_of_refused_lines}


def require_equal(shop: Shop) -> None:
    """The tables are those of a lake that saw all files at once; no line is lost."""
    whole = Shop(shop.folder, "whole").night().lake
    for table, key in (("clean_sales", ["file", "line"]), ("daily_demand", ["store_id", "product_id", "date"])):
        found, expected = shop.lake.read(table).sort(key), whole.read(table).sort(key)
        assert_frame_equal(found.select(expected.columns), expected)
    assert_frame_equal(first_sales(shop.lake), first_sales(whole), check_row_order=False)
    counts = {name: shop.lake.read(name).height for name in ("raw_sales", "clean_sales", "rejected_sales")}
    assert counts["raw_sales"] == counts["clean_sales"] + counts["rejected_sales"]


@pytest.mark.parametrize(
    "happens",
    [happens if happens in OFTEN else pytest.param(happens, marks=pytest.mark.slow) for happens in NIGHTS],
    ids=lambda happens: happens.__name__,
)
def test_a_night_makes_the_days_it_touches_and_leaves_the_rest(shop: Shop, happens: Callable[[Shop], None]) -> None:
    before = shop.lake.version("daily_demand")
    happens(shop)
    shop.night()
    assert shop.made_since == NIGHTS[happens]
    assert shop.lake.first_change("daily_demand", before) == (None if NIGHTS[happens] == date.min else NIGHTS[happens])
    require_equal(shop)


def test_a_silence_night_by_night(shop: Shop) -> None:
    """A store is late; its days are unknown from the night on that says so, and known again when its file arrives."""
    days = [NEXT + timedelta(days=number) for number in range(9)]
    for day in days:
        shop.report(f"{day}", f"{day},north,apple,7,1.5")
        shop.night()
    require_equal(shop)
    unknown = shop.lake.read("daily_demand").filter(pl.col("units").is_null())
    assert set(unknown.select("store_id", "date").rows()) == {("south", day) for day in days}
    (silence,) = read_heard(shop.lake)
    assert str(silence) == f"store south: no line since {NEXT - timedelta(days=1)}, usual on every day"
    found = function_of(every_store_is_heard_of)(project=shop.project)
    assert (found.passed, found.description) == (False, str(silence))
    shop.report(f"{days[4]}_late", *(f"{day},south,apple,12,1.5" for day in days))
    shop.night()
    require_equal(shop)
    assert shop.made_since == NEXT
    assert shop.lake.read("daily_demand")["units"].null_count() == 0


def test_a_store_of_which_little_arrived_is_named(shop: Shop) -> None:
    write_reports(shop.folder, 3, NEXT)
    friday = NEXT + timedelta(days=2)
    whole = (shop.folder / "landing" / f"{friday}.csv").read_text().splitlines()
    shop.report(f"{friday}", *(row for row in whole[1:] if "south" not in row), f"{friday},south,bread,1,2.25")
    shop.night()
    found = function_of(newest_day_is_usual)(project=shop.project)
    assert not found.passed
    assert found.description.endswith("; store south: 1, 66 usual")


def test_an_exceptional_order_is_named_and_its_units_stay(shop: Shop) -> None:
    days = [NEXT + timedelta(days=number) for number in range(40)]
    for day in days:
        shop.report(f"{day}", f"{day},north,apple,7,1.5", f"{day},south,apple,{4000 if day == days[30] else 9},1.5")
    shop.night()
    shop.report(f"{days[-1]}_late", f"{days[-1]},north,bread,1,2")
    shop.night()
    require_equal(shop)
    odd = shop.lake.read("daily_demand").filter(pl.col("in_stock").is_null())
    assert odd.select("store_id", "product_id", "date", "units").rows() == [("south", "apple", days[30], 4000.0)]
    found = function_of(no_exceptional_order)(project=shop.project)
    assert found.description.startswith(f"store south, product apple, {days[30]}: 4,000 units, ")


def test_a_product_sold_by_the_gram_from_now_on_is_not_rejected_for_ever(shop: Shop) -> None:
    for number in range(60):
        day = NEXT + timedelta(days=number)
        shop.report(f"{day}", *(f"{day},{store},apple,7,1.5" for store in ("north", "south")))
    shop.night()
    counts = []
    for number in range(60, 65):
        day = NEXT + timedelta(days=number)
        shop.report(f"{day}", f"{day},north,apple,9000,1.5", f"{day},south,apple,7,1.5")
        shop.night()
        require_equal(shop)
        counts.append(shop.lake.read("rejected_sales").height)
    assert counts == [1, 2, 0, 0, 0]


def test_the_same_night_twice_changes_no_table(shop: Shop) -> None:
    a_new_day(shop)
    versions = shop.night().lake.versions(["clean_sales", "rejected_sales", "daily_demand"])
    assert shop.night().lake.versions(versions) == versions


def test_a_product_that_is_listed_later_counts_from_its_first_line(shop: Shop) -> None:
    shop.report(f"{LATE}_late", f"{LATE},north,pear,5,2.2")
    assert shop.night().lake.read("rejected_sales")["reason"].to_list() == ["unknown_product"]
    shop.add("products", "pear")
    a_new_day(shop)
    shop.night()
    assert (shop.made_since, shop.lake.read("rejected_sales").height) == (LATE, 0)
    require_equal(shop)


def test_a_product_taken_from_the_list_counts_no_more(shop: Shop) -> None:
    (shop.folder / "products.csv").write_text("product_id\napple\nbread\n")
    shop.night()
    require_equal(shop)
    assert "cheese" not in shop.lake.read("daily_demand")["product_id"].unique()


def test_a_night_that_died_between_two_tables_is_made_up_for(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    a_corrected_report(shop)
    replace_since = type(shop.lake).replace_since

    def dying(lake, table, *rest, **more):  # type: ignore[no-untyped-def]
        if table == "clean_sales":
            raise KeyboardInterrupt
        return replace_since(lake, table, *rest, **more)

    with monkeypatch.context() as patched:
        patched.setattr(type(shop.lake), "replace_since", dying)
        with pytest.raises(KeyboardInterrupt):
            shop.night()
    a_new_day(shop)
    shop.night()
    assert shop.made_since == LATE
    require_equal(shop)


@pytest.mark.parametrize(
    "keys", [{"frequency": "weekly", "horizon": 2}, pytest.param({"missing_day": "closed"}, marks=pytest.mark.slow)]
)
def test_other_retailers(tmp_path: Path, keys: dict[str, object], shop: Shop) -> None:
    other = Shop(tmp_path, "other", **keys).night()
    three_new_days(shop)
    a_corrected_report(shop)
    other.night()
    whole = Shop(tmp_path, "whole", **keys).night()
    tables = [lake.read("daily_demand").sort("store_id", "product_id", "date") for lake in (other.lake, whole.lake)]
    assert_frame_equal(*tables)


def test_another_rule_of_cleaning_asks_every_line_again(shop: Shop) -> None:
    stricter = Shop(shop.folder, "home", cleaning={"max_units": 10}).night()
    assert "absurd_units" in stricter.lake.read("rejected_sales")["reason"]
    assert stricter.lake.read("daily_demand")["units"].max() <= 10
