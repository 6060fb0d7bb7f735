"""A finished run's history as landing files, as it is or twice as long."""

from datetime import date, timedelta
from pathlib import Path

import polars as pl

YEAR = 364  # days: the doubled history keeps its weekdays and seasons


def land(lake: Path, folder: Path, nights: int, *, doubled: bool) -> list[tuple[date, pl.DataFrame]]:
    """Writes the retailer's history as landing files, and gives the last `nights` days, which are to arrive."""
    sales = pl.read_delta(str(lake / "clean_sales")).select("date", "store_id", "product_id", "units", "price")
    plan = pl.read_delta(str(lake / "clean_plan"))
    last = sales.select(pl.col("date").max()).item()
    if doubled:
        span = timedelta(days=-(-(last - sales.select(pl.col("date").min()).item()).days // YEAR) * YEAR)
        before = pl.lit(last) - span
        sales = pl.concat([_shifted(sales, span), sales.filter(pl.col("date") > before)])
        plan = pl.concat([_shifted(plan, span).filter(pl.col("date") <= before), plan])
    (folder / "sales").mkdir(parents=True, exist_ok=True)
    sales.filter(pl.col("date") <= last - timedelta(days=nights)).write_parquet(folder / "sales" / "history.parquet")
    plan.write_parquet(folder / "plan.parquet")
    for table in ("products", "stores"):
        pl.read_delta(str(lake / f"clean_{table}")).write_csv(folder / f"{table}.csv")
    days = [last - timedelta(days=back) for back in reversed(range(nights))]
    return [(day, sales.filter(pl.col("date") == day)) for day in days]


def _shifted(table: pl.DataFrame, span: timedelta) -> pl.DataFrame:
    return table.with_columns(pl.col("date") - span)
