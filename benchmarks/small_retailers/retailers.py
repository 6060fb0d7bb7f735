"""Small retailers made up by chance: how they keep time, how long they have sold, and what sells how."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from demand_forecast.domain.demand.calendar import WEEKDAYS, Calendar, calendar_of

YEAR = 365.25
Floats = np.ndarray[Any, np.dtype[np.float64]]
LABELS = {
    "daily": ("daily",),
    "weekly": (
        "weekly",
        *(f"weekly totals from {day} dated by {by}" for day in WEEKDAYS for by in ("first", "last")),
        "weekly totals iso",
    ),
    "monthly": ("monthly", "monthly totals", "monthly totals dated by last", "monthly totals text"),
}
HISTORY = {"daily": (140, 1500), "weekly": (20, 260), "monthly": (6, 60)}  # periods: 20 weeks, half a year, to 5 years


@dataclass(frozen=True)
class Small:
    """One of them. `label`: how its rows are dated; `sales`: `store_id, product_id, date, units, price`, by row."""

    seed: int
    frequency: str
    label: str
    periods: int
    sales: pl.DataFrame
    newest: date  # the date of the newest whole period
    says: dict[str, Any]  # keys of the configuration that it needs

    @property
    def calendar(self) -> Calendar:
        return calendar_of(self.label.removesuffix(" iso").removesuffix(" text"))

    @property
    def series(self) -> int:
        return self.sales.select("store_id", "product_id").n_unique()


def make(seed: int, until: date) -> Small:
    """The retailer of `seed`, whose newest whole period ends by `until`."""
    rng = np.random.default_rng([seed, 14])
    frequency = str(rng.choice(["daily", "weekly", "monthly"], p=[0.4, 0.4, 0.2]))
    label = str(rng.choice(LABELS[frequency]))
    periods = int(np.exp(rng.uniform(*np.log(HISTORY[frequency]))))
    calendar = calendar_of(label.removesuffix(" iso").removesuffix(" text"))
    going_on = calendar.ahead(until + timedelta(days=1), 0)
    newest, oldest = calendar.ahead(going_on, -1), calendar.ahead(going_on, -periods)
    days = pl.date_range(calendar.span(oldest)[0], calendar.span(newest)[1], eager=True)
    count, shops = int(np.exp(rng.uniform(0, np.log(50)))), int(rng.integers(1, 4))
    parts = [_series(number, shops, days, rng) for number in range(count)]
    rows = pl.concat(parts)
    if calendar.totals:
        rows = rows.with_columns(calendar.dated(pl.col("date")))
        rows = rows.group_by("store_id", "product_id", "date").agg(pl.col("units").sum(), pl.col("price").mean())
    told = (pl.col("units") > 0) | (pl.col("date").rank("dense") % 2 == 0)  # of days without sales every second
    rows = rows.filter(told | (pl.col("date") >= calendar.span(newest)[0])).sort("date")
    named = not calendar.totals or calendar == calendar_of("weekly totals") or calendar.frequency == "monthly"
    usual = named or (calendar.dated_by == "last" and calendar.starts != 2)
    week = {} if usual else {"week": {"starts": WEEKDAYS[calendar.starts - 1], "dated_by": calendar.dated_by}}
    return Small(seed, frequency, label, periods, rows, newest, week)


def _series(number: int, shops: int, days: pl.Series, rng: np.random.Generator) -> pl.DataFrame:
    kind = KINDS[int(rng.integers(len(KINDS)))]
    day, length = days.to_physical().to_numpy(), len(days)
    began = int(rng.integers(length * 3 // 4)) if rng.random() < 0.15 else 0  # a launch
    mean = kind(day.astype(np.float64), float(np.exp(rng.normal(1, 1.2))), rng)
    units = np.where(np.arange(length) >= began, mean, 0)
    return pl.DataFrame(
        {
            "store_id": f"S{number % shops + 1}",
            "product_id": f"P{number // shops + 1:02d}",
            "date": days,
            "units": units.round(),
            "price": np.round(2 + number * 0.5 + (rng.random(length) < 0.1) * -0.5, 2),
        }
    )


def _smooth(day: Floats, level: float, rng: np.random.Generator) -> Floats:
    week = np.exp(rng.normal(0, 0.3, 7))[(day.astype(np.int64) + 3) % 7]
    return rng.poisson(level * week).astype(np.float64)


def _seasonal(day: Floats, level: float, rng: np.random.Generator) -> Floats:
    year = 1 + 0.8 * np.sin(2 * np.pi * (day / YEAR + rng.random()))
    return rng.poisson(2 * level * year * np.exp(rng.normal(0, 0.2))).astype(np.float64)


def _erratic(day: Floats, level: float, rng: np.random.Generator) -> Floats:
    return rng.negative_binomial(0.7, 0.7 / (0.7 + level), len(day)).astype(np.float64)


def _intermittent(day: Floats, level: float, rng: np.random.Generator) -> Floats:
    return (rng.random(len(day)) < min(0.15, level / 20)).astype(np.float64)


def _lumpy(day: Floats, _: float, rng: np.random.Generator) -> Floats:
    return np.where(rng.random(len(day)) < 0.06, rng.integers(4, 30, len(day)), 0).astype(np.float64)


def _growing(day: Floats, level: float, rng: np.random.Generator) -> Floats:
    return rng.poisson(level * np.linspace(0.5, 2.0, len(day))).astype(np.float64)


def _fading(day: Floats, level: float, rng: np.random.Generator) -> Floats:
    return rng.poisson(level * np.linspace(2.0, 0.05, len(day)) ** 2).astype(np.float64)


def _constant(day: Floats, level: float, _: np.random.Generator) -> Floats:
    return np.full(len(day), np.ceil(level))


KINDS: tuple[Callable[[Floats, float, np.random.Generator], Floats], ...] = (
    *(_smooth, _seasonal, _erratic, _intermittent),
    *(_lumpy, _growing, _fading, _constant),
)


def land(small: Small, folder: Path) -> Path:
    """Writes its sales as CSV and the configuration that a user would write; gives the configuration's path."""
    folder.mkdir(parents=True, exist_ok=True)
    day = pl.col("date")
    text = {"iso": day.dt.strftime("%G-W%V"), "text": day.dt.strftime("%Y-%m")}.get(small.label.split()[-1], day)
    rows = small.sales.select(text.alias("Date"), Shop="store_id", Item="product_id", Sold="units", Price="price")
    rows.write_csv(folder / "sales.csv")
    columns = {"date": "Date", "store_id": "Shop", "product_id": "Item", "units": "Sold", "price": "Price"}
    content = {"frequency": small.frequency, "source": {"sales": {"path": "sales.csv", "columns": columns}}}
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(content | small.says, sort_keys=False), encoding="utf-8")
    return file
