"""Pictures of what changed: drift by column, and the champion's history."""

from typing import TYPE_CHECKING, Any

import polars as pl

from demand_forecast.reports import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_DECISIONS = 20
DECISIONS = {
    "promoted": ("^", style.GREEN, "challenger, promoted"),
    "kept": ("o", style.GREY, "challenger, not better"),
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
    same = ordered.filter(pl.col("metric") == metric).tail(MOST_DECISIONS)
    if same.is_empty():
        return style.blank("No decision names its metric")
    counts = dict(ordered["decision"].value_counts().iter_rows())
    said = ", ".join(f"{counts[name]} {name}" for name in DECISIONS if name in counts)
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
