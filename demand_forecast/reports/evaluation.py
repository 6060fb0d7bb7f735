"""The evaluation report: one HTML page that says which model is best, how good it is, and how that was measured."""

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from demand_forecast.domain.scoring import MIN_IN_STOCK, SUMMARY
from demand_forecast.domain.tables import DAY_KEY, SERIES
from demand_forecast.reports import style
from demand_forecast.reports.charts import accuracy, forecasts
from demand_forecast.reports.glossary import MEASURES

TEMPLATES = Path(__file__).parent / "templates"
BY_LEVEL = ("wape", "rmsse")
HIGHLIGHTS = {
    "wape": "Missed, of what was sold (WAPE)",
    "fva_wape": "Value added over seasonal naive",
    "bias": "Bias in total",
    "coverage_80": "Inside the 80% interval",
}
UNKNOWN = "–"


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


def evaluation_report(
    *,
    summary: pl.DataFrame,
    metrics: pl.DataFrame,
    backtest: pl.DataFrame,
    demand: pl.DataFrame,
    title: str,
    generated_at: datetime,
    data_versions: Mapping[str, int | str],
    metric: str = "wrmsse",
    decision: str | None = None,
    reproduce: Sequence[str] = (),
) -> str:
    """The report as one HTML page that needs no network.

    `summary`: one row per model, columns `model` and measures (a missing or null one is shown as a dash); `metrics`:
    `backtest_metrics`; `backtest`, `demand`: the tables `backtest` and `daily_demand`. `metric` names the best model,
    `decision` is the promotion decision in words, `reproduce` the commands that make these numbers again.
    Raises ValueError when `summary` has no model.
    """
    if summary.is_empty():
        raise ValueError("evaluation report: summary has no model; run the backtest first")
    best = best_model(summary, metric)
    return _page(
        title=title,
        generated_at=f"{style.day_text(generated_at)}, {generated_at:%H:%M} {generated_at.tzname() or ''}".strip(),
        scope=scope(backtest, demand),
        headline=headline(summary, best, metric),
        highlights=highlights(summary, best),
        decision=decision,
        tables=_tables(summary, metrics),
        accuracy=_accuracy_pictures(metrics, _counted(backtest, demand), metric),
        examples=_examples(backtest, demand, best),
        glossary=[measure for key, measure in MEASURES.items() if key in summary.columns],
        data_versions=data_versions,
        reproduce=reproduce,
    )


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
    name, added = style.sentence(style.plain(figures["model"])), _known(figures.get(f"fva_{metric}"))
    if figures["model"] == style.BASELINE:
        return "No model beats seasonal naive" + (": nothing more complex is worth running." if models > 1 else " yet.")
    beaten = f"the best of {models} models" if models > 1 else "the only model"
    if added is None:
        return f"{name} is {beaten} by {metric.upper()}."
    than = "lower" if added >= 0 else "higher"
    return f"{name} is {beaten}: its {metric.upper()} is {abs(added):.1%} {than} than seasonal naive's."


def _bias_sentence(figures: dict[str, Any]) -> list[str]:
    bias = _known(figures.get("bias"))
    if bias is None:
        return []
    if abs(bias) < 0.005:
        return ["In total it forecasts neither too much nor too little (less than 0.5% off)."]
    return [f"In total it forecasts {abs(bias):.1%} too {'much' if bias > 0 else 'little'}."]


def _interval_sentence(figures: dict[str, Any]) -> list[str]:
    covered = _known(figures.get("coverage_80"))
    return [] if covered is None else [f"Sales stayed inside its 80% interval {covered:.0%} of the time."]


def highlights(summary: pl.DataFrame, best: str) -> list[tuple[str, str]]:
    """The best model's four figures that a planner asks for first, as (label, text)."""
    figures = summary.filter(pl.col("model") == best).row(0, named=True)
    return [(label, show(key, figures[key])) for key, label in HIGHLIGHTS.items() if key in figures]


def scope(backtest: pl.DataFrame, demand: pl.DataFrame) -> list[tuple[str, str]]:
    """What was measured, as (label, text)."""
    if backtest.is_empty() or demand.is_empty():
        return [("Backtest", "no rows")]
    first, last = style.first_and_last(demand["date"])
    origins = backtest["forecast_origin"].unique().sort().to_list()
    period, longest = style.period_of(backtest["date"]), int(backtest["horizon"].to_numpy().max())
    return [
        ("Series", f"{demand.select('store_id', 'product_id').n_unique():,}"),
        ("History", f"{style.day_text(first)} to {style.day_text(last)}"),
        ("Forecast origins", f"{len(origins)}: {', '.join(map(style.day_text, origins))}"),
        ("Horizon", style.counted(longest, period)),
    ]


def _known(value: Any) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def show(key: str, value: Any) -> str:
    """A measure's value as it is printed: percent, signed percent, or three decimals; a dash when unknown."""
    known = _known(value)
    text = UNKNOWN if known is None else format(known, MEASURES[key].form)
    return text if known is None or text.strip("+-0.%") else text.lstrip("+-")


def _counted(backtest: pl.DataFrame, demand: pl.DataFrame) -> pl.DataFrame:
    """The rows of `backtest` that the metrics count: not the days on which a series was mostly out of stock."""
    return backtest.join(demand.filter(pl.col("in_stock") < MIN_IN_STOCK), on=list(DAY_KEY), how="anti")


def _tables(summary: pl.DataFrame, metrics: pl.DataFrame) -> list[Table]:
    return [
        measure_table("All origins together", summary),
        measure_table("By forecast origin", _by_origin(metrics), "forecast_origin", style.day_text),
        level_table(metrics),
    ]


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


def level_table(metrics: pl.DataFrame) -> Table:
    """Levels in rows; WAPE and RMSSE of each model in columns, as means over the origins."""
    means = metrics.filter(pl.col("forecast_origin").is_null(), pl.col("metric").is_in(BY_LEVEL))
    found = {tuple(place): value for *place, value in means.select("level", "metric", "model", "value").iter_rows()}
    models = style.in_order(means["model"])
    columns = [f"{MEASURES[key].label} {style.plain(model)}" for key in BY_LEVEL for model in models]
    rows = []
    for level in accuracy.levels_in_order(means):
        row = [Cell(style.plain(level), heading=True)]
        for key in BY_LEVEL:
            row += _rivals(key, [found.get((level, key, model)) for model in models])
        rows.append(row)
    return Table("By level of the hierarchy (mean over the origins)", ["Level", *columns], rows)


def _rivals(key: str, values: list[Any]) -> list[Cell]:
    best = _best(key, values)
    return [Cell(text, text == best) for text in (show(key, value) for value in values)]


def _best(key: str, values: list[Any]) -> str | None:
    """The best value as it is printed, so that what reads equal is marked alike; None where all do."""
    known, distance = [value for value in map(_known, values) if value is not None], MEASURES[key].distance
    differ = len({show(key, value) for value in known}) > 1
    return show(key, min(known, key=distance)) if distance and differ else None


def _accuracy_pictures(metrics: pl.DataFrame, backtest: pl.DataFrame, metric: str) -> list[Picture]:
    added = f"fva_{metric}" if f"fva_{metric}" in SUMMARY else "fva_wape"
    return [
        Picture(
            accuracy.skill_by_origin(metrics, metric=added),
            "Bars: each model's value added over seasonal naive by origin",
        ),
        Picture(accuracy.error_by_horizon(backtest), "Lines: each model's WAPE by horizon"),
        Picture(accuracy.metrics_by_level(metrics), "Bars: WAPE and RMSSE of each model by level of the hierarchy"),
        Picture(accuracy.calibration(backtest), "For each model, share of sales at or below each of nine quantiles"),
    ]


def _examples(backtest: pl.DataFrame, demand: pl.DataFrame, model: str) -> list[Picture]:
    """Fast, medium and slow series that `model` has forecast."""
    forecast = backtest.filter(pl.col("model") == model).select(SERIES).unique()
    chosen = forecasts.representative_series(demand.join(forecast, on=list(SERIES), how="semi"))
    return [
        Picture(
            forecasts.forecast_against_actuals(backtest, demand, model, (store, product)),
            f"Units sold of product {product} in store {store} beside forecast and 80% interval",
        )
        for store, product in chosen
    ]
