"""Pictures of how good the forecasts are, drawn from `backtest` and `backtest_metrics`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from demand_forecast.domain.metrics import wape
from demand_forecast.domain.scoring import SUMMARY
from demand_forecast.domain.tables import QUANTILE_COLUMNS, QUANTILE_LEVELS
from demand_forecast.reports import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_FEATURES = 20
MOST_PANELS = 4


@style.chart(empty="The model names no feature")
def feature_importance(importance: pl.DataFrame) -> "Figure":
    """Share of the model's total gain by feature, largest first, twenty at most.

    `importance`: one row per feature, columns `feature` (str) and `gain` (any scale, not negative).
    """
    total = max(float(importance["gain"].sum()), 1e-12)
    ranked = importance.sort("gain", "feature", descending=[True, False]).head(MOST_FEATURES)
    shares = (ranked["gain"].cast(pl.Float64) / total).to_list()
    shown = f"{ranked.height} of {importance.height} features, {sum(shares):.0%} of the gain"
    figure, (ax,) = style.canvas("What the model looks at", shown)
    style.bars_across(ax, ranked["feature"].to_list(), shares, color=style.BLUE)
    ax.tick_params(axis="y", labelsize=9 if ranked.height <= 14 else 7.5)
    style.label_axes(ax, x="share of total gain")
    style.percent_axis(ax.xaxis)
    return figure


@style.chart(empty="No backtest yet")
def error_by_horizon(backtest: pl.DataFrame) -> "Figure":
    """WAPE of each model by horizon, over all origins and series of `backtest`."""
    errors = wape_by_horizon(backtest)
    period = style.period_of(backtest["date"])
    origins = backtest["forecast_origin"].n_unique()
    figure, (ax,) = style.canvas(
        f"Error by {period}s ahead", f"WAPE over {style.counted(origins, 'forecast origin')}; lower is better"
    )
    colours = style.model_colours(errors["model"])
    for model in style.in_order(errors["model"]):
        line = errors.filter(pl.col("model") == model)
        ax.plot(line["horizon"], line["wape"], color=colours[model], linewidth=2, label=style.plain(model))
    ax.set_ylim(bottom=0)
    style.label_axes(ax, f"{period}s ahead", "WAPE")
    style.percent_axis(ax.yaxis)
    style.horizon_axis(ax, int(errors["horizon"].max()))  # type: ignore[arg-type]
    style.legend(figure, ax)
    return figure


def wape_by_horizon(backtest: pl.DataFrame) -> pl.DataFrame:
    """`model, horizon, wape`: sum of absolute errors over sum of units; null where nothing was sold."""
    return backtest.group_by("model", "horizon").agg(wape=wape()).sort("model", "horizon")


@style.chart(empty="No metrics yet")
def skill_by_origin(metrics: pl.DataFrame, *, metric: str = "fva_wape") -> "Figure":
    """Forecast value added over seasonal naive, by forecast origin, one bar per model.

    `metrics`: `backtest_metrics`; `metric`: one of its `fva_` metrics, read at the level of the summary.
    """
    skill = metrics.filter(metric=metric, level=SUMMARY[metric]).drop_nulls("forecast_origin")
    skill = skill.filter(pl.col("model") != style.BASELINE)
    if skill.is_empty():
        return style.blank("Seasonal naive is the only model: nothing to compare it with")
    better = f"share by which {metric.removeprefix('fva_').upper()} is smaller than seasonal naive's"
    figure, (ax,) = style.canvas("Value added over seasonal naive", f"By forecast origin: {better}; above 0 is better")
    origins = skill["forecast_origin"].unique().sort().to_list()
    _grouped_bars(ax, skill, "forecast_origin", origins)
    ax.axhline(0, color=style.INK, linewidth=1)
    ax.set_xticks(range(len(origins)), labels=[style.day_text(origin) for origin in origins])
    style.label_axes(ax, "forecast origin", "value added")
    style.percent_axis(ax.yaxis)
    style.legend(figure, ax)
    return figure


def _grouped_bars(
    ax: "Axes", values: pl.DataFrame, column: str, groups: Sequence[object], *, across: bool = False
) -> None:
    models, colours = style.in_order(values["model"]), style.model_colours(values["model"])
    thickness = 0.8 / len(models)
    for position, model in enumerate(models):
        found = dict(values.filter(pl.col("model") == model).select(column, "value").iter_rows())
        places = [row + (position - (len(models) - 1) / 2) * thickness for row in range(len(groups))]
        draw, size = (ax.barh, "height") if across else (ax.bar, "width")
        look: dict[str, Any] = {size: thickness * 0.92, "color": colours[model], "label": style.plain(model)}
        draw(places, [found.get(group, float("nan")) for group in groups], **look)


@style.chart(empty="No metrics yet")
def metrics_by_level(metrics: pl.DataFrame) -> "Figure":
    """WAPE and RMSSE of each model at every level of the hierarchy, as means over the origins.

    `metrics`: `backtest_metrics`; rows without `forecast_origin` are the means.
    """
    means = metrics.filter(pl.col("forecast_origin").is_null(), pl.col("metric").is_in(["wape", "rmsse"]))
    if means.is_empty():
        return style.blank("No metrics by level")
    levels = levels_in_order(means)
    figure, axes = style.canvas("Error by level", "Totals are easier than single series; lower is better", panels=2)
    for ax, metric in zip(axes, ("wape", "rmsse"), strict=True):
        _grouped_bars(ax, means.filter(pl.col("metric") == metric), "level", levels, across=True)
        style.label_axes(ax, x=metric.upper())
    style.name_rows(axes[0], [style.plain(level) for level in levels])
    style.vertical_grid(axes[1])
    style.percent_axis(axes[0].xaxis)
    style.legend(figure, axes[0])
    return figure


def levels_in_order(means: pl.DataFrame) -> list[str]:
    """The hierarchy's levels from the easiest to the hardest, which is from the total to the series."""
    error = means.filter(metric="wape").group_by("level").agg(pl.col("value").mean())
    return error.sort("value", "level")["level"].to_list()


@style.chart(empty="No backtest yet")
def calibration(backtest: pl.DataFrame) -> "Figure":
    """How often sales stayed below, and at or below, each quantile: one panel per model, four at most.

    Units are counts, so a quantile is honest when its level lies between P(units < q) and P(units <= q)
    (Czado, Gneiting, Held 2009, Predictive Model Assessment for Count Data): the bar must touch the diagonal.
    """
    shares = quantile_shares(backtest)
    models = style.in_order(shares["model"])[:MOST_PANELS]
    figure, axes = style.canvas(
        "Calibration: are the quantiles honest?",
        "Bar: share of sales below (lower end) and at or below (upper end) the quantile",
        panels=len(models),
    )
    colours = style.model_colours(shares["model"])
    for ax, model in zip(axes, models, strict=True):
        _reliability(ax, shares.filter(pl.col("model") == model), colours[model])
        ax.set_title(style.plain(model), loc="left", fontsize=10, color=style.INK)
    style.label_axes(axes[0], "quantile level", "share of actual sales")
    return figure


def _reliability(ax: "Axes", shares: pl.DataFrame, colour: str) -> None:
    levels, lows, highs = (shares[name].to_numpy() for name in ("level", "below", "at_or_below"))
    nearest = levels.clip(lows, highs)
    ax.plot([0, 1], [0, 1], color=style.GREY, linewidth=1, linestyle="--")
    ax.vlines(levels, lows, highs, color=colour, linewidth=7, alpha=0.35)
    ax.plot(levels, nearest, "o", color=colour, markersize=5)
    ax.set(xlim=(0, 1), ylim=(0, 1))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks([0, 0.25, 0.5, 0.75, 1] if axis is ax.yaxis else [0, 0.5, 1])
        style.percent_axis(axis)
    style.label_axes(ax, "quantile level")


def quantile_shares(backtest: pl.DataFrame) -> pl.DataFrame:
    """`model, level, below, at_or_below`: P(units < q) and P(units <= q) for each of the nine quantiles."""
    shares = [
        backtest.group_by("model").agg(
            pl.lit(level).alias("level"),
            (pl.col("units") < pl.col(name)).mean().alias("below"),
            (pl.col("units") <= pl.col(name)).mean().alias("at_or_below"),
        )
        for level, name in zip(QUANTILE_LEVELS, QUANTILE_COLUMNS, strict=True)
    ]
    return pl.concat(shares).sort("model", "level")
