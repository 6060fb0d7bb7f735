"""A retailer whose nights go wrong in every usual way: two shops report by file, one writes to a database."""

import shutil
import sqlite3
import time
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import yaml

FIRST = date(2026, 1, 5)
HISTORY = 140  # days before the first night
FILES, BOOKS = ("north", "south"), "east"
ITEMS = {"apple": 18.0, "bread": 30.0, "cheese": 9.0, "dates": 4.0, "eggs": 14.0, "flour": 6.0}
RHYTHM = (0.8, 0.8, 0.9, 1.0, 1.3, 1.6, 1.1)
GROWTH = 1.8  # of demand, once the market has moved
COLUMNS = {"date": "day", "store_id": "shop", "product_id": "item", "units": "sold", "price": "paid"}
HEADER = ",".join(COLUMNS.values())
Rows = list[tuple[str, str, str, int, float]]

SETTINGS: dict[str, Any] = {
    "home": "home",
    "name": "month",
    "horizon": 7,
    "training": {"candidates": ["seasonal_naive", "gradient_boosting"], "max_rows": 6000},
    "backtest": {"origins": 2},
    "promotion": {"max_bias": 0.5, "max_calibration_error": 0.3},  # a few months of three shops prove little
    "monitoring": {  # sped up: windows of three days in place of seven
        "window_days": 3,
        "retrain": {"windows": 3, "out": 2, "max_age_days": 60},
        "rollback": {"windows": 3, "lost": 2},
    },
    "automation": {"landing_interval": 2, "interval": 3, "settle_seconds": 1, "retry_minutes": 0.1},
}


@dataclass
class Shop:
    folder: Path
    moved: date = date.max  # from when on demand is another

    @property
    def landing(self) -> Path:
        return self.folder / "sales"

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.sqlite"

    def open(self, **changed: Any) -> None:
        """Writes configuration and history."""
        self.landing.mkdir(parents=True)
        books = {name: COLUMNS[name] for name in ("date", "store_id", "product_id", "units", "price")}
        sources = [
            {
                "kind": "files",
                "name": "tills",
                "sales": {"path": "sales/*.csv", "report": r"\d{4}-\d{2}-\d{2}(_late)?", "columns": COLUMNS},
            },
            {
                "kind": "sql",
                "name": "books",
                "url": "sqlite:///ledger.sqlite",
                "sales": {"table": "sales", "columns": books},
            },
        ]
        content = SETTINGS | {"sources": sources} | changed
        (self.folder / "config.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        with sqlite3.connect(self.ledger) as books_:
            books_.execute(f"create table sales ({HEADER})")
        for day in (FIRST + timedelta(days=number) for number in range(HISTORY)):
            self.land(day)

    def night(self, number: int) -> date:
        """The day that arrives in a night, from 1."""
        return FIRST + timedelta(days=HISTORY + number - 1)

    def rows(self, day: date, shops: tuple[str, ...], factor: float = 1.0) -> Rows:
        level = factor * RHYTHM[day.weekday()] * (GROWTH if day >= self.moved else 1.0)
        found = []
        for shop in shops:
            random = np.random.default_rng([day.toordinal(), *shop.encode()])
            found += [(str(day), shop, item, int(random.poisson(level * mean)), 2.5) for item, mean in ITEMS.items()]
        return found

    def report(self, name: str, rows: Rows, header: str = HEADER) -> Path:
        """Lands a file as a careful sender does: written beside, then moved."""
        file = self.landing / f"{name}.csv"
        part = file.with_suffix(".tmp")
        part.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows), ""]), encoding="utf-8")
        return part.rename(file)

    def write_slowly(self, name: str, rows: Rows, seconds: float) -> None:
        """Lands a file as a careless sender does: line by line under its own name."""
        lines = [HEADER, *(",".join(map(str, row)) for row in rows)]
        with (self.landing / f"{name}.csv").open("w", encoding="utf-8") as file:
            for line in lines:
                file.write(line + "\n")
                file.flush()
                time.sleep(seconds / len(lines))

    def book(self, rows: Rows) -> None:
        with sqlite3.connect(self.ledger) as books:
            books.executemany("insert into sales values (?, ?, ?, ?, ?)", rows)

    def land(self, day: date, factor: float = 1.0) -> None:
        """A day of all shops."""
        self.report(str(day), self.rows(day, FILES, factor))
        self.book(self.rows(day, (BOOKS,), factor))

    def take_ledger_away(self) -> None:
        shutil.move(self.ledger, self.ledger.with_suffix(".away"))

    def bring_ledger_back(self) -> None:
        shutil.move(self.ledger.with_suffix(".away"), self.ledger)
