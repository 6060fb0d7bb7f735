"""The tables of the M5 layout as rows: daily units, item and shop attributes, weekly prices, the calendar of events."""

from collections.abc import Callable, Iterator
from datetime import date
from functools import partial

import polars as pl

from demand_forecast.settings import Settings
from demand_forecast.sources.days import Days
from demand_forecast.sources.delivery import Delivery, Table
from demand_forecast.sources.errors import SourceError
from demand_forecast.sources.kinds.m5.layout import Part, part_of, parts_at
from demand_forecast.sources.landing import Landing

SALES = ("sales_train_evaluation", "sales_train_validation")
ITEMS = {"product_id": "item_id", "dept_id": "dept_id", "cat_id": "cat_id"}
SHOPS = {"store_id": "store_id", "state_id": "state_id"}
CHUNK_ROWS = 500_000


def deliveries(settings: Settings, name: str, table: Table, path: str, landing: Landing) -> list[Delivery]:
    """What the layout at `path` has of `table`: daily units, item and shop attributes, weekly prices and the calendar
    of events; nothing of stock.

    Raises SourceError where the folder or one of its files is missing.
    """
    parts = parts_at(settings.resolve(path))
    sales, calendar, prices = (part_of(parts, stems, settings) for stems in (SALES, ("calendar",), ("sell_prices",)))
    if table == "sales":
        read, span = partial(_sales, sales, calendar), partial(_span, sales, calendar)
        hashed = partial(_hash, landing, sales, calendar)
        known = partial(landing.knows, sales.path, calendar.path)
        return [Delivery(name, sales.name, "sales", hashed, read, span=span, known=known)]
    inputs: dict[Table, list[tuple[Part, Callable[[], pl.DataFrame]]]] = {
        "products": [(sales, partial(_attributes, sales, ITEMS))],
        "stores": [(sales, partial(_attributes, sales, SHOPS))],
        "plan": [(prices, partial(_prices, prices, calendar)), (calendar, partial(_events, sales, calendar))],
    }
    return [_input(name, part, table, frame) for part, frame in inputs.get(table, [])]


def _input(name: str, part: Part, table: Table, frame: Callable[[], pl.DataFrame]) -> Delivery:
    def read(_days: Days | None) -> Iterator[pl.DataFrame]:
        yield _complete(frame())

    return Delivery(name, part.name, table, str, read)


def _hash(landing: Landing, sales: Part, calendar: Part) -> str:
    return landing.file_hash(sales.path, landing.file_hash(calendar.path))


def _complete(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(extra=pl.lit(""), fault=pl.lit(None, pl.String))


def _days(sales: Part, calendar: Part) -> dict[str, str]:
    """The date of each day column in the sales file, in order. Raises SourceError for a day that the calendar lacks."""
    dates = dict(calendar.frame(["date", "d"]).select("d", "date").rows())
    columns = [name for name in sales.head() if name.startswith("d_")]
    unknown = [name for name in columns if name not in dates]
    if unknown or not columns:
        raise SourceError(f"{calendar.path}: {calendar.name} has no row for {unknown[:1] or 'any day'} of {sales.name}")
    return {name: dates[name] for name in columns}


def _span(sales: Part, calendar: Part) -> Days:
    dates = [date.fromisoformat(text) for text in _days(sales, calendar).values()]
    return min(dates), max(dates)


def _sales(sales: Part, calendar: Part, days: Days | None) -> Iterator[pl.DataFrame]:
    """One row per series and day, some days to a frame: all at once would be 59 million rows."""
    dates = _days(sales, calendar)
    wanted = [name for name, text in dates.items() if days is None or days[0] <= date.fromisoformat(text) <= days[1]]
    wide = sales.frame(["item_id", "store_id", *wanted])
    step = max(1, CHUNK_ROWS // max(1, wide.height))
    for start in range(0, len(wanted), step):
        chunk = wide.select("line", "store_id", pl.col("item_id").alias("product_id"), *wanted[start : start + step])
        long = chunk.unpivot(index=["line", "store_id", "product_id"], variable_name="d", value_name="units")
        date_text = pl.col("d").replace_strict(dates, return_dtype=pl.String)
        yield _complete(long.select(date_text.alias("date"), "store_id", "product_id", "units", "line"))


def _attributes(sales: Part, names: dict[str, str]) -> pl.DataFrame:
    frame = sales.frame(list(names.values()))
    renamed = frame.select("line", **{name: pl.col(column) for name, column in names.items()})
    return renamed.unique(subset=list(names), keep="first", maintain_order=True)


def _prices(prices: Part, calendar: Part) -> pl.DataFrame:
    """A price row on the first day of each week that has one; it holds until the next."""
    weeks = calendar.frame(["date", "wm_yr_wk"]).group_by("wm_yr_wk").agg(pl.col("date").min())
    columns = ["store_id", "item_id", "wm_yr_wk", "sell_price"]
    return (
        prices.frame(columns)
        .join(weeks, on="wm_yr_wk", maintain_order="left")
        .select("date", "store_id", pl.col("item_id").alias("product_id"), pl.col("sell_price").alias("price"), "line")
    )


def _events(sales: Part, calendar: Part) -> pl.DataFrame:
    """For each shop and day the events (two on one day joined by +) and whether its state pays out food stamps."""
    stores = _attributes(sales, SHOPS).drop("line")
    days = calendar.frame()
    snaps = [name for name in days.columns if name.startswith("snap_")]
    snap = days.select("d", *snaps).unpivot(index="d", variable_name="state_id", value_name="snap")
    snap = snap.with_columns(pl.col("state_id").str.strip_prefix("snap_"))
    both = {
        kind: pl.concat_str(f"{kind}_1", f"{kind}_2", separator="+", ignore_nulls=True).replace("", None)
        for kind in ("event_name", "event_type")
    }
    rows = (
        days.select("d", "date", "line", **both).join(stores, how="cross").join(snap, on=["d", "state_id"], how="left")
    )
    return rows.select("date", "store_id", "event_name", "event_type", "snap", "line").sort("store_id", "line")
