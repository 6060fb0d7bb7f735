"""A retailer's finished tables, and what of them a contender is given at an origin."""

from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import polars as pl

from benchmarks.accuracy.ours import TABLES
from benchmarks.accuracy.task import TASK_FILE, Task
from demand_forecast.domain.demand.calendar import calendar_of
from demand_forecast.domain.demand.exposure import in_stock
from demand_forecast.domain.demand.hierarchy import Level, hierarchy_levels
from demand_forecast.domain.evaluation.backtest import backtest_origins
from demand_forecast.domain.features import build_history
from demand_forecast.domain.tables import series_key
from demand_forecast.settings import Settings


@dataclass(frozen=True)
class Retailer:
    """`settings`, and the tables that a finished `demand-forecast run` left in `lake`."""

    settings: Settings
    lake: Path

    def table(self, name: str) -> pl.DataFrame:
        if not (self.lake / name).is_dir():
            raise SystemExit(
                f"{self.lake / name}: no such table; make it: demand-forecast run --config {self.settings.path}, "
                "or say by --home where it is"
            )
        return pl.read_delta(str(self.lake / name))

    @cached_property
    def tables(self) -> dict[str, pl.DataFrame]:
        return {name: self.table(name) for name in TABLES}

    @property
    def demand(self) -> pl.DataFrame:
        return self.tables["daily_demand"]

    @property
    def levels(self) -> list[Level]:
        products, stores = self.tables["clean_products"], self.tables["clean_stores"]
        return hierarchy_levels(products, stores, self.settings.covariates.static)

    def newest_origin(self) -> date:
        """The last origin whose whole horizon is known."""
        days = self.demand["date"]
        (origin,) = backtest_origins(
            days.min(),  # type: ignore[arg-type]
            days.max(),  # type: ignore[arg-type]
            horizon=self.settings.horizon,
            count=1,
            frequency=self.settings.frequency,
        )
        return origin

    def require_known(self, origin: date) -> None:
        """Raises SystemExit where `origin`, or the horizon after it, is not in the data."""
        last = calendar_of(self.settings.frequency).ahead(origin, self.settings.horizon)
        if not {origin, last} <= set(self.demand["date"].unique()):
            raise SystemExit(f"origin {origin}: the newest whose days ahead are known is {self.newest_origin()}")

    def outcome(self, origin: date) -> pl.DataFrame:
        """store_id, product_id, forecast_origin, date, units, exposure after `origin`, of series known there."""
        last = calendar_of(self.settings.frequency).ahead(origin, self.settings.horizon)
        known = self.demand.filter(pl.col("date") == origin).select(series_key())
        days = self.demand.filter(pl.col("date").is_between(origin, last, closed="right"))
        days = days.join(known, on=series_key(), how="semi")
        return days.select(*series_key(), "date", "units", exposure=in_stock(), forecast_origin=pl.lit(origin))

    def task(self, origin: date, cache: Path) -> Task:
        """The tables as they were known at `origin`, written once below `cache`."""
        tables = self.tables | {"daily_demand": self.demand.filter(pl.col("date") <= origin)}
        folder = cache / f"{self.settings.name}-{origin}-{_digest(tables, self.settings)}"
        if (folder / TASK_FILE).is_file():
            return replace(Task.load(folder), config=str(self.settings.path))
        folder.mkdir(parents=True, exist_ok=True)
        panel, future = _panel(tables, self.settings)
        for name, table in (tables | {"panel": panel}).items():
            table.write_parquet(folder / f"{name}.parquet")
        panel.select("series", pl.col(series_key()).cast(pl.String)).unique().write_parquet(folder / "series.parquet")
        static = tuple(name for name in self.settings.covariates.static if name in panel.columns)
        task = Task(
            folder=folder.resolve(),
            origin=origin,
            horizon=self.settings.horizon,
            frequency=self.settings.frequency,
            future=future,
            static=static,
            config=str(self.settings.path),
            seed=self.settings.seed,
        )
        task.save()
        return task


def _panel(tables: dict[str, pl.DataFrame], settings: Settings) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The long frame of the peers: what the product would have to join itself is joined for them, at no cost."""
    history = build_history(
        *(tables[name] for name in TABLES),
        covariates=settings.covariates,
        frequency=settings.frequency,
        horizon=settings.horizon,
    )
    future = (*history.inputs.future, *(["open_planned"] if history.panel["open_planned"].count() else []))
    static = [name for name in settings.covariates.static if name in history.series.columns]
    last = history.calendar.ahead(history.last_day, history.horizon)
    panel = (
        history.panel.filter(pl.col("date") <= last)
        .join(history.series.select("series", *series_key(), *static), on="series", maintain_order="left")
        .select("series", *series_key(), "date", "units", "price", *future, *static)
        .with_columns(pl.col(pl.Enum).cast(pl.Categorical))
        .with_columns(pl.col(pl.String).cast(pl.Categorical))
    )
    return panel, future


def _digest(tables: dict[str, pl.DataFrame], settings: Settings) -> str:
    """Equal for equal tables read in the same way."""
    read = [settings.horizon, settings.frequency, settings.seed, settings.covariates.model_dump_json()]
    for name, table in tables.items():
        read += [name, table.height, int(table.hash_rows(seed=1).sum())]
    return sha256(repr(read).encode()).hexdigest()[:12]
