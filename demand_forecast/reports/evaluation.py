"""The evaluation report: one HTML page that says which model is best, how good it is, and how that was measured."""

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from demand_forecast.domain.demand.demand_classes import NEW
from demand_forecast.domain.demand.hierarchy import SERIES_LEVEL
from demand_forecast.domain.evaluation.chance import read_chance
from demand_forecast.domain.evaluation.scoring import SUMMARY
from demand_forecast.domain.models import BASELINE_MODEL
from demand_forecast.domain.tables import SERIES
from demand_forecast.reports import style
from demand_forecast.reports.charts import accuracy, forecasts
from demand_forecast.reports.charts.calibration import calibration, calibration_by_class, pit_shares
from demand_forecast.reports.findings import findings, known
from demand_forecast.reports.glossary import MEASURES
from demand_forecast.settings import Promotion

TEMPLATES = Path(__file__).parent / "templates"
HIGHLIGHTS = {
    "wape": "Missed, of what was sold (WAPE)",
    "fva_wape": "Value added over seasonal naive",
    "bias": "Bias in total",
    "coverage_80": "Inside the 80% interval",
}
UNKNOWN = "–"
KINDS_OF_DEMAND = (
    "By how often and how evenly a product sold in a store in the year before the origin. Smooth: three days in four "
    "or more, in similar amounts. Erratic: as often, in very unequal amounts. Intermittent: more seldom, in similar "
    "amounts. Lumpy: seldom and unequal. Dormant: not at all. New: first sold less than 8 weeks before."
)
HONESTY = (
    "Each tenth of an honest forecast distribution catches a tenth of what is then sold. Tall bars at both ends: "
    "too sure of itself; a hill in the middle: too cautious; tall at the right: more is sold than was thought "
    "possible, and orders that follow the high quantiles run short."
)


@dataclass(frozen=True)
class Cell:
    text: str
    best: bool = False
    heading: bool = False


@dataclass(frozen=True)
class Table:
    caption: str
    columns: list[str]
    rows: list[list[Cell]]


@dataclass(frozen=True)
class Picture:
    png: bytes
    alt: str

    @property
    def source(self) -> str:
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@dataclass(frozen=True)
class Section:
    """A part of the page: what it asks, in words, pictures and tables."""

    title: str
    words: str
    pictures: list[Picture]
    tables: list[Table]


def evaluation_report(
    *,
    summary: pl.DataFrame,
    metrics: pl.DataFrame,
    backtest: pl.DataFrame,
    demand: pl.DataFrame,
    title: str,
    generated_at: datetime,
    data_versions: Mapping[str, int | str],
    pictures: Mapping[str, Picture],
    alignment: pl.DataFrame,
    metric: str = "wrmsse",
    rules: Promotion | None = None,
    decision: str | None = None,
    reproduce: Sequence[str] = (),
) -> str:
    """The report as one HTML page that needs no network.

    `summary`: one row per model, columns `model` and measures (a missing or null one is shown as a dash); `metrics`:
    `backtest_metrics`; `backtest`, `alignment`, `demand`: the tables `backtest`, `alignment` and `daily_demand`;
    `pictures`: those of `accuracy_pictures`. `metric` names the best model, `rules` say what is in bounds, `decision`
    is the promotion decision in words, `reproduce` the commands that make these numbers again.
    Raises ValueError when `summary` has no model.
    """
    if summary.is_empty():
        raise ValueError("evaluation report: summary has no model; run the backtest first")
    best = best_model(summary, metric)
    return _page(
        title=title,
        generated_at=_moment(generated_at),
        scope=scope(backtest, demand),
        headline=headline(summary, best, metric),
        findings=findings(summary, metrics, best, metric),
        highlights=highlights(summary, best),
        decision=decision,
        sections=_sections(summary, metrics, pictures, alignment, rules or Promotion()),
        examples=_examples(backtest, demand, best),
        glossary=[measure for key, measure in MEASURES.items() if key in summary.columns],
        data_versions=data_versions,
        reproduce=reproduce,
    )


def report_of_nothing(why: str, *, title: str, generated_at: datetime, data_versions: Mapping[str, int | str]) -> str:
    """The page where no forecast could be compared with sales, and why, as a sentence."""
    parts: dict[str, Any] = {"findings": [], "highlights": [], "sections": [], "examples": [], "glossary": []}
    return _page(
        title=title,
        generated_at=_moment(generated_at),
        scope=scope(pl.DataFrame(), pl.DataFrame()),
        headline=f"No model could be compared: {why}.",
        decision=None,
        data_versions=data_versions,
        reproduce=(),
        **parts,
    )


def _moment(at: datetime) -> str:
    return f"{style.day_text(at)}, {at:%H:%M} {at.tzname() or ''}".strip()


def _page(**content: Any) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(TEMPLATES)
    pages = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return pages.get_template("evaluation.html.j2").render(**content)


def best_model(summary: pl.DataFrame, metric: str) -> str:
    """The model with the lowest `metric`; by name where equal, and where the metric is unknown for all."""
    known = summary.with_columns(pl.col(metric).fill_nan(None)).sort(metric, "model", nulls_last=True)
    return str(known["model"][0])


def headline(summary: pl.DataFrame, best: str, metric: str) -> str:
    """The result in words: which model, its value added over seasonal naive, its bias and its interval."""
    figures = summary.filter(pl.col("model") == best).row(0, named=True)
    return " ".join([_verdict(figures, metric, summary.height), *_bias_sentence(figures), *_interval_sentence(figures)])


def _verdict(figures: dict[str, Any], metric: str, models: int) -> str:
    name, added = style.sentence(style.plain(figures["model"])), known(figures.get(f"fva_{metric}"))
    if figures["model"] == BASELINE_MODEL:
        return "No model beats seasonal naive" + (": nothing more complex is worth running." if models > 1 else " yet.")
    beaten = f"the best of {models} models" if models > 1 else "the only model"
    if added is None:
        return f"{name} is {beaten} by {metric.upper()}."
    than = "lower" if added >= 0 else "higher"
    return f"{name} is {beaten}: its {metric.upper()} is {abs(added):.1%} {than} than seasonal naive's."


def _bias_sentence(figures: dict[str, Any]) -> list[str]:
    bias = known(figures.get("bias"))
    if bias is None:
        return []
    if abs(bias) < 0.005:
        return ["In total it forecasts neither too much nor too little (less than 0.5% off)."]
    return [f"In total it forecasts {abs(bias):.1%} too {'much' if bias > 0 else 'little'}."]


def _interval_sentence(figures: dict[str, Any]) -> list[str]:
    covered = known(figures.get("coverage_80"))
    return [] if covered is None else [f"Sales stayed inside its 80% interval {covered:.0%} of the time."]


def highlights(summary: pl.DataFrame, best: str) -> list[tuple[str, str]]:
    """The best model's four figures that a planner asks for first, as (label, text)."""
    figures = summary.filter(pl.col("model") == best).row(0, named=True)
    return [(label, show(key, figures[key])) for key, label in HIGHLIGHTS.items() if key in figures]


def scope(backtest: pl.DataFrame, demand: pl.DataFrame) -> list[tuple[str, str]]:
    """What was measured, as (label, text)."""
    if backtest.is_empty() or demand.is_empty():
        return [("Backtest", "no rows")]
    first, last = demand.select(first=pl.col("date").min(), last=pl.col("date").max()).row(0)
    origins = backtest["forecast_origin"].unique().sort().to_list()
    period, longest = style.period_of(backtest["date"]), int(backtest["horizon"].to_numpy().max())
    return [
        ("Series", f"{backtest.select(SERIES).unique().height:,}"),
        ("History", f"{style.day_text(first)} to {style.day_text(last)}"),
        ("Forecast origins", f"{len(origins)}: {', '.join(map(style.day_text, origins))}"),
        ("Horizon", style.counted(longest, period)),
    ]


def show(key: str, value: Any) -> str:
    """A measure's value as it is printed: percent, signed percent, or three decimals; a dash when unknown."""
    found = known(value)
    text = UNKNOWN if found is None else format(found, MEASURES[key].form)
    return text if found is None or text.strip("+-0.%") else text.lstrip("+-")


def _sections(
    summary: pl.DataFrame,
    metrics: pl.DataFrame,
    pictures: Mapping[str, Picture],
    alignment: pl.DataFrame,
    rules: Promotion,
) -> list[Section]:
    means = accuracy.over_origins(metrics)
    by_class = _by_class(means)
    ages = [by_class.filter((pl.col("kind_of_demand") == NEW) == young) for young in (False, True)]
    return [
        Section("The models side by side", "", [], [measure_table("All origins together", summary)]),
        Section(
            "When: by forecast origin",
            "A model is better when it is better again and again: one origin proves little.",
            [pictures["skill_by_origin"], pictures["error_by_horizon"]],
            [measure_table("By forecast origin", _by_origin(metrics), "forecast_origin", style.day_text)],
        ),
        Section(
            "Where: by level of the hierarchy",
            "The same forecasts summed to departments, stores and the total, as buying and logistics read them. "
            "WRMSSE is the mean of the levels' RMSSE.",
            [pictures["metrics_by_level"]],
            [level_table(metrics, "rmsse"), level_table(metrics, "wape"), *alignment_tables(alignment)],
        ),
        Section(
            "Which products: by kind of demand",
            KINDS_OF_DEMAND,
            [pictures["metrics_by_class"]],
            [
                measure_table(caption, table, "kind_of_demand")
                for caption, table in zip(("By kind of demand", "New products, apart"), ages, strict=True)
                if table.height
            ],
        ),
        Section(
            "How sure: can the quantiles be taken at their word?",
            HONESTY,
            [pictures["calibration"], pictures["calibration_by_class"]],
            [tenths_table(metrics), bounds_table(summary, metrics, rules)],
        ),
    ]


def _by_class(means: pl.DataFrame) -> pl.DataFrame:
    classes = accuracy.classes_in_order(means)
    kind = pl.col("level").replace_strict({level: accuracy.place_name(level) for level in classes})
    found = means.filter(pl.col("level").is_in(classes), pl.col("metric").is_in(list(MEASURES)))
    wide = found.pivot("metric", index=["level", "model"], values="value")
    return wide.sort(pl.col("level").cast(pl.Enum(classes)), "model").with_columns(kind_of_demand=kind)


def _by_origin(metrics: pl.DataFrame) -> pl.DataFrame:
    """Every measure of the summary for each origin, read at the summary's level."""
    chosen = pl.DataFrame({"metric": list(SUMMARY), "level": list(SUMMARY.values())})
    found = metrics.drop_nulls("forecast_origin").join(chosen, on=["metric", "level"], how="semi")
    return found.pivot("metric", index=["forecast_origin", "model"], values="value").sort("forecast_origin", "model")


def measure_table(
    caption: str, measured: pl.DataFrame, group: str | None = None, name: Callable[[Any], str] = str
) -> Table:
    """Models in rows, measures in columns; within each value of `group` the best value of a measure is marked."""
    keys = [key for key in MEASURES if key in measured.columns]
    columns = [
        *([style.sentence(style.plain(group))] if group else []),
        "Model",
        *(MEASURES[key].label for key in keys),
    ]
    parts = measured.partition_by(group, maintain_order=True) if group else [measured]
    return Table(caption, columns, [row for part in parts for row in _rows(part, keys, group, name)])


def _rows(part: pl.DataFrame, keys: list[str], group: str | None, name: Callable[[Any], str]) -> list[list[Cell]]:
    places = [[Cell(name(value), heading=True)] for value in part[group]] if group else [[] for _ in range(part.height)]
    models = [Cell(style.plain(model), heading=True) for model in part["model"]]
    columns = [_rivals(key, part[key].to_list()) for key in keys]
    return [[*place, model, *row] for place, model, row in zip(places, models, zip(*columns, strict=True), strict=True)]


def level_table(metrics: pl.DataFrame, key: str) -> Table:
    """Levels in rows; one measure of each model in columns, as means over the origins. RMSSE has their mean, WRMSSE."""
    means = accuracy.over_origins(metrics)
    found = {(level, model): value for level, model, value in _values(means, key)}
    models = style.in_order(means["model"])
    rows = [
        [Cell(style.plain(level), heading=True), *_rivals(key, [found.get((level, model)) for model in models])]
        for level in accuracy.levels_in_order(means)
    ]
    if key == "rmsse":
        weighted = {model: value for _, model, value in _values(means, "wrmsse")}
        rows.append([Cell("mean: WRMSSE", heading=True), *_rivals("wrmsse", [weighted.get(model) for model in models])])
    caption = f"{MEASURES[key].label} by level (mean over the origins)"
    return Table(caption, ["Level", *map(style.plain, models)], rows)


def _values(means: pl.DataFrame, metric: str) -> list[tuple[Any, ...]]:
    return means.filter(pl.col("metric") == metric).select("level", "model", "value").rows()


def alignment_tables(alignment: pl.DataFrame) -> list[Table]:
    """How far each model is moved towards the forecasts of groups, and what that did to the error of groups; none where
    no model is aligned.
    """
    learned = alignment.filter(pl.col("forecast_origin").is_null())
    rows = [
        [
            Cell(style.plain(row["model"]), heading=True),
            *(Cell(_percent(row[key])) for key in ("weight", "error_before", "error_after")),
        ]
        for row in learned.iter_rows(named=True)
    ]
    caption = (
        "Alignment: how far forecasts are moved towards those of their groups, learned from the other origins (0%: it "
        "does not pay), and the error of groups and total, as a share of sales"
    )
    return [Table(caption, ["Model", "Moved by", "Error before", "Error after"], rows)] if rows else []


def tenths_table(metrics: pl.DataFrame) -> Table:
    """Models in rows, the share of sales in each tenth of their forecast distribution in columns, over all series."""
    shares = pit_shares(metrics).filter(level=SERIES_LEVEL.name)
    rows = []
    for model in style.in_order(shares["model"]):
        found = shares.filter(model=model).sort("tenth")["share"].to_list()
        rows.append([Cell(style.plain(model), heading=True), *(Cell(_percent(share)) for share in found)])
    tenths = [f"{10 * tenth}–{10 * tenth + 10}%" for tenth in range(10)]
    return Table(
        "Share of sales by tenth of the forecast distribution (mean over the origins)", ["Model", *tenths], rows
    )


def bounds_table(summary: pl.DataFrame, metrics: pl.DataFrame, rules: Promotion) -> Table:
    """Models in rows: bias and calibration error, and what each may be with so many outcomes before it is refused."""
    rows = []
    for figures in summary.join(pl.DataFrame({"model": [*read_chance(metrics)]}), on="model").iter_rows(named=True):
        chance = read_chance(metrics)[figures["model"]]
        bias = rules.max_bias + chance.bias_allowance(rules.max_bias)
        error = rules.max_calibration_error + chance.calibration_allowance(rules.max_calibration_error)
        shares = map(_percent, (figures["bias"], bias, figures["calibration_error"], error))
        rows.append([Cell(style.plain(figures["model"]), heading=True), *map(Cell, (f"{chance.outcomes:,}", *shares))])
    columns = ["Model", "Outcomes", "Bias", "at most", "Calibration error", "at most"]
    return Table("Bounds: the limits, and what chance adds to them with so many outcomes", columns, rows)


def _percent(share: Any) -> str:
    found = known(share)
    return UNKNOWN if found is None or math.isinf(found) else f"{found:.1%}"


def _rivals(key: str, values: list[Any]) -> list[Cell]:
    best = _best(key, values)
    return [Cell(text, text == best) for text in (show(key, value) for value in values)]


def _best(key: str, values: list[Any]) -> str | None:
    """The best value as it is printed, so that what reads equal is marked alike; None where all do."""
    found, distance = [value for value in map(known, values) if value is not None], MEASURES[key].distance
    differ = len({show(key, value) for value in found}) > 1
    return show(key, min(found, key=distance)) if distance and differ else None


def accuracy_pictures(
    summary: pl.DataFrame, metrics: pl.DataFrame, backtest: pl.DataFrame, metric: str = "wrmsse"
) -> dict[str, Picture]:
    """The page's pictures of how good the models are, by name; arguments as `evaluation_report`."""
    added = f"fva_{metric}" if f"fva_{metric}" in SUMMARY else "fva_wape"
    best = best_model(summary, metric)
    return {
        "skill_by_origin": Picture(
            accuracy.skill_by_origin(metrics, metric=added),
            "Bars: each model's value added over seasonal naive by origin",
        ),
        "error_by_horizon": Picture(accuracy.error_by_horizon(backtest), "Lines: each model's WAPE by horizon"),
        "metrics_by_level": Picture(
            accuracy.metrics_by_level(metrics), "Bars: WAPE and RMSSE of each model by level of the hierarchy"
        ),
        "metrics_by_class": Picture(
            accuracy.metrics_by_class(metrics), "Bars: WAPE and WQL of each model by kind of demand"
        ),
        "calibration": Picture(
            calibration(metrics), "Ten bars for each model: share of sales in each tenth of its forecast distribution"
        ),
        "calibration_by_class": Picture(
            calibration_by_class(metrics, best), "Ten bars for each kind of demand: share of sales in each tenth"
        ),
    }


def _examples(backtest: pl.DataFrame, demand: pl.DataFrame, model: str) -> list[Picture]:
    """Fast, medium and slow series that `model` has forecast."""
    made = backtest.filter(pl.col("model") == model)
    if made.is_empty() or demand.is_empty():
        return []
    first, _ = style.first_and_last(made["forecast_origin"].unique())
    recent = demand.filter(pl.col("date") > first - forecasts.HISTORY)
    chosen = forecasts.representative_series(recent.join(made.select(SERIES).unique(), on=list(SERIES), how="semi"))
    return [
        Picture(
            forecasts.forecast_against_actuals(made, recent, model, (store, product)),
            f"Units sold of product {product} in store {store} beside forecast and 80% interval",
        )
        for store, product in chosen
    ]
