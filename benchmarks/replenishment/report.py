"""The figures as markdown tables, and the curve as CSV."""

from pathlib import Path

import polars as pl

from benchmarks.replenishment.forecasts import Window
from benchmarks.replenishment.picture import policy_name


def write_report(
    out: Path,
    name: str,
    window: Window,
    stock: pl.DataFrame,
    curve: pl.DataFrame,
    table: pl.DataFrame,
    kept: pl.DataFrame,
) -> str:
    """Writes `<name>.md` and `<name>.csv` into `out`; the markdown is returned."""
    text = "\n".join(
        [
            f"# {name}",
            "",
            f"{len(stock):,} series, {window.cycles} orders from {window.start}, lead time {window.lead_time} days, "
            f"review each {window.review} days.",
            "",
            "## Stock needed at equal achieved service",
            "",
            *_stock_table(table),
            "",
            "## The plan's promise, and what was kept of it",
            "",
            *_promise_table(kept),
            "",
        ]
    )
    (out / f"{name}.md").write_text(text, encoding="utf-8")
    curve.with_columns(pl.col(pl.Float64).round(6)).write_csv(out / f"{name}.csv")
    return text


def _stock_table(table: pl.DataFrame) -> list[str]:
    rows = [
        f"| {row['service'].replace('_', ' ')} {row['achieved']:.0%} | {policy_name(row['policy'])} | "
        f"{_number(row['stock_units'])} | {_number(row['stock_value'])} | {_number(row['cover_days'], 2)} | "
        f"{_share(row['saving_units'])} | {_share(row['saving_value'])} |"
        for row in table.iter_rows(named=True)
    ]
    head = "| achieved | policy | stock, units | stock, value | days of cover | we save, units | we save, value |"
    return [head, "|---|---|---|---|---|---|---|", *rows]


def _promise_table(kept: pl.DataFrame) -> list[str]:
    rows = [
        f"| {row['asked']:.0%} | {row['speed']} | {row['series_reviews']:,} | {row['promised']:.1%} | "
        f"{row['kept']:.1%} | {row['cycle_service']:.1%} | {row['sold_to_expected']:.2f} |"
        for row in kept.iter_rows(named=True)
    ]
    head = "| asked | expected units a day | orders | promised | kept | cycles without a stock-out | sold / expected |"
    return [head, "|---|---|---|---|---|---|---|", *rows]


def _number(value: float | None, decimals: int = 0) -> str:
    return "not reached" if value is None else f"{value:,.{decimals}f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"
