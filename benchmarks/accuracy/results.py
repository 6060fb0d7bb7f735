"""What came out: every contender's forecast scored by the product's own scoring, and the table of it."""

from datetime import date

import polars as pl

from demand_forecast.domain.demand.calendar import Frequency, calendar_of
from demand_forecast.domain.demand.hierarchy import Level
from demand_forecast.domain.evaluation.scoring import score_backtest
from demand_forecast.domain.tables import QUANTILE_COLUMNS, series_key

FIGURES = {
    "WRMSSE": ("all", "wrmsse"),
    "WQL": ("series", "wql"),
    "WAPE": ("series", "wape"),
    "bias": ("total", "bias"),
    "coverage 80%": ("series", "coverage_80"),
}
COSTS = ("CPU-s", "peak MB")
SHARES = ("bias", "coverage 80%")


def as_backtest(forecast: pl.DataFrame, series: pl.DataFrame, outcome: pl.DataFrame, name: str) -> pl.DataFrame:
    """One contender's forecast of the days in `outcome` as rows of a backtest; below zero is zero.

    `forecast` names its series by their key or, as peers do, by the number in `series`. Quantiles may be missing.
    """
    if "product_id" not in forecast.columns:
        forecast = forecast.with_columns(pl.col("series").cast(pl.UInt32)).join(series, on="series")
    given = [column for column in ("mean", *QUANTILE_COLUMNS) if column in forecast.columns]
    none = [
        pl.lit(None, pl.Float32).alias(column)
        for column in (*QUANTILE_COLUMNS, "pit_low", "pit_high")
        if column not in given
    ]
    made = forecast.select(
        pl.col(series_key()).cast(pl.String),
        pl.col("date").cast(pl.Date),
        pl.col(given).cast(pl.Float32).clip(0),
        *none,
    )
    scored = outcome.join(made, on=[*series_key(), "date"], how="left", validate="1:1")
    missing = scored["mean"].is_null().sum()
    if missing:
        raise ValueError(f"{name}: no forecast for {missing} of {len(scored)} series and days")
    return scored.with_columns(model=pl.lit(name))


def score(
    backtest: pl.DataFrame,
    demand: pl.DataFrame,
    levels: list[Level],
    products: pl.DataFrame,
    stores: pl.DataFrame,
    frequency: Frequency,
) -> pl.DataFrame:
    """contender, origin and the FIGURES, a row per contender and origin; null where a contender gives no quantiles."""
    scores = score_backtest(backtest, demand, levels, products, stores, season=calendar_of(frequency).season)
    wanted = [
        pl.col("value").filter(pl.col("level") == level, pl.col("metric") == metric).first().fill_nan(None).alias(name)
        for name, (level, metric) in FIGURES.items()
    ]
    rows = scores.drop_nulls("forecast_origin").group_by("model", "forecast_origin").agg(wanted)
    rows = rows.with_columns(pl.when(pl.col("WQL").is_not_null()).then("coverage 80%"))
    return rows.rename({"model": "contender", "forecast_origin": "origin"})


def to_markdown(rows: pl.DataFrame, shared: list[date]) -> str:
    """The table over the origins that every contender forecast, and WRMSSE by origin."""
    means = rows.filter(pl.col("origin").is_in(shared)).group_by("contender").agg(pl.col(*FIGURES, *COSTS).mean())
    lines = _table(["contender", *FIGURES, *COSTS], [_shown(row) for row in means.sort("WRMSSE").iter_rows(named=True)])
    return "\n".join([*lines, "", "WRMSSE by origin:", "", *_by_origin(rows)])


def _by_origin(rows: pl.DataFrame) -> list[str]:
    origins = sorted(rows["origin"].unique(), reverse=True)
    found = {(row["contender"], row["origin"]): row["WRMSSE"] for row in rows.iter_rows(named=True)}
    order = (
        rows.group_by("contender")
        .agg(pl.len(), pl.col("WRMSSE").mean())
        .sort("len", "WRMSSE", descending=[True, False])
    )
    body = []
    for name in order["contender"]:
        values = [found.get((name, origin)) for origin in origins]
        known = [value for value in values if value is not None]
        mean = sum(known) / len(known) if len(known) == len(origins) else None
        body.append([name, *(_number(value) for value in [*values, mean])])
    return _table(["contender", *map(str, origins), "mean"], body)


def _shown(row: dict[str, object]) -> list[str]:
    cells = [str(row["contender"])]
    for name in FIGURES:
        cells.append(_number(row[name], f".{'1%' if name in SHARES else '3f'}"))
    return [*cells, *(_number(row[name], ",.0f") for name in COSTS)]


def _number(value: object, form: str = ".3f") -> str:
    return f"{value:{form}}" if isinstance(value, float) else "–"


def _table(head: list[str], body: list[list[str]]) -> list[str]:
    rule = ["---"] + ["--:"] * (len(head) - 1)
    return [f"| {' | '.join(cells)} |" for cells in [head, rule, *body]]
