"""A retailer as it lies on a disk: a report of two shops and three products a day, and its configuration."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import yaml

FIRST_DAY = date(2025, 3, 3)
CONFIG: dict[str, Any] = {
    "home": "home",
    "horizon": 7,
    "sources": [
        {
            "kind": "files",
            "sales": {
                "path": "landing/*.csv",
                "columns": {"date": "day", "store_id": "shop", "product_id": "sku", "units": "qty", "price": "price"},
            },
        }
    ],
    "training": {"candidates": ["seasonal_naive", "gradient_boosting"]},
    "backtest": {"origins": 2},
}


def write_config(folder: Path, **changed: Any) -> Path:
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(CONFIG | changed), encoding="utf-8")
    return file


def write_reports(folder: Path, days: int, first: date = FIRST_DAY) -> None:
    """One CSV file a day; sales rise towards the weekend."""
    (folder / "landing").mkdir(exist_ok=True)
    for day in (first + timedelta(days=number) for number in range(days)):
        rows = [
            f"{day},{shop},{sku},{level + 3 * day.weekday() + day.day % 3},{price}"
            for shop, level in (("north", 4), ("south", 9))
            for sku, price in (("apple", 1.5), ("bread", 2.25), ("cheese", 6))
        ]
        text = "\n".join(["day,shop,sku,qty,price", *rows])
        (folder / "landing" / f"{day}.csv").write_text(text + "\n", encoding="utf-8")
