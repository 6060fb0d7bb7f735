"""A retailer of two shops and three products, and its configuration, which changes from day to day."""

import sqlite3
from copy import deepcopy
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

FIRST, DAYS = date(2024, 1, 1), 550
SHOPS, PRODUCTS = ("North", "South"), ("Bread", "Milk", "Jam")
SALES = {"date": "day", "store_id": "shop", "product_id": "sku", "units": "qty", "price": "price"}
FIRST_CONFIG: dict[str, Any] = {
    "home": "home",
    "horizon": 14,
    "source": {
        "kind": "files",
        "sales": {"path": "sales/*.csv", "columns": SALES},
        "products": {"path": "products.csv"},
        "stores": {"path": "stores.csv"},
        "plan": {"path": "plan.csv", "columns": {"date": "day"}},
    },
    "training": {"candidates": ["seasonal_naive", "lightgbm"], "max_rows": 20_000},
    "promotion": {"max_bias": 1.0, "max_calibration_error": 1.0},  # what is shown here is not the gate
    "backtest": {"origins": 2},
    "automation": {"settle_seconds": 0},
}


class Retailer:
    """Its files below `folder`, and `config`, which `save` writes beside them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.config = folder, deepcopy(FIRST_CONFIG)
        (folder / "sales").mkdir(parents=True)
        self.sales = sales_of(SHOPS)
        for month, rows in self.sales.group_by(pl.col("day").dt.strftime("%Y-%m"), maintain_order=True):
            rows.write_csv(folder / "sales" / f"{month[0]}.csv")
        plan_of(FIRST, DAYS + 60).write_csv(folder / "plan.csv")
        ids = {"product_id": PRODUCTS, "department": ("bakery", "dairy", "bakery")}
        pl.DataFrame(ids).write_csv(folder / "products.csv")
        pl.DataFrame({"store_id": SHOPS, "city": ("Lund", "Malmo")}).write_csv(folder / "stores.csv")
        self.save()

    @property
    def file(self) -> Path:
        return self.folder / "config.yaml"

    def save(self) -> None:
        self.file.write_text(yaml.safe_dump(self.config, sort_keys=False), encoding="utf-8")

    def to_sql(self) -> None:
        """The same sales in a database, which does not count visitors, and the source reads them there."""
        tables = {name: pl.read_csv(self.folder / f"{name}.csv") for name in ("products", "stores", "plan")}
        with sqlite3.connect(self.folder / "sales.db") as base:
            for name, table in (tables | {"sales": self.sales.drop("visitors")}).items():
                base.execute(f"CREATE TABLE {name} ({', '.join(table.columns)})")
                rows = table.with_columns(pl.col(pl.Date).cast(pl.String)).rows()
                marks = ", ".join("?" * table.width)
                base.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)
        read: dict[str, Any] = {name: {"table": name} for name in (*tables, "sales")}
        read["plan"]["columns"], read["sales"]["columns"] = {"date": "day"}, SALES
        self.source.update({"kind": "sql", "url": "sqlite:///sales.db", **read})

    @property
    def source(self) -> dict[str, Any]:
        """The source that has the sales of the first day."""
        sources: list[dict[str, Any]] = self.config.get("sources") or [self.config["source"]]
        return next(one for one in sources if one["sales"].get("path") != "kiosk.csv")

    def covariates(self, **kinds: list[str]) -> None:
        """Exactly these covariates are declared from now on."""
        self.config["covariates"] = kinds

    def open_kiosk(self) -> None:
        """A shop of its own source, which stands before the others in the list."""
        sales_of(("Kiosk",), seed=11).write_csv(self.folder / "kiosk.csv")
        kiosk = {"kind": "files", "sales": {"path": "kiosk.csv", "columns": SALES}}
        self.config["sources"] = [kiosk, *(self.config.pop("sources", None) or [self.config.pop("source")])]
        stores = pl.read_csv(self.folder / "stores.csv")
        new = pl.DataFrame({"store_id": ["Kiosk"], "city": ["Lund"]})
        pl.concat([stores, new]).write_csv(self.folder / "stores.csv")


def sales_of(shops: tuple[str, ...], seed: int = 7) -> pl.DataFrame:
    """`day, shop, sku, price, qty, visitors`, a row for each shop, product and day."""
    draw, plan = np.random.default_rng(seed), plan_of(FIRST, DAYS)
    week = np.array([0.8, 0.8, 0.9, 1.0, 1.2, 1.5, 0.9])[np.arange(DAYS) % 7]
    parts = []
    for shop in shops:
        visitors = draw.poisson(200 * week)
        for number, product in enumerate(PRODUCTS):
            expected = (4 + 5 * number) * week * (1 + plan["promo"].to_numpy()) * visitors / (200 * week)
            columns = [pl.lit(shop).alias("shop"), pl.lit(product).alias("sku"), pl.lit(1.5 + number).alias("price")]
            drawn = [pl.Series("qty", draw.poisson(expected)), pl.Series("visitors", visitors)]
            parts.append(plan.select("day", *columns, *drawn))
    return pl.concat(parts).sort("day", "shop", "sku")


def plan_of(first: date, days: int) -> pl.DataFrame:
    """`day, promo, holiday` of every day."""
    numbers = np.arange(days)
    return pl.DataFrame(
        {
            "day": [first + timedelta(days=int(number)) for number in numbers],
            "promo": (numbers % 21 < 4).astype(int),
            "holiday": (numbers % 60 == 17).astype(int),
        }
    )
