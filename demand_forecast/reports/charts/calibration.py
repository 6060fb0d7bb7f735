"""Pictures of how honest the quantiles are, drawn from `backtest_metrics`."""

from typing import TYPE_CHECKING, Any

import polars as pl

from demand_forecast.domain.demand.hierarchy import SERIES_LEVEL
from demand_forecast.domain.evaluation.metrics import PIT_SHARES
from demand_forecast.reports import style
from demand_forecast.reports.charts.accuracy import classes_in_order, over_origins, place_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Panel = tuple[str, pl.DataFrame, str]

HONEST = (0.09, 0.11)  # of sales in each tenth of the forecast distribution
TALLEST = 0.3
MOST_PANELS = 6


@style.chart(empty="No metrics yet")
def calibration(metrics: pl.DataFrame) -> "Figure":
    """Histogram of the probability integral transform over all series: one panel per model, six at most.

    `metrics`: `backtest_metrics`, whose pit_10 … pit_100 at level `series` are the bars.
    Source: Czado, Gneiting & Held (2009), Biometrics 65, 1254-1261.
    """
    shares = pit_shares(metrics).filter(level=SERIES_LEVEL.name)
    colours = style.model_colours(shares["model"])
    models = style.in_order(shares["model"])
    return _histograms(
        "Are the quantiles honest?",
        [(style.plain(model), shares.filter(model=model), colours[model]) for model in models],
    )


@style.chart(empty="No metrics yet")
def calibration_by_class(metrics: pl.DataFrame, model: str) -> "Figure":
    """As `calibration`, of one model: one panel per class of demand."""
    shares = pit_shares(metrics).filter(model=model)
    colour = style.model_colours(metrics["model"])[model]
    return _histograms(
        f"Are the quantiles of {style.plain(model)} honest for every kind of demand?",
        [(place_name(level), shares.filter(level=level), colour) for level in classes_in_order(shares)],
    )


def pit_shares(metrics: pl.DataFrame) -> pl.DataFrame:
    """`model, level, tenth, share`: the mean share of sales over the origins in each tenth (0 to 9) of the forecast."""
    tenths = pl.DataFrame({"metric": PIT_SHARES, "tenth": range(len(PIT_SHARES))})
    found = over_origins(metrics).join(tenths, on="metric")
    return found.select("model", "level", "tenth", share="value").sort("model", "level", "tenth")


def _histograms(title: str, panels: list[Panel]) -> "Figure":
    if not panels:
        return style.blank("No calibration in the metrics")
    shown = panels[:MOST_PANELS]
    subtitle = "Share of sales in each tenth of the forecast distribution; grey band: 9% to 11%, where 10% belong"
    figure, axes = style.canvas(title, subtitle, panels=len(shown))
    for ax, (name, shares, colour) in zip(axes, shown, strict=True):
        _histogram(ax, shares, colour)
        ax.set_title(name, loc="left", fontsize=10, color=style.INK)
    style.label_axes(axes[0], "quantile level", "share of sales")
    return figure


def _histogram(ax: "Axes", shares: pl.DataFrame, colour: str) -> None:
    """Ten bars from a level to the next; a bar that leaves the picture says how tall it is."""
    ax.axhspan(*HONEST, color=style.GRID, linewidth=0)
    ax.axhline(0.1, color=style.GREY, linewidth=1)
    ax.bar(shares["tenth"] / 10 + 0.05, shares["share"], width=0.085, color=colour)
    for tenth, share in shares.filter(pl.col("share") > TALLEST).select("tenth", "share").iter_rows():
        place: dict[str, Any] = {"ha": "left" if tenth < 5 else "right", "va": "top"}
        ax.annotate(f" {share:.0%} ", (tenth / 10 + 0.1 * (tenth < 5), TALLEST), fontsize=9, color=style.INK, **place)
    ax.set(xlim=(0, 1), xticks=[0, 0.5, 1], ylim=(0, TALLEST), yticks=[0, 0.1, 0.2, 0.3])
    style.label_axes(ax, "quantile level")
    for axis in (ax.xaxis, ax.yaxis):
        style.percent_axis(axis)
