"""The trade-off curves as a picture: stock across, achieved service up."""

from typing import Any

import polars as pl

from benchmarks.replenishment.curve import ACHIEVED
from demand_forecast.reports.style import (
    BLUE,
    GREY,
    INK,
    MUTED,
    ORANGE,
    PINK,
    canvas,
    label_axes,
    legend,
    percent_axis,
    plain,
    render,
    vertical_grid,
)

LOOKS = ((BLUE, "-", 2.4), (ORANGE, "-", 1.6), (GREY, "-", 1.6), (PINK, "--", 1.6))
TICKS = (0.8, 0.85, 0.9, 0.95, 0.98, 1.0)
TITLES = {"fill_rate": "Fill rate: share of demand served", "cycle_service": "Cycles without a stock-out"}


def policy_name(policy: str) -> str:
    """`lightgbm, normal error` as a reader's: the forecast, then how its error is taken."""
    forecast, _, error = policy.partition(", ")
    return f"{plain(forecast)}, {error or 'reorder plan'}"


def trade_off_picture(curve: pl.DataFrame, table: pl.DataFrame, name: str) -> bytes:
    """PNG of `trade_off`'s frame beside `equal_service`'s: one panel per kind of service."""
    figure, axes = canvas(
        f"What stock buys what service: {name}",
        "12 weeks of held-back days, an order each week; a point per promised service level. "
        "Up and to the left is better",
        panels=len(ACHIEVED),
    )
    policies = curve["policy"].unique(maintain_order=True).to_list()
    for ax, service in zip(axes, ACHIEVED, strict=True):
        for policy, look in zip(policies, LOOKS, strict=False):
            _line(ax, curve.filter(pl.col("policy") == policy).sort("asked"), service, policy_name(policy), look)
        _saving(ax, table.filter(pl.col("service") == service, pl.col("achieved") == 0.95), policies)
        ax.set_title(TITLES[service], loc="left", fontsize=10, color=INK)
        ax.set_ylim(TICKS[0], 1.003)
        ax.set_yticks(TICKS)
        ax.set_xlim(*_shown(curve, service))
        percent_axis(ax.yaxis)
        vertical_grid(ax)
        ax.grid(axis="y", visible=True)
        label_axes(ax, "average stock, days of demand")
    legend(figure, axes[0])
    return render(figure)


def _line(ax: Any, own: pl.DataFrame, service: str, label: str, look: tuple[str, str, float]) -> None:
    colour, style, width = look
    values = own["cover_days"].to_list(), own[service].to_list()
    ax.plot(*values, style, color=colour, linewidth=width, marker="o", markersize=3.2, label=label, zorder=2 + width)


def _shown(curve: pl.DataFrame, service: str) -> tuple[float, float]:
    """From the leanest stock in the panel to half as much again as the leanest that serves 98%."""
    least = [
        curve.filter(pl.col(service) >= achieved)["cover_days"].min() or curve["cover_days"].max()
        for achieved in (TICKS[0], 0.98)
    ]
    return 0.9 * least[0], 1.5 * least[1]  # type: ignore[operator, return-value]


def _saving(ax: Any, at: pl.DataFrame, policies: list[str]) -> None:
    """An arrow at 95% from the leaner curve of the seasonal naive forecast to ours, and what is saved."""
    ours, naive = (at.filter(pl.col("policy").is_in(some)) for some in (policies[:1], policies[2:]))
    best = naive.drop_nulls("cover_days").sort("cover_days").head(1)
    if best.is_empty() or ours["cover_days"][0] is None:
        return
    start, end = best["cover_days"][0], ours["cover_days"][0]
    ax.annotate(
        "", (end, 0.95), (start, 0.95), arrowprops={"arrowstyle": "->", "color": INK, "linewidth": 1.3}, zorder=9
    )
    said = f"arrow: {100 * (end / start - 1):+.0f}% against seasonal naive at 95%".replace("-", "−")
    ax.text(0.98, 0.04, said, transform=ax.transAxes, ha="right", fontsize=9, color=MUTED)
