"""Pictures of forecasts: one series beside what was sold, what comes next, and what to order."""

from datetime import date, timedelta
from typing import TYPE_CHECKING

import polars as pl

from demand_forecast.domain.tables import SERIES
from demand_forecast.reports import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Series = tuple[str, str]

RECENT = timedelta(days=91)
TAIL = timedelta(days=90)
HISTORY = max(RECENT, TAIL) + timedelta(days=1)  # before the first origin: all that these pictures read
MOST_STORES = 12
FASTEST, SLOWEST = 0.05, 0.90  # ranks that stand for the assortment without its extremes


def representative_series(demand: pl.DataFrame, count: int = 3) -> list[Series]:
    """`count` series (store_id, product_id) from fast to slow sellers: with 3, a fast, a medium and a slow one.

    Series are ranked by mean units over the last 91 days of `daily_demand`; those that sold nothing then are left out.
    Fewer come back where fewer sold.
    """
    recent = demand.filter(pl.col("date") > pl.col("date").max() - RECENT)
    speed = recent.group_by(*SERIES).agg(pl.col("units").mean()).filter(pl.col("units") > 0)
    ranked = speed.sort("units", *SERIES, descending=[True, False, False])
    steps = [FASTEST + (SLOWEST - FASTEST) * i / max(count - 1, 1) for i in range(count)]
    rows = dict.fromkeys(round(step * (ranked.height - 1)) for step in steps if ranked.height)
    return [(str(store), str(product)) for store, product in ranked.select(SERIES)[list(rows)].iter_rows()]


def of_series(frame: pl.DataFrame, series: Series) -> pl.DataFrame:
    """The rows of one series, by date."""
    return frame.filter(pl.col("store_id") == series[0], pl.col("product_id") == series[1]).sort("date")


@style.chart(empty="No backtest yet")
def forecast_against_actuals(backtest: pl.DataFrame, demand: pl.DataFrame, model: str, series: Series) -> "Figure":
    """One series at every backtest origin: forecast mean and 80% interval (q10 to q90) beside what was sold.

    The history drawn from `daily_demand` starts 90 days before the first origin.
    """
    forecasts = of_series(backtest.filter(pl.col("model") == model), series)
    if forecasts.is_empty():
        return style.blank(f"{style.plain(model)} has no forecast of {' / '.join(series)}")
    origins = forecasts["forecast_origin"].unique().sort().to_list()
    start, end = origins[0] - TAIL, style.first_and_last(forecasts["date"])[1]
    sold = of_series(demand, series).filter(pl.col("date").is_between(start, end))
    figure, ax = _series_canvas(series, sold, f"{style.plain(model)}, forecasts of {_days(origins)}")
    _sold_line(ax, sold)
    for index, origin in enumerate(origins):
        made = forecasts.filter(pl.col("forecast_origin") == origin).sort("date")
        _forecast_lines(ax, made, bands=("q10", "q90"), named=index == 0)
        _origin_line(ax, origin)
    return _finish(figure, ax, start, end)


@style.chart(empty="No demand yet")
def forecast_fan(demand: pl.DataFrame, forecast: pl.DataFrame, series: Series) -> "Figure":
    """The published forecast of one series with its 20, 40, 60 and 80% intervals, after its last 90 days of sales.

    `demand`: `daily_demand`; `forecast`: `demand_forecast` with one forecast origin.
    """
    made = of_series(forecast, series)
    if made.is_empty():
        return style.blank(f"No forecast of {' / '.join(series)}")
    _, origin = style.first_and_last(made["forecast_origin"])
    _, end = style.first_and_last(made["date"])
    start = origin - TAIL
    sold = of_series(demand, series).filter(pl.col("date").is_between(start, origin))
    bands = ("q10", "q20", "q30", "q40", "q60", "q70", "q80", "q90")
    figure, ax = _series_canvas(
        series, sold, f"forecast of {style.day_text(origin)}; shades: 20, 40, 60, 80% intervals"
    )
    _sold_line(ax, sold)
    _forecast_lines(ax, made, bands=bands, named=True)
    _origin_line(ax, origin)
    return _finish(figure, ax, start, end)


def _days(origins: list[date]) -> str:
    shown = origins if len(origins) <= 4 else [origins[0], origins[-1]]
    return (", " if shown is origins else " to ").join(map(style.day_text, shown))


def _series_canvas(series: Series, sold: pl.DataFrame, note: str) -> "tuple[Figure, Axes]":
    store, product = map(style.shorten, series)
    mean = float(sold["units"].sum()) / max(sold["units"].count(), 1)
    sells = f"sold {style.amount(mean)} per {style.period_of(sold['date'])} on average; "
    figure, (ax,) = style.canvas(f"Product {product} in store {store}", (sells if sold.height else "") + note)
    return figure, ax


def _sold_line(ax: "Axes", sold: pl.DataFrame) -> None:
    ax.plot(sold["date"], sold["units"], color=style.INK, linewidth=1, marker="o", markersize=2.2, label="sold")


def _forecast_lines(ax: "Axes", made: pl.DataFrame, *, bands: tuple[str, ...], named: bool) -> None:
    pairs = [(bands[i], bands[-1 - i]) for i in range(len(bands) // 2)]
    for low, high in pairs:
        label = "80% interval" if named and low == "q10" else None
        alpha = 0.25 if len(pairs) == 1 else 0.18
        ax.fill_between(
            made["date"], made[low], made[high], color=style.BLUE, alpha=alpha, linewidth=0, step="mid", label=label
        )
    ax.plot(made["date"], made["mean"], color=style.BLUE, linewidth=2, label="forecast (mean)" if named else None)


def _origin_line(ax: "Axes", origin: date) -> None:
    from matplotlib.dates import date2num

    ax.axvline(date2num(origin), color=style.MUTED, linewidth=1, linestyle=":")


def _finish(figure: "Figure", ax: "Axes", start: date, end: date) -> "Figure":
    ax.set_ylim(bottom=0)
    style.label_axes(ax, y="units")
    style.date_axis(ax, start, end)
    style.count_axis(ax.yaxis)
    if ax.get_ylim()[1] >= 2:
        style.whole_axis(ax.yaxis)
    style.legend(figure, ax)
    return figure


@style.chart(empty="Nothing to order: the plan has no rows")
def reorder_summary(plan: pl.DataFrame) -> "Figure":
    """By store: units on hand, on order and to order now, beside the stock that the service level asks for.

    `plan`: `reorder_plan`. The largest twelve stores by target stock.
    """
    columns = ["on_hand", "on_order", "order_quantity", "target_stock"]
    stores = plan.group_by("store_id").agg(pl.col(columns).fill_null(0).sum())
    stores = stores.sort("target_stock", "store_id", descending=[True, False])
    shown = stores.head(MOST_STORES)
    ordering, unknown = plan.filter(pl.col("order_quantity") > 0).height, plan["on_hand"].null_count()
    said = f"{ordering:,} of {plan.height:,} series need an order, {plan['order_quantity'].sum():,.0f} units in all"
    said += f"; stock unknown for {unknown:,}" if unknown else ""
    said += f"; largest {MOST_STORES} of {stores.height:,} stores" if stores.height > MOST_STORES else ""
    figure, (ax,) = style.canvas("What to order, by store", said)
    _stacked(ax, shown)
    target = [(row - 0.42, row + 0.42) for row in range(shown.height)]
    for value, (top, bottom) in zip(shown["target_stock"], target, strict=True):
        ax.plot(
            [value, value], [top, bottom], color=style.INK, linewidth=2.5, label="target stock" if top < 0 else None
        )
    style.name_rows(ax, shown["store_id"].to_list())
    style.label_axes(ax, x="units")
    style.count_axis(ax.xaxis)
    style.legend(figure, ax)
    return figure


def _stacked(ax: "Axes", stores: pl.DataFrame) -> None:
    left = pl.zeros(stores.height, eager=True)
    parts = (
        ("on_hand", "on hand", style.GREY),
        ("on_order", "on order", style.SKY),
        ("order_quantity", "to order", style.BLUE),
    )
    for column, label, colour in parts:
        ax.barh(range(stores.height), stores[column], left=left, height=0.62, color=colour, label=label)
        left = left + stores[column]
