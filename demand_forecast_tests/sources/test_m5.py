import gzip
import zipfile
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from demand_forecast.domain.tables import now
from demand_forecast.settings import Settings
from demand_forecast.sources.collecting.history import span
from demand_forecast.sources.collecting.index import KNOWN, known_sales
from demand_forecast.sources.collecting.inputs import collect_inputs
from demand_forecast.sources.collecting.pending_days import pending_days
from demand_forecast.sources.collecting.pending_files import PendingFiles
from demand_forecast.sources.collecting.sales import collect_sales
from demand_forecast.sources.errors import SourceError
from demand_forecast.sources.landing import Landing

Configure = Callable[[dict[str, Any]], Settings]

FIRST = date(2011, 1, 29)
UNITS = {
    ("CA_1", "FOODS_1_001"): [0, 0, 3, 1, 0],
    ("TX_2", "FOODS_1_001"): [2, 0, 0, 0, 5],
    ("CA_1", "HOBBIES_1_001"): [1] * 5,
}


def m5_files(days: int = 5) -> dict[str, str]:
    """The three CSVs by name: three series, `days` days of sales, a calendar of 14 days in two weeks."""
    head = ["id,item_id,dept_id,cat_id,store_id,state_id," + ",".join(f"d_{day}" for day in range(1, days + 1))]
    for (store, item), units in UNITS.items():
        department = item.rsplit("_", 1)[0]
        names = [f"{item}_{store}_evaluation", item, department, department.split("_")[0], store, store.split("_")[0]]
        head.append(",".join([*names, *map(str, units[:days])]))
    calendar = [
        "date,wm_yr_wk,weekday,wday,month,year,d,event_name_1,event_type_1,event_name_2,event_type_2,snap_CA,snap_TX"
    ]
    for day in range(14):
        events = {3: "SuperBowl,Sporting,,", 4: "Easter,Cultural,OrthodoxEaster,Religious"}.get(day, ",,,")
        moment = FIRST + timedelta(day)
        snap = f"{int(day % 2 == 0)},{int(day == 1)}"
        calendar.append(f"{moment},{11101 + day // 7},x,1,1,2011,d_{day + 1},{events},{snap}")
    prices = ["store_id,item_id,wm_yr_wk,sell_price", "CA_1,FOODS_1_001,11101,2.5", "CA_1,FOODS_1_001,11102,2.75"]
    texts = {"sales_train_evaluation.csv": head, "calendar.csv": calendar, "sell_prices.csv": prices}
    return {name: "\n".join(lines) + "\n" for name, lines in texts.items()}


def write_m5(folder: Path, kind: str, days: int = 5) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in m5_files(days).items():
        if kind == "plain":
            (folder / name).write_text(text, encoding="utf-8")
        elif kind == "gz":
            (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
        else:
            with zipfile.ZipFile(folder / "m5-forecasting-accuracy.zip", "a") as archive:
                archive.writestr(name, text)


def sales(settings: Settings, known: pl.DataFrame | None = None, days: tuple[date, date] | None = None) -> pl.DataFrame:
    empty = pl.DataFrame(schema=KNOWN)
    frames = list(collect_sales(settings, empty if known is None else known, days, now()))
    return pl.concat(frames) if frames else pl.DataFrame()


@pytest.mark.parametrize("kind", ["plain", "gz", "zip"])
def test_a_row_for_every_series_and_day(tmp_path: Path, configure: Configure, kind: str) -> None:
    write_m5(tmp_path / "m5", kind)
    frame = sales(configure({"source": {"kind": "m5", "path": "m5"}}))
    expected = {
        (str(FIRST + timedelta(day)), store, item, str(units))
        for (store, item), series in UNITS.items()
        for day, units in enumerate(series)
    }
    assert frame.height == len(expected)
    assert {*frame.select("date", "store_id", "product_id", "units").iter_rows()} == expected
    assert frame.filter(product_id="HOBBIES_1_001")["line"].unique().to_list() == [4]
    assert frame["report"].unique().to_list() == ["sales"]


def test_the_zip_itself_may_be_named(tmp_path: Path, configure: Configure) -> None:
    write_m5(tmp_path / "m5", "zip")
    settings = configure({"source": {"kind": "m5", "path": "m5/m5-forecasting-accuracy.zip"}})
    assert span(settings) == (FIRST, FIRST + timedelta(4))


def test_new_days_are_all_that_a_longer_file_brings(tmp_path: Path, configure: Configure) -> None:
    settings = configure({"source": {"kind": "m5", "path": "m5"}})
    write_m5(tmp_path / "m5", "plain", days=3)
    known = known_sales(sales(settings).lazy())
    assert pending_days(settings, known) is None
    assert sales(settings, known).is_empty()
    write_m5(tmp_path / "m5", "plain", days=5)
    assert pending_days(settings, known) == (FIRST + timedelta(3), FIRST + timedelta(4))
    assert sales(settings, known)["day"].unique().sort().to_list() == [FIRST + timedelta(3), FIRST + timedelta(4)]


def test_days_taken_one_by_one_are_completed_later(tmp_path: Path, configure: Configure) -> None:
    settings = configure({"source": {"kind": "m5", "path": "m5"}})
    write_m5(tmp_path / "m5", "plain")
    part = sales(settings, days=(FIRST, FIRST))
    assert part["day"].unique().to_list() == [FIRST]
    rest = sales(settings, known_sales(part.lazy()))
    assert rest["day"].unique().sort().to_list() == [FIRST + timedelta(day) for day in range(1, 5)]


def test_a_longer_file_is_pending_for_its_days_and_a_part_for_the_rest(tmp_path: Path, configure: Configure) -> None:
    settings = configure({"source": {"kind": "m5", "path": "m5"}})
    write_m5(tmp_path / "m5", "plain", days=3)
    day = [FIRST + timedelta(number) for number in range(5)]

    def pending(known: pl.DataFrame, closed: tuple[date, date]) -> list[tuple[date, date]]:
        return [item.days for item in PendingFiles(settings, known, Landing(), closed).batch]

    part = known_sales(sales(settings, days=(day[1], day[1])).lazy())
    assert pending(part.clear(), (day[0], day[4])) == [(day[0], day[2])]
    assert pending(part, (day[1], day[4])) == [(day[2], day[2])]
    assert pending(part, (day[1], day[1])) == []
    known = known_sales(sales(settings).lazy())
    assert pending(known, (day[0], day[4])) == []
    write_m5(tmp_path / "m5", "plain", days=5)
    assert pending(known, (day[0], day[4])) == [(day[3], day[4])]


def test_products_stores_and_plan(tmp_path: Path, configure: Configure) -> None:
    settings = configure({"source": {"kind": "m5", "path": "m5"}})
    write_m5(tmp_path / "m5", "gz")
    products = collect_inputs(settings, "products", now())
    assert products.select("product_id", "dept_id", "cat_id").rows() == [
        ("FOODS_1_001", "FOODS_1", "FOODS"),
        ("HOBBIES_1_001", "HOBBIES_1", "HOBBIES"),
    ]
    stores = collect_inputs(settings, "stores", now())
    assert stores.select("store_id", "state_id").rows() == [("CA_1", "CA"), ("TX_2", "TX")]
    plan = collect_inputs(settings, "plan", now())
    prices = plan.filter(pl.col("price").is_not_null())
    assert prices.select("date", "store_id", "product_id", "price").rows() == [
        ("2011-01-29", "CA_1", "FOODS_1_001", "2.5"),
        ("2011-02-05", "CA_1", "FOODS_1_001", "2.75"),
    ]
    days = plan.filter(pl.col("price").is_null())
    assert days.height == 14 * 2
    assert days["product_id"].null_count() == days.height
    easter = days.filter(date="2011-02-02", store_id="TX_2")
    assert easter.select("event_name", "event_type", "snap").rows() == [
        ("Easter+OrthodoxEaster", "Cultural+Religious", "0")
    ]
    snap = {(row["date"], row["store_id"]): row["snap"] for row in days.to_dicts()}
    assert (snap["2011-01-29", "CA_1"], snap["2011-01-30", "CA_1"], snap["2011-01-30", "TX_2"]) == ("1", "0", "1")
    assert days.filter(date="2011-01-29")["event_name"].to_list() == [None, None]
    assert collect_inputs(settings, "stock", now()).is_empty()


def test_errors(tmp_path: Path, configure: Configure) -> None:
    settings = configure({"source": {"kind": "m5", "path": "m5"}})
    with pytest.raises(SourceError, match=r"m5: no such folder or zip; point source\.path"):
        span(settings)
    write_m5(tmp_path / "m5", "plain")
    (tmp_path / "m5" / "calendar.csv").write_text("date,d\n2011-01-29,d_1\n", encoding="utf-8")
    with pytest.raises(SourceError, match=r"calendar\.csv has no row for \['d_2'\]"):
        span(settings)
    (tmp_path / "m5" / "calendar.csv").unlink()
    with pytest.raises(SourceError, match=r"no calendar\.csv, \.csv\.gz or zip"):
        span(settings)
