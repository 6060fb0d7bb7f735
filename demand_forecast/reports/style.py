"""One look for every chart: size, colours, axes, number formats, and how a figure becomes a PNG."""

import io
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Generic, ParamSpec

import polars as pl

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")

WIDTH, HEIGHT, DPI = 9.0, 4.2, 100
INK, MUTED, GRID, PAPER = "#1f2933", "#616e7c", "#e4e7eb", "#ffffff"
# Okabe and Ito (2008), Color Universal Design: told apart with every common colour-blindness
BLUE, ORANGE, GREEN, PINK, SKY, RED = "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"
GREY = "#8a94a0"
BASELINE = "seasonal_naive"
LONGEST_LABEL = 30


class Chart(Generic[P]):
    """A function of frames that draws a figure; called, it gives the figure's PNG bytes."""

    def __init__(self, draw: Callable[P, "Figure"], empty: str) -> None:
        self.draw, self.empty = draw, empty
        update_wrapper(self, draw)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> bytes:
        return render(self.figure(*args, **kwargs))

    def figure(self, *args: P.args, **kwargs: P.kwargs) -> "Figure":
        """The figure before rendering; a sentence instead of axes when the first frame has no rows."""
        first = args[0] if args else next(iter(kwargs.values()))
        return blank(self.empty) if isinstance(first, pl.DataFrame) and first.is_empty() else self.draw(*args, **kwargs)


def chart(empty: str) -> Callable[[Callable[P, "Figure"]], Chart[P]]:
    """Make a drawing function a `Chart`; `empty` is what it says when there is nothing to draw."""
    return lambda draw: Chart(draw, empty)


def blank(message: str) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, facecolor=PAPER)
    figure.text(0.5, 0.5, message, ha="center", va="center", color=MUTED, fontsize=12)
    return figure


def canvas(title: str, subtitle: str = "", *, panels: int = 1) -> "tuple[Figure, list[Axes]]":
    """A figure with a title, a line below it, and `panels` axes side by side on one vertical scale."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, facecolor=PAPER, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)  # type: ignore[union-attr,call-arg]
    figure.suptitle(title, x=0.013, ha="left", fontsize=13, fontweight="bold", color=INK)
    axes = list(figure.subplots(1, panels, sharey=True, squeeze=False)[0])
    if subtitle:
        figure.supxlabel(subtitle, x=0.013, ha="left", fontsize=9, color=MUTED)
    for ax in axes:
        _plain(ax)
    return figure, axes


def _plain(ax: "Axes") -> None:
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.spines["bottom"].set_color(GREY)
    ax.tick_params(colors=MUTED, labelcolor=INK, labelsize=9, length=3)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)


def label_axes(ax: "Axes", x: str = "", y: str = "") -> None:
    ax.set_xlabel(x, color=MUTED, fontsize=9)
    ax.set_ylabel(y, color=MUTED, fontsize=9)


def legend(figure: "Figure", ax: "Axes") -> None:
    """The legend of `ax` above the axes, where it cannot cover data."""
    handles, labels = ax.get_legend_handles_labels()
    if handles:
        columns = min(len(handles), 5)
        figure.legend(handles, labels, loc="outside upper left", ncols=columns, frameon=False, fontsize=9)


def count_axis(axis: Any) -> None:
    """Thousands separated, and no fraction where every tick is whole."""
    axis.set_major_formatter(lambda value, _: f"{value:,.10g}")


def percent_axis(axis: Any) -> None:
    axis.set_major_formatter(lambda value, _: f"{100 * value:.4g}%")


def date_axis(ax: "Axes") -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=4, maxticks=9)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def bars_across(ax: "Axes", names: Sequence[str], values: Sequence[float], **look: Any) -> None:
    """Horizontal bars, the first name on top."""
    ax.barh(range(len(names)), values, height=0.66, **look)
    name_rows(ax, names)


def name_rows(ax: "Axes", names: Sequence[str]) -> None:
    ax.set_yticks(range(len(names)), labels=[shorten(name) for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.grid(axis="x", color=GRID, linewidth=0.8)


def label_bars(ax: "Axes", values: Sequence[float], texts: Sequence[str]) -> None:
    """A text behind each bar's end, and room for it."""
    for row, (value, text) in enumerate(zip(values, texts, strict=True)):
        ax.annotate(text, (max(value, 0), row), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9, color=INK)
    ax.margins(x=0.12)


def model_colours(models: Iterable[str]) -> dict[str, str]:
    """A colour per model: seasonal naive is grey everywhere, the others take the palette in name order."""
    palette = (BLUE, ORANGE, GREEN, PINK, SKY, RED)
    rivals = sorted(set(models) - {BASELINE})
    return {BASELINE: GREY, **{model: palette[i % len(palette)] for i, model in enumerate(rivals)}}


def model_name(model: str) -> str:
    return model.replace("_", " ").strip()


def in_order(models: Iterable[str]) -> list[str]:
    """Models by name, seasonal naive last."""
    return sorted(set(models), key=lambda model: (model == BASELINE, model))


def shorten(text: str) -> str:
    return text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…"


def amount(value: float) -> str:
    """Thousands separated; three significant digits below 100."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def day_text(value: Any) -> str:
    return f"{value.day} {value:%b %Y}" if isinstance(value, date) else str(value)


def period_of(dates: pl.Series) -> str:
    """"week" when the dates of one series are a week apart, else "day"."""
    gaps = dates.unique().sort().diff().dt.total_days()
    return "week" if gaps.len() > 1 and gaps.drop_nulls().min() == 7 else "day"


def render(figure: "Figure") -> bytes:
    """`figure` as PNG bytes, the same bytes for the same figure."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)  # type: ignore[attr-defined]
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
