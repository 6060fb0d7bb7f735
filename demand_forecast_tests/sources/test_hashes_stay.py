"""Hashes that homes of today hold, spelt out: with others every file would be read and requested again."""

import hashlib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from demand_forecast.settings import Settings
from demand_forecast.sources.collecting.index import KNOWN
from demand_forecast.sources.collecting.inputs import inputs_mark
from demand_forecast.sources.collecting.pending_files import PendingFiles
from demand_forecast.sources.configured import deliveries
from demand_forecast.sources.landing import Landing

Configure = Callable[[dict[str, Any]], Settings]
M5 = {
    "sales_train_evaluation.csv": "id,item_id,dept_id,cat_id,store_id,state_id,d_1\nx,F_1,F,F,CA_1,CA,3\n",
    "calendar.csv": "date,wm_yr_wk,d,event_name_1,event_type_1,event_name_2,event_type_2,snap_CA\n"
    "2011-01-29,11101,d_1,,,,,0\n",
    "sell_prices.csv": "store_id,item_id,wm_yr_wk,sell_price\nCA_1,F_1,11101,2.5\n",
}


def hashes(settings: Settings, table: str) -> list[str]:
    return [delivery.file_hash for delivery in deliveries(settings, table, Landing())]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_of_files(configure: Configure, tmp_path: Path) -> None:
    sales, products = "Date;SKU;Qty;customers\n2024-01-01;P1;1,5;80\n2024-01-02;P1;2;81\n", "SKU,department\nP1,Toys\n"
    (tmp_path / "sales.csv").write_text(sales)
    (tmp_path / "products.csv").write_text(products)
    columns = {"date": "Date", "product_id": "SKU", "units": "Qty", "store_id": {"value": "all"}}
    source = {
        "kind": "files",
        "sales": {"path": "sales*.csv", "delimiter": ";", "decimal": ",", "report": "sales", "columns": columns},
        "products": {"path": "products.csv", "columns": {"product_id": "SKU"}},
    }
    settings = configure({"source": source, "covariates": {"past_only": ["customers"], "static": ["department"]}})
    assert hashes(settings, "sales") == [f"{sha(sales.encode())}-fd912f40"]
    assert hashes(settings, "products") == [f"{sha(products.encode())}-90004f32"]
    assert inputs_mark(settings, "products", Landing()) == "3783a3b5a0c59173993fb27115672051"
    january = date(2024, 1, 1), date(2024, 1, 31)
    (pending,) = PendingFiles(settings, pl.DataFrame(schema=KNOWN), Landing(), january).batch
    assert (pending.id, pending.days, pending.collected) == ("e72914277daf", (january[0], date(2024, 1, 2)), "")


def test_of_an_sqlite_file_and_its_log(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "till.sqlite").write_bytes(b"a database")
    columns = {"date": "day", "product_id": "sku", "units": "qty", "store_id": {"value": 1}}
    sales = {"table": "till", "columns": columns}
    settings = configure({"source": {"kind": "sql", "url": "sqlite:///till.sqlite", "sales": sales}})
    assert hashes(settings, "sales") == [f"{sha(b'a database')}-6d07e37d"]
    (tmp_path / "till.sqlite-wal").write_bytes(b"log")
    assert hashes(settings, "sales") == [f"{sha(b'a database')}-a95c6aba"]


def test_of_the_m5_layout(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "m5").mkdir()
    for name, text in M5.items():
        (tmp_path / "m5" / name).write_text(text)
    settings = configure({"source": {"kind": "m5", "path": "m5"}})
    assert hashes(settings, "sales") == [f"{sha(M5['sales_train_evaluation.csv'].encode())}-686e20d9"]
    assert [hashes(settings, table) for table in ("products", "stores", "plan", "stock")] == [[""], [""], ["", ""], []]
    assert inputs_mark(settings, "stock", Landing()) == "4f53cda18c2baa0c0354bb5f9a3ecbe5"
