"""What a backtest means for a planner, in sentences: which model, how reliably, where it is weak, how sure it is."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import polars as pl

from demand_forecast.domain.demand.hierarchy import SERIES_LEVEL
from demand_forecast.domain.evaluation.scoring import SUMMARY
from demand_forecast.domain.models import BASELINE_MODEL
from demand_forecast.reports import style
from demand_forecast.reports.charts.accuracy import classes_in_order, levels_in_order, over_origins, place_name
from demand_forecast.reports.charts.calibration import HONEST, pit_shares

TIE = 0.01
MATTERS = 0.01  # of all units: a smaller class proves nothing
LEANS = 0.05


class Finding(NamedTuple):
    topic: str
    words: str


class Figures:
    """The best model's metrics as means over the origins, by metric and level."""

    def __init__(self, metrics: pl.DataFrame, model: str) -> None:
        self.model, self.metrics = model, metrics
        means = over_origins(metrics).filter(pl.col("model") == model)
        self.levels, self.classes = levels_in_order(means), classes_in_order(means)
        self._values = {
            (metric, level): value for metric, level, value in means.select("metric", "level", "value").rows()
        }

    def value(self, metric: str, level: str) -> float | None:
        return known(self._values.get((metric, level)))

    def by(self, metric: str, levels: Iterable[str]) -> dict[str, float]:
        """The metric at those of `levels` that have it."""
        found = {level: self.value(metric, level) for level in levels}
        return {level: value for level, value in found.items() if value is not None}

    def large_classes(self) -> list[str]:
        return [level for level in self.classes if (self.value("share_of_units", level) or 0) >= MATTERS]


def findings(summary: pl.DataFrame, metrics: pl.DataFrame, best: str, metric: str) -> list[Finding]:
    """What to know before trusting `best`, chosen by `metric`; `summary`, `metrics` as `evaluation_report`."""
    figures = Figures(metrics, best)
    added = f"fva_{metric}" if f"fva_{metric}" in SUMMARY else "fva_wape"
    said = {
        "Lead": _lead(summary, best, metric),
        "Reliability": _origins(figures, added),
        "By level": _levels(figures),
        "By kind of demand": _classes(figures),
        "New products": _new(figures),
        "How sure": _calibration(figures),
    }
    return [Finding(topic, " ".join(words)) for topic, words in said.items() if words]


def known(value: Any) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _lead(summary: pl.DataFrame, best: str, metric: str) -> list[str]:
    values = {model: known(value) for model, value in summary.select("model", metric).iter_rows()}
    own = values.pop(best)
    rivals = {model: value for model, value in values.items() if value is not None and model != BASELINE_MODEL}
    if not own or not rivals:
        return []
    model, value = min(rivals.items(), key=lambda item: item[1])
    behind = value / own - 1
    verdict = "practically a tie" if behind < TIE else "a clear lead" if behind >= 5 * TIE else "a small lead"
    named = style.sentence(style.plain(model))
    return [
        f"{named} is next, with a {metric.upper()} of {value:.3f} against {own:.3f} ({behind:.1%} more): {verdict}."
    ]


def _origins(figures: Figures, added: str) -> list[str]:
    rows = figures.metrics.filter(model=figures.model, metric=added, level=SUMMARY[added]).drop_nulls()
    values = dict(rows.select("forecast_origin", "value").iter_rows())
    if not values or figures.model == BASELINE_MODEL:
        return []
    won, name = sum(value > 0 for value in values.values()), added.removeprefix("fva_").upper()
    worst, least = min(values.items(), key=lambda item: item[1])
    times = "all" if won == len(values) else f"{won} of"
    said = f"It beats seasonal naive at {times} {style.counted(len(values), 'forecast origin')}"
    return [f"{said}; at the hardest, {style.day_text(worst)}, its {name} is {_than(least)} seasonal naive's."]


def _levels(figures: Figures) -> list[str]:
    added = figures.by("fva_wape", figures.levels)
    if len(added) < 2 or figures.model == BASELINE_MODEL:
        return []
    low, high = min(added, key=added.__getitem__), max(added, key=added.__getitem__)
    strong = f"It adds most at level {place_name(high)}, where its WAPE is {_than(added[high])} seasonal naive's"
    return [f"{strong}, and least at level {place_name(low)} ({added[low]:+.1%} value added).", *_beaten_at(figures)]


def _beaten_at(figures: Figures) -> list[str]:
    """The levels at which another model's RMSSE is clearly lower."""
    rivals = over_origins(figures.metrics).filter(pl.col("metric") == "rmsse", pl.col("model") != figures.model)
    own = figures.by("rmsse", figures.levels)
    lost: dict[str, list[str]] = {}
    for model, level, value in rivals.select("model", "level", "value").iter_rows():
        if level in own and value < own[level] * (1 - TIE):
            lost.setdefault(model, []).append(place_name(level))
    return [
        f"{style.sentence(style.plain(model))} is better by RMSSE at {_listed(levels)}."
        for model, levels in sorted(lost.items())
    ]


def _classes(figures: Figures) -> list[str]:
    missed = figures.by("wape", figures.large_classes())
    if not missed:
        return []
    parts = [f"{100 * value:.0f} on {place_name(level)}" for level, value in missed.items()]
    worst = max(missed, key=missed.__getitem__)
    return [
        f"Of 100 units sold it misses {_listed(parts)} demand.",
        f"Weakest on {place_name(worst)} demand, {_size(figures, worst)}: plan it from quantiles, not from the mean.",
        *_leaning(figures),
    ]


def _leaning(figures: Figures) -> list[str]:
    bias = figures.by("bias", figures.large_classes())
    leaning = [f"{place_name(level)} ({value:+.0%})" for level, value in bias.items() if abs(value) >= LEANS]
    return [f"In sum it is too high (+) or too low (-) on {_listed(leaning)} demand."] if leaning else []


def _new(figures: Figures) -> list[str]:
    level = next((level for level in figures.classes if place_name(level) == "new"), None)
    if level is None:
        return ["None of the series was new at an origin."]
    missed, added = figures.value("wape", level), figures.value("fva_wape", level)
    if missed is None:
        return [f"There are {_size(figures, level)}; nothing of them was sold."]
    compared = "" if added is None else f", {_than(added)} seasonal naive's"
    return [f"In their first 8 weeks ({_size(figures, level)}) it misses {missed:.0%} of what is sold{compared}."]


def _calibration(figures: Figures) -> list[str]:
    shares = pit_shares(figures.metrics).filter(model=figures.model)
    overall = shares.filter(level=SERIES_LEVEL.name)["share"].fill_nan(None).drop_nulls()
    if overall.is_empty():
        return []
    low, high = float(overall.min()), float(overall.max())  # type: ignore[arg-type]
    honest = HONEST[0] <= low and high <= HONEST[1]
    verdict = "the quantiles can be taken at their word" if honest else "the quantiles are somewhat off"
    said = (
        f"Each tenth of the forecast distribution caught {low:.1%} to {high:.1%} of sales, where 10% belong: {verdict}."
    )
    above = f"The top tenth, above the 90% quantile, caught {float(overall[-1]):.1%}."
    return [said, above, *_off_classes(figures, shares)]


def _off_classes(figures: Figures, shares: pl.DataFrame) -> list[str]:
    outside = ~pl.col("share").is_between(*HONEST)
    off = shares.filter(outside, pl.col("level").is_in(figures.large_classes()))["level"].unique()
    named = [place_name(level) for level in figures.large_classes() if level in off]
    return [f"Outside 9% to 11% in some tenth: {_listed(named)} demand."] if named else []


def _size(figures: Figures, level: str) -> str:
    count, share = figures.value("series", level) or 0, figures.value("share_of_units", level) or 0
    part = f"{share:.1%}" if share >= 0.001 else "less than 0.1%"
    return f"{style.counted(round(count), 'series')} with {part} of the units"


def _than(added: float) -> str:
    return f"{abs(added):.0%} {'below' if added >= 0 else 'above'}"


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
