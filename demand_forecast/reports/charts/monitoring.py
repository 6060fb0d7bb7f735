"""Pictures of what changed: drift by column, and the champion's history."""

from typing import TYPE_CHECKING, Any

import polars as pl

from demand_forecast.reports import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_DECISIONS = 20
ROLES = {
    "champion": ("champion", style.BLUE),
    "previous": ("previous champion, in the shadow", style.ORANGE),
    "baseline": ("seasonal naive", style.GREY),
    "challenger": ("challenger, tried out", style.GREEN),
}
DECISIONS = {
    "promoted": ("^", style.GREEN, "challenger, promoted"),
    "kept": ("o", style.GREY, "challenger, not proven better"),
    "refused": ("X", style.RED, "challenger, refused"),
}


@style.chart(empty="No column could be compared")
def drift_by_column(columns: pl.DataFrame, *, threshold: float = 0.2) -> "Figure":
    """Drift score by column, largest first, beside the threshold from which a column counts as drifted.

    `columns`: the drift report's `column, score, drifted`; a column without score could not be compared.
    """
    scored = columns.drop_nulls("score").sort("score", "column", descending=[True, False])
    if scored.is_empty():
        return style.blank("No column could be compared")
    left_out = columns.height - scored.height
    said = f"{scored['drifted'].sum()} of {style.counted(scored.height, 'column')} drifted"
    figure, (ax,) = style.canvas(
        "What changed since training", said + (f"; {left_out} not compared" if left_out else "")
    )
    colours = [style.RED if drifted else style.BLUE for drifted in scored["drifted"]]
    style.bars_across(ax, scored["column"].to_list(), scored["score"].to_list(), color=colours)
    style.label_bars(ax, scored["score"].to_list(), [f"{score:.2f}" for score in scored["score"]])
    ax.axvline(threshold, color=style.INK, linewidth=1, linestyle="--", label=f"threshold {threshold:g}")
    ax.set_xlim(left=0)
    style.label_axes(ax, x="population stability index against the training rows")
    style.legend(figure, ax)
    return figure


@style.chart(empty="No promotion decision yet")
def promotion_history(ledger: pl.DataFrame) -> "Figure":
    """The last twenty decisions: the challenger's error beside the champion's, and what was decided.

    `ledger`: `promotion_ledger`. Only decisions on the newest decision's metric are drawn; lower is better.
    """
    ordered = ledger.sort("decided_at")
    metric = ordered["metric"].drop_nulls().last() if ordered["metric"].drop_nulls().len() else None
    same = ordered.filter(pl.col("metric") == (metric or "")).tail(MOST_DECISIONS)
    if same.is_empty():
        return style.blank("No decision names its metric")
    counts = dict(ordered["decision"].value_counts().iter_rows())
    named = [*DECISIONS, *sorted(counts.keys() - DECISIONS.keys())]
    said = ", ".join(f"{counts[name]} {style.plain(name)}" for name in named if name in counts)
    figure, (ax,) = style.canvas("Promotion decisions", f"{said}; lower is better")
    ax.plot(range(same.height), same["champion_value"], color=style.INK, drawstyle="steps-mid", label="champion")
    _decision_marks(ax, same)
    days = [style.day_text(moment) for moment in same["decided_at"]]
    every = max(1, -(-same.height // 7))
    ax.set_xticks(range(0, same.height, every), labels=days[::every])
    style.label_axes(ax, "decided", str(metric).upper())
    style.legend(figure, ax)
    return figure


def _decision_marks(ax: "Axes", ledger: pl.DataFrame) -> None:
    for decision, (marker, colour, label) in DECISIONS.items():
        found = ledger.with_row_index("place").filter(pl.col("decision") == decision)
        if found.height:
            look: dict[str, Any] = {
                "marker": marker,
                "color": colour,
                "markersize": 9,
                "label": label,
            }
            ax.plot(found["place"], found["challenger_value"], linestyle="none", **look)


@style.chart(empty="No published forecast has met its actuals yet")
def accuracy_by_week(weeks: pl.DataFrame) -> "Figure":
    """Realised WQL of champion, previous champion, seasonal naive and a challenger on trial, by week.

    `weeks`: `window` (the week's last day), `role`, `pairs`, `wql`.
    """
    scored = weeks.drop_nulls("wql").sort("window")
    if scored.is_empty():
        return style.blank("Nothing was sold on the days that were forecast")
    pairs = int(scored.filter(pl.col("role") == "champion")["pairs"].sum())
    figure, (ax,) = style.canvas(
        "Published forecasts against sales", f"WQL by week, {style.counted(pairs, 'forecast')} met; lower is better"
    )
    for role, (label, colour) in ROLES.items():
        line = scored.filter(pl.col("role") == role)
        if line.height:
            ax.plot(line["window"], line["wql"], color=colour, linewidth=2, marker="o", markersize=4, label=label)
    ax.set_ylim(bottom=0)
    style.date_axis(ax, *style.first_and_last(scored["window"]))
    style.label_axes(ax, "week to", "WQL")
    style.legend(figure, ax)
    return figure


@style.chart(empty="No whole window since the last training")
def retrain_windows(windows: pl.DataFrame, *, error_ratio: float, drift_share: float) -> "Figure":
    """What the retrain decision looks at: by window, error against the promise and share of drifted columns.

    `windows`: `last, error_ratio, drift_share, out`, as `windows_table` gives them; windows out of bounds are red.
    """
    out = windows["out"].sum()
    said = f"{out} of {style.counted(windows.height, 'window')} out of bounds, in red"
    figure, axes = style.canvas("Is what was promised kept?", said, panels=2)
    colours = [style.RED if flag else style.BLUE for flag in windows["out"]]
    names = [f"to {style.day_text(day)}" for day in windows["last"]]
    panels = (
        ("error_ratio", error_ratio, "WQL against the backtest's"),
        ("drift_share", drift_share, "columns drifted"),
    )
    for ax, (column, bound, label) in zip(axes, panels, strict=True):
        style.bars_across(ax, names, windows[column].fill_null(0.0).to_list(), color=colours)
        ax.axvline(bound, color=style.INK, linewidth=1, linestyle="--", label="bound")
        ax.set_xlim(left=0)
        style.label_axes(ax, x=label)
        style.percent_axis(ax.xaxis)
    style.legend(figure, axes[0])
    return figure
