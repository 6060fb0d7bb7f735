"""Pictures of how good the forecasts are, drawn from `backtest` and `backtest_metrics`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from demand_forecast.domain.demand.demand_classes import DEMAND_CLASSES
from demand_forecast.domain.evaluation.backtest import counting_rows
from demand_forecast.domain.evaluation.metrics import wape
from demand_forecast.domain.evaluation.scoring import CLASS_LEVEL, SUMMARY
from demand_forecast.domain.models import BASELINE_MODEL
from demand_forecast.reports import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_FEATURES = 20


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
    counted = counting_rows(backtest)
    return counted.group_by("model", "horizon").agg(wape=wape()).sort("model", "horizon")


@style.chart(empty="No metrics yet")
def skill_by_origin(metrics: pl.DataFrame, *, metric: str = "fva_wape") -> "Figure":
    """Forecast value added over seasonal naive, by forecast origin, one bar per model.

    `metrics`: `backtest_metrics`; `metric`: one of its `fva_` metrics, read at the level of the summary.
    """
    skill = metrics.filter(metric=metric, level=SUMMARY[metric]).drop_nulls("forecast_origin")
    skill = skill.filter(pl.col("model") != BASELINE_MODEL)
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
        known = values.filter(pl.col("model") == model).drop_nulls("value")
        found = dict(known.select(column, "value").iter_rows())
        places = [row + (position - (len(models) - 1) / 2) * thickness for row in range(len(groups))]
        draw, size = (ax.barh, "height") if across else (ax.bar, "width")
        look: dict[str, Any] = {size: thickness * 0.92, "color": colours[model], "label": style.plain(model)}
        draw(places, [found.get(group, float("nan")) for group in groups], **look)


@style.chart(empty="No metrics yet")
def metrics_by_level(metrics: pl.DataFrame) -> "Figure":
    """WAPE and RMSSE of each model at every level of the hierarchy, as means over the origins.

    `metrics`: `backtest_metrics`; rows without `forecast_origin` are the means.
    """
    means = over_origins(metrics)
    levels = levels_in_order(means)
    return _two_measures(
        means, levels, "Error by level", "Totals are easier than single series; lower is better", "rmsse"
    )


@style.chart(empty="No metrics yet")
def metrics_by_class(metrics: pl.DataFrame) -> "Figure":
    """WAPE and WQL of each model by class of demand, as means over the origins; `metrics`: `backtest_metrics`."""
    means = over_origins(metrics)
    return _two_measures(
        means,
        classes_in_order(means),
        "Error by kind of demand",
        "How often and how evenly a product sells decides how well it can be forecast; lower is better",
        "wql",
    )


def _two_measures(means: pl.DataFrame, levels: list[str], title: str, subtitle: str, second: str) -> "Figure":
    shown = means.filter(pl.col("level").is_in(levels), pl.col("metric").is_in(["wape", second]))
    if shown.is_empty():
        return style.blank(f"{title}: no metrics")
    figure, axes = style.canvas(title, subtitle, panels=2)
    for ax, metric in zip(axes, ("wape", second), strict=True):
        _grouped_bars(ax, shown.filter(pl.col("metric") == metric), "level", levels, across=True)
        style.label_axes(ax, x=metric.upper())
    style.name_rows(axes[0], [place_name(level) for level in levels])
    style.vertical_grid(axes[1])
    style.percent_axis(axes[0].xaxis)
    style.legend(figure, axes[0])
    return figure


def over_origins(metrics: pl.DataFrame) -> pl.DataFrame:
    """The rows of `backtest_metrics` that are means over the origins."""
    return metrics.filter(pl.col("forecast_origin").is_null())


def levels_in_order(means: pl.DataFrame) -> list[str]:
    """The hierarchy's levels from the easiest to the hardest, which is from the total to the series."""
    levels = means.filter(~pl.col("level").str.starts_with(CLASS_LEVEL), metric="wape")
    return levels.group_by("level").agg(pl.col("value").mean()).sort("value", "level")["level"].to_list()


def classes_in_order(means: pl.DataFrame) -> list[str]:
    """The levels of the classes that there are, from smooth to new."""
    found = set(means["level"])
    return [CLASS_LEVEL + name for name in DEMAND_CLASSES if CLASS_LEVEL + name in found]


def place_name(level: str) -> str:
    """A level or class as a reader's: `class lumpy` is lumpy."""
    return style.plain(level.removeprefix(CLASS_LEVEL))
