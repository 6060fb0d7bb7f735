"""Pictures of what arrived, what was refused, and what was sold."""

from typing import TYPE_CHECKING, Any

import polars as pl

from demand_forecast.reports import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMOOTHING = "28d"
MOST_REASONS = 12


@style.chart(empty="No rows have arrived yet")
def rows_by_day(counts: pl.DataFrame) -> "Figure":
    """Rows by day as bars; a day between the first and the last that brought none is marked.

    `counts`: one row per day, columns `day` (Date; null is left out) and `rows`.
    """
    counts = counts.drop_nulls("day").sort("day")
    if counts.is_empty():
        return style.blank("No row names its day")
    silent = _days_without(counts["day"])
    total, (first, last) = int(counts["rows"].sum()), style.first_and_last(counts["day"])
    missing = f"{style.counted(silent.len(), 'day')} without rows (red)" if silent.len() else "no day without rows"
    when = f"{style.day_text(first)} to {style.day_text(last)}"
    figure, (ax,) = style.canvas("Rows by day", f"{style.counted(total, 'row')}, {when}; {missing}")
    ax.bar(counts["day"].to_list(), counts["rows"].to_list(), width=1.0, color=style.BLUE)
    ax.bar(silent.to_list(), 1, width=1.0, color=style.PALE_RED, transform=ax.get_xaxis_transform())
    ax.set_ylim(bottom=0)
    style.label_axes(ax, y="rows")
    style.date_axis(ax, first, last)
    style.count_axis(ax.yaxis)
    return figure


def _days_without(days: pl.Series) -> pl.Series:
    first, last = style.first_and_last(days)
    return (
        pl.date_range(first, last, "1d", eager=True)
        .to_frame("day")
        .join(days.to_frame("day"), on="day", how="anti")["day"]
    )


@style.chart(empty="No row was rejected")
def rejections_chart(reasons: pl.DataFrame) -> "Figure":
    """Rejected rows by reason, most first; beyond twelve reasons the rest is one bar.

    `reasons`: one row per reason, columns `reason` (str) and `rows`.
    """
    ranked = reasons.sort("rows", "reason", descending=[True, False])
    names, rows = ranked["reason"].to_list(), ranked["rows"].to_list()
    if len(names) > MOST_REASONS:
        rest = len(names) - MOST_REASONS + 1
        names, rows = [*names[:-rest], f"{rest} other reasons"], [*rows[:-rest], sum(rows[-rest:])]
    total = sum(rows)
    figure, (ax,) = style.canvas("Rejected rows by reason", f"{style.counted(total, 'row')}, kept with their reason")
    style.bars_across(ax, [style.plain(name) for name in names], rows, color=style.RED)
    style.label_bars(ax, rows, [f"{value:,}  ({value / max(total, 1):.1%})" for value in rows])
    style.label_axes(ax, x="rows")
    style.count_axis(ax.xaxis)
    return figure


@style.chart(empty="No demand yet")
def demand_over_time(demand: pl.DataFrame, *, stores: int = 3) -> "Figure":
    """Total units per period, its 28-day mean, and the 28-day means of the largest `stores` stores.

    `demand`: `daily_demand`. A mean covers the 28 days up to its date, less at the start of the history.
    """
    demand = demand.drop_nulls("units")  # of a late store nothing is known: no zero
    total = demand.group_by("date").agg(pl.col("units").sum()).sort("date")
    period, (first, last) = style.period_of(total["date"]), style.first_and_last(total["date"])
    series = demand.select("store_id", "product_id").n_unique()
    when = f"{style.day_text(first)} to {style.day_text(last)}"
    figure, (ax,) = style.canvas(f"Units sold per {period}", f"{style.counted(series, 'series')}, {when}")
    ax.plot(total["date"], total["units"], color=style.GRID_DARK, linewidth=0.8, label=f"all stores, each {period}")
    _smooth_line(ax, total, color=style.INK, linewidth=2, label="all stores, 28-day mean")
    largest = largest_stores(demand, stores)
    for store, colour in zip(largest, style.PALETTE, strict=False):
        sold = demand.filter(pl.col("store_id") == store).group_by("date").agg(pl.col("units").sum()).sort("date")
        _smooth_line(ax, sold, color=colour, linewidth=1.4, label=style.shorten(store))
    ax.set_ylim(bottom=0)
    style.label_axes(ax, y=f"units per {period}")
    style.date_axis(ax, first, last)
    style.count_axis(ax.yaxis)
    style.legend(figure, ax)
    return figure


def largest_stores(demand: pl.DataFrame, count: int) -> list[str]:
    """Up to `count` stores by units, most first; none when there is one store only."""
    sold = demand.group_by("store_id").agg(pl.col("units").sum()).sort("units", "store_id", descending=[True, False])
    return sold["store_id"].head(count).to_list() if sold.height > 1 else []


def _smooth_line(ax: "Axes", sold: pl.DataFrame, **look: Any) -> None:
    ax.plot(sold["date"], sold.select(pl.col("units").rolling_mean_by("date", SMOOTHING)).to_series(), **look)
