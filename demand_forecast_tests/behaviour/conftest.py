"""Small retailers written as files, run through the command line or, without an orchestrator, in this process."""

import os
import shutil
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from demand_forecast.domain.cleaning.inputs import (
    InputReading,
    clean_plan,
    clean_products,
    clean_stores,
    require_static,
)
from demand_forecast.domain.cleaning.rules import clean_sales
from demand_forecast.domain.demand.panel import build_daily_demand
from demand_forecast.domain.evaluation.backtest import backtest_origins
from demand_forecast.domain.features import build_demand_features
from demand_forecast.domain.models import create
from demand_forecast.domain.models.training_rows import training_rows
from demand_forecast.domain.tables import now
from demand_forecast.lake.tables import Lake
from demand_forecast.settings import Settings, load_settings
from demand_forecast.sources.collecting.index import KNOWN
from demand_forecast.sources.collecting.inputs import collect_inputs
from demand_forecast.sources.collecting.sales import collect_sales
from demand_forecast.sources.configured import date_readings, decimals
from demand_forecast.sources.delivery import InputTable
from demand_forecast_tests.conftest import Once
from demand_forecast_tests.terminal import Command

MONDAY = date(2025, 1, 6)
RHYTHM = (0.7, 0.7, 0.9, 1.0, 1.4, 1.8, 1.1)  # Monday to Sunday
COLUMNS = {"date": "day", "store_id": "shop", "product_id": "item", "units": "sold", "price": "paid"}
RELIED_ON = ("raw_sales", "backtest_metrics", "promotion_ledger", "demand_forecast", "reorder_plan")
QUICK = {
    "home": "home",
    "horizon": 7,
    "training": {"candidates": ["seasonal_naive", "gradient_boosting"], "max_rows": 2000},
    "backtest": {"origins": 2},
    "promotion": {"max_bias": 1.0, "max_calibration_error": 1.0},  # two months prove little
}


def sales_rows(days: int, shops: Mapping[str, list[str]], first: date = MONDAY, seed: int = 5) -> list[str]:
    """CSV lines `day,shop,item,sold,paid`: every item of every shop on every day, with a weekly rhythm."""
    random = np.random.default_rng(seed)
    dates = [first + timedelta(days=n) for n in range(days)]
    return [
        f"{day},{shop},{item},{random.poisson(9 * RHYTHM[day.weekday()] / (1 + place))},2.5"
        for day in dates
        for shop, items in shops.items()
        for place, item in enumerate(items)
    ]


def csv(rows: list[str], header: str = "day,shop,item,sold,paid") -> str:
    return "\n".join([header, *rows]) + "\n"


def files_source(**more: Any) -> dict[str, Any]:
    return {"kind": "files", "name": "tills", "sales": {"path": "sales/*", "columns": COLUMNS}} | more


@dataclass(frozen=True)
class Outcome:
    """Exit status of the command, and all that it said on the terminal."""

    status: int
    said: str

    def failed_with(self, *words: str) -> None:
        """Asserts a failure for people: with these words, without a traceback."""
        missing = [word for word in words if word not in self.said]
        assert not missing, f"{missing} not in:\n{self.said}"
        assert "Traceback" not in self.said, self.said
        assert self.status == 1, self.said


def outcome_of(command: Command) -> Outcome:
    said = command.wait()
    return Outcome(command.status, said)


@dataclass(frozen=True)
class Shopkeeper:
    """A retailer in a folder: its files, its configuration, its home."""

    folder: Path

    def write(self, name: str, content: str | bytes) -> Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def configure(self, **keys: Any) -> "Shopkeeper":
        """Writes config.yaml: quick settings, sales from `sales/*`, and `keys`."""
        source = {} if "sources" in keys else {"source": files_source()}
        self.write("config.yaml", yaml.safe_dump(QUICK | source | keys, allow_unicode=True))
        return self

    def reconfigure(self, **keys: Any) -> "Shopkeeper":
        known = yaml.safe_load((self.folder / "config.yaml").read_text(encoding="utf-8"))
        self.write("config.yaml", yaml.safe_dump(known | keys, allow_unicode=True))
        return self

    def start(self, *command: str) -> Command:
        """`demand-forecast run`, or another command."""
        environment = os.environ | {"COLUMNS": "200"}
        return Command((*(command or ("run",)), "--config", str(self.folder / "config.yaml")), self.folder, environment)

    def run(self, *command: str) -> Outcome:
        return outcome_of(self.start(*command))

    @property
    def settings(self) -> Settings:
        return load_settings(self.folder / "config.yaml")

    @property
    def lake(self) -> Lake:
        return Lake(self.folder / "home" / "lake")

    def table(self, name: str) -> pl.DataFrame:
        return self.lake.read(name)

    def champion(self) -> str | None:
        """The version that the registry's alias names, as any SQLite client sees it."""
        with sqlite3.connect(self.folder / "home" / "mlflow" / "mlflow.db") as registry:
            found = registry.execute("select version from registered_model_aliases where alias = 'champion'").fetchone()
        return str(found[0]) if found else None

    def bad_night(self, *words: str, job: str = "run") -> str:
        """Runs `job`; asserts a failure with `words` that leaves what people rely on as it was. Gives what it said."""
        before, outcome = self._holdings(), self.run(job)
        outcome.failed_with(*words)
        assert self._holdings() == before
        return outcome.said

    def _holdings(self) -> dict[str, Any]:
        serving = self.folder / "home" / "serving"
        return {
            "versions": self.lake.versions(RELIED_ON),
            "content": {name: sorted(self.table(name).hash_rows().to_list()) for name in RELIED_ON},
            "champion": self.champion(),
            "served": sorted((file.name, file.stat().st_size) for file in serving.rglob("*") if file.is_file()),
        }


@dataclass(frozen=True)
class Night:
    """What a retailer's files become, table by table."""

    kept: pl.DataFrame
    rejected: pl.DataFrame
    demand: pl.DataFrame
    features: pl.DataFrame
    forecast: pl.DataFrame


def night(settings: Settings, model: str = "gradient_boosting") -> Night:
    """The nightly path from files to a forecast, by the same functions as the assets, without an orchestrator."""
    inputs: dict[InputTable, pl.DataFrame] = {
        table: collect_inputs(settings, table, now()) for table in ("products", "stores", "plan")
    }
    require_static(settings.covariates, inputs["products"], inputs["stores"])
    products, stores, plan = (
        clean(inputs[table], InputReading(settings.covariates, settings.cleaning, decimals(settings, table)))
        for clean, table in ((clean_products, "products"), (clean_stores, "stores"), (clean_plan, "plan"))
    )
    kept, rejected = cleaned(settings, products, stores)
    demand = build_daily_demand(
        kept,
        None,
        plan,
        frequency=settings.frequency,
        missing_day=settings.missing_day,
        past_only=settings.covariates.past_only,
    )
    last: date = demand["date"].max()  # type: ignore[assignment]
    known = {"horizon": settings.horizon, "frequency": settings.frequency}
    origins = backtest_origins(demand["date"].min(), last, count=1, **known)  # type: ignore[arg-type]
    features, contract = build_demand_features(
        demand,
        plan,
        products,
        stores,
        covariates=settings.covariates,
        origins=[*origins, last],
        training=settings.training,
        seed=settings.seed,
        **known,  # type: ignore[arg-type]
    )
    fitted = create(model, threads=1).fit(training_rows(features, last), contract)
    ahead = features.filter(~pl.col("training") & (pl.col("forecast_origin") == last))
    return Night(kept, rejected, demand, features, fitted.forecast(ahead))


def cleaned(settings: Settings, products: pl.DataFrame, stores: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    raw = list(collect_sales(settings, pl.DataFrame(schema=KNOWN), None, now()))
    return clean_sales(
        pl.concat(raw, how="diagonal"),
        cleaning=settings.cleaning,
        products=products["product_id"] if len(products) else None,
        stores=stores["store_id"] if len(stores) else None,
        past_only=settings.covariates.past_only,
        dates=date_readings(settings),
        decimals=decimals(settings),
        history_start=settings.history_start,
    )


def _united(folder: Path) -> Shopkeeper:
    """Odd in every way that must not matter: two sources, a constant store, ids like numbers, a product of one day."""
    retailer = Shopkeeper(folder)
    kiosk = [f"{row},{n % 7 + 1}" for n, row in enumerate(sales_rows(56, {"-": ["007", "0042"]}))]
    kiosk.append(f"{MONDAY + timedelta(days=55)},-,1e5,4,2.5,3")
    retailer.write("sales/kiosk.csv", csv(kiosk, "day,shop,item,sold,paid,visitors"))
    with sqlite3.connect(folder / "ledger.sqlite") as ledger:
        ledger.execute("create table sales (day text, shop text, item text, sold integer)")
        sold = [row.split(",")[:4] for row in sales_rows(56, {"Zürich": ["茶", "007"]}, seed=6)]
        ledger.executemany("insert into sales values (?, ?, ?, ?)", sold)
    promotions = [f"{MONDAY + timedelta(days=n)},007,{int(n % 9 == 0)}" for n in range(56 + 7)]
    retailer.write("promotions.csv", csv(promotions, "day,item,promo"))
    plan = {"path": "promotions.csv", "columns": {"date": "day", "product_id": "item", "promo": "promo"}}
    sales = {"path": "sales/*", "columns": COLUMNS | {"store_id": {"value": "001"}, "visitors": "visitors"}}
    books = {"table": "sales", "columns": {name: COLUMNS[name] for name in ("date", "store_id", "product_id", "units")}}
    return retailer.configure(
        sources=[
            {"kind": "files", "name": "kiosk", "sales": sales, "plan": plan},
            {"kind": "sql", "name": "books", "url": "sqlite:///ledger.sqlite", "sales": books},
        ],
        covariates={"known_future": ["promo"], "past_only": ["visitors"]},
    )


@pytest.fixture(scope="session")
def united(once: Once) -> Shopkeeper:
    """The odd retailer after a good run."""

    def make(folder: Path) -> None:
        outcome = _united(folder).run()
        (folder / "said").write_text(outcome.said, encoding="utf-8")

    return Shopkeeper(once("united", make))


@pytest.fixture
def later_night(united: Shopkeeper, tmp_path: Path) -> Shopkeeper:
    """A copy of the odd retailer after its good run."""
    shutil.copytree(united.folder, tmp_path / "later")
    return Shopkeeper(tmp_path / "later")


@pytest.fixture
def retailer(tmp_path: Path) -> Shopkeeper:
    """Two shops of two products over 40 days, never run."""
    retailer = Shopkeeper(tmp_path)
    retailer.write("sales/all.csv", csv(sales_rows(40, {"North": ["A", "B"], "South": ["A", "B"]})))
    return retailer.configure()
