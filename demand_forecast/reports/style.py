"""One look for every chart: size, colours, axes, number formats, and how a figure becomes a PNG."""

import io
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Generic, ParamSpec

import numpy as np
import polars as pl

from demand_forecast.domain.models import BASELINE_MODEL
from demand_forecast.domain.models.base import FAMILIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")

WIDTH, HEIGHT, DPI, LEFT = 9.0, 4.2, 100, 0.012
INK, MUTED, GRID, GRID_DARK, PAPER = "#1f2933", "#616e7c", "#e4e7eb", "#b8c1cc", "#ffffff"
# Okabe and Ito (2008), Color Universal Design: told apart with every common colour-blindness
BLUE, ORANGE, GREEN, PINK, SKY, RED = "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"
PALE_RED = "#f5c6ac"
GREY = "#8a94a0"
PALETTE = (BLUE, ORANGE, GREEN, PINK, SKY, RED)
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
    figure.text(LEFT, 0.955, title, va="center", fontsize=13, fontweight="bold", color=INK)
    figure.text(LEFT, 0.893, subtitle, va="center", fontsize=9.5, color=MUTED)
    _keep_free(figure, above=0.86)
    axes = list(figure.subplots(1, panels, sharey=True, squeeze=False)[0])
    for ax in axes:
        _plain(ax)
    return figure, axes


def _keep_free(figure: "Figure", above: float) -> None:
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.06, rect=(0, 0, 1, above))  # type: ignore[union-attr,call-arg]


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
    """The legend of `ax` between title and axes, where it cannot cover data."""
    handles, labels = ax.get_legend_handles_labels()
    if handles:
        place: dict[str, Any] = {
            "loc": "center left",
            "bbox_to_anchor": (LEFT, 0.832),
            "borderpad": 0,
            "borderaxespad": 0,
        }
        figure.legend(handles, labels, ncols=6, frameon=False, fontsize=9, handlelength=1.6, **place)
        _keep_free(figure, above=0.79)


def count_axis(axis: Any) -> None:
    """Thousands separated, and no fraction where every tick is whole."""
    axis.set_major_formatter(lambda value, _: f"{value:,.10g}")


def percent_axis(axis: Any) -> None:
    axis.set_major_formatter(lambda value, _: f"{100 * value:.4g}%")


def whole_axis(axis: Any) -> None:
    """Ticks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=6, integer=True))


def horizon_axis(ax: "Axes", longest: int) -> None:
    """Horizons 1 to `longest`, a tick every seven, every one below 15."""
    step = 1 if longest < 15 else 7 * -(-longest // 70)
    ax.set_xlim(0.5, longest + 0.5)
    ax.set_xticks(range(step, longest + 1, step))


def date_axis(ax: "Axes", first: date, last: date) -> None:
    """Dates from `first` to `last`, half a day of room at both ends."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num

    ax.set_xlim(date2num(first) - 0.7, date2num(last) + 0.7)
    locator = AutoDateLocator(minticks=4, maxticks=9)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))


def bars_across(ax: "Axes", names: Sequence[str], values: Sequence[float], **look: Any) -> None:
    """Horizontal bars, the first name on top."""
    ax.barh(range(len(names)), values, height=0.66, **look)
    name_rows(ax, names)


def name_rows(ax: "Axes", names: Sequence[str]) -> None:
    ax.set_yticks(range(len(names)), labels=[shorten(name) for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    vertical_grid(ax)


def vertical_grid(ax: "Axes") -> None:
    ax.grid(axis="y", visible=False)
    ax.grid(axis="x", color=GRID, linewidth=0.8)


def label_bars(ax: "Axes", values: Sequence[float], texts: Sequence[str]) -> None:
    """A text behind each bar's end, and room for it."""
    for row, (value, text) in enumerate(zip(values, texts, strict=True)):
        ax.annotate(
            text, (max(value, 0), row), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9, color=INK
        )
    ax.margins(x=0.12)


def model_colours(models: Iterable[str]) -> dict[str, str]:
    """A colour per model: seasonal naive is grey everywhere, the others take the palette in name order."""
    rivals = sorted(set(models) - {BASELINE_MODEL})
    return {BASELINE_MODEL: GREY, **{model: PALETTE[i % len(PALETTE)] for i, model in enumerate(rivals)}}


def plain(name: str) -> str:
    """A name of the tables as a reader's: `seasonal_naive` is seasonal naive, `store_id` is store."""
    known = FAMILIES.get(name)
    return known.title if known else name.replace("_id", "").replace("_", " ").replace(" x ", " × ").strip()


def in_order(models: Iterable[str]) -> list[str]:
    """Models by name, seasonal naive last."""
    return sorted(set(models), key=lambda model: (model == BASELINE_MODEL, model))


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def shorten(text: str) -> str:
    return text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…"


def amount(value: float) -> str:
    """Thousands separated; two significant digits below 10."""
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.2g}"


def counted(count: int, noun: str) -> str:
    """`1 row`, `1,200 rows`."""
    return f"{count:,} {noun}{'' if count == 1 or noun == 'series' else 's'}"


def day_text(value: Any) -> str:
    return f"{value.day} {value:%b %Y}" if isinstance(value, date) else str(value)


def first_and_last(dates: pl.Series) -> tuple[date, date]:
    ordered = dates.drop_nulls().sort()
    return ordered[0], ordered[-1]


def period_of(dates: pl.Series) -> str:
    """ "week" when the dates of one series are a week apart, else "day"."""
    gaps = dates.unique().sort().diff().dt.total_days()
    return "week" if gaps.len() > 1 and gaps.drop_nulls().min() == 7 else "day"


def render(figure: "Figure") -> bytes:
    """`figure` as PNG bytes, the same bytes for the same figure. 96 colours: a third of the full-colour size."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text
    from PIL import Image

    for text in figure.findobj(Text):
        text.set_parse_math(False)  # type: ignore[attr-defined]
    drawn = FigureCanvasAgg(figure)
    drawn.draw()
    image = Image.fromarray(np.asarray(drawn.buffer_rgba())[..., :3])
    buffer = io.BytesIO()
    image.quantize(96, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(buffer, format="png", optimize=True)
    return buffer.getvalue()
