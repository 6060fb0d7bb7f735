"""Evidently behind one adapter: do recent days still look like the days that the champion learned from?"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    import pandas as pd

METHOD = "psi"
MIN_ROWS = 100  # ten equal bins of 100 rows each side differ by 0.18 from chance alone, nearly the threshold
BINS = 10
OWN_BIN = 0.05  # a value with this share of the reference rows gets a bin of its own
RARE = 0.01  # categories below this share of the reference rows are counted together
MISSING = "missing"
COLUMNS = {
    "column": pl.String,
    "method": pl.String,
    "score": pl.Float64,
    "drifted": pl.Boolean,
    "reason": pl.String,
}


@dataclass(frozen=True)
class DriftResult:
    """What changed. `share`: drifted columns among those that can move; `by_column`: `column, method, score, drifted,
    reason`, where `score` and `drifted` are null and `reason` says why for a column that cannot be compared or move."""

    html: str
    share: float
    drifted: bool
    by_column: pl.DataFrame
    rows_current: int
    rows_reference: int


@dataclass(frozen=True)
class _Compared:
    """A column of both frames as bins that the population stability index counts."""

    column: str
    current: pl.Series
    reference: pl.Series


def drift_report(
    current: pl.DataFrame,
    reference: pl.DataFrame,
    *,
    numeric: Sequence[str],
    categorical: Sequence[str] = (),
    fixed: Mapping[str, str] | None = None,
    drift_share: float = 0.5,
    threshold: float = 0.2,
    max_rows: int = 20_000,
    seed: int = 7,
) -> DriftResult:
    """Population stability index of every column of `current` (recent rows) against `reference` (training rows).

    A column has drifted from `threshold` on, the data from a share `drift_share` of drifted columns on. Both frames are
    sampled down to `max_rows`. Numbers are binned at the reference's deciles (Siddiqi 2006, Credit Risk Scorecards;
    0.1 is a small, 0.2 a large change): Evidently's own bins are equally wide, and heavy-tailed units all fall into the
    first. Missing values are a bin. A column without values, or with fewer than 100 rows, is listed with the reason and
    does not count; nor does one that cannot move: `fixed` by construction (with the reason), or the same value
    throughout both frames.
    """
    sampled = _sample(current, max_rows, seed), _sample(reference, max_rows, seed)
    still = _constant(current, reference, [*numeric, *categorical]) | dict(fixed or {})
    compared, reasons = _compare(*sampled, numeric, categorical, still)
    html, scores = _evidently(compared, drift_share, threshold) if compared else (_nothing_compared(reasons), {})
    by_column = _by_column([*numeric, *categorical], scores, reasons, threshold)
    share = float(by_column["drifted"].mean() or 0.0)  # type: ignore[arg-type]
    drifted = bool(scores) and share >= drift_share
    return DriftResult(html, share, drifted, by_column, sampled[0].height, sampled[1].height)


def _sample(frame: pl.DataFrame, rows: int, seed: int) -> pl.DataFrame:
    return frame.sample(rows, seed=seed) if frame.height > rows else frame


def _compare(
    current: pl.DataFrame,
    reference: pl.DataFrame,
    numeric: Sequence[str],
    categorical: Sequence[str],
    still: Mapping[str, str],
) -> tuple[list[_Compared], dict[str, str]]:
    compared, reasons = [], {}
    for column in (*numeric, *categorical):
        unknown = _cannot_compare(column, current, "current") or _cannot_compare(column, reference, "reference")
        reason = unknown or still.get(column)
        if reason:
            reasons[column] = reason
        else:
            binned = _bin_numbers if column in numeric else _bin_categories
            compared.append(_Compared(column, *binned(current[column], reference[column])))
    return compared, reasons


def _cannot_compare(column: str, frame: pl.DataFrame, name: str) -> str | None:
    if column not in frame.columns:
        return f"not a column of the {name} rows"
    if frame.height < MIN_ROWS:
        return f"{frame.height} {name} rows; {MIN_ROWS} are needed"
    return f"no value in the {name} rows" if _clean(frame[column]).null_count() == frame.height else None


def _constant(current: pl.DataFrame, reference: pl.DataFrame, columns: Sequence[str]) -> dict[str, str]:
    """The columns with one and the same value in both frames, before they are sampled: rare values count too."""
    shared = [name for name in columns if name in current.columns and name in reference.columns]
    values = {name: {*current[name].unique().head(2), *reference[name].unique().head(2)} for name in shared}
    return {name: f"always {next(iter(found))}" for name, found in values.items() if len(found) == 1}


def _clean(values: pl.Series) -> pl.Series:
    return values.fill_nan(None) if values.dtype.is_float() else values


def _bin_numbers(current: pl.Series, reference: pl.Series) -> tuple[pl.Series, pl.Series]:
    frames = [_clean(values.cast(pl.Float64)) for values in (current, reference)]
    edges = _edges(frames[1].drop_nulls().to_numpy())
    labels = _bin_labels(edges)
    first, second = (values.cut(edges, labels=labels).cast(pl.String).fill_null(MISSING) for values in frames)
    return first, second


def _edges(reference: np.ndarray) -> list[float]:
    """Upper ends of the bins, inclusive: the deciles, and just below each one that many rows have exactly."""
    levels = np.arange(1, BINS) / BINS
    deciles = np.unique(np.quantile(reference, levels, method="inverted_cdf"))
    own = [value for value in deciles if np.mean(reference == value) >= OWN_BIN]
    return [float(edge) for edge in np.unique([*deciles, *np.nextafter(own, -np.inf)])]


def _bin_labels(edges: list[float]) -> list[str]:
    between = [
        f"{low:g}" if np.nextafter(low, np.inf) == high else f"{low:g} to {high:g}" for low, high in pairwise(edges)
    ]
    named = [f"up to {edges[0]:g}", *between, f"above {edges[-1]:g}"]
    return [f"{place:02d}: {name}" for place, name in enumerate(named, start=1)]


def _bin_categories(current: pl.Series, reference: pl.Series) -> tuple[pl.Series, pl.Series]:
    now, then = (_clean(values).cast(pl.String).fill_null(MISSING).alias("value") for values in (current, reference))
    common = then.value_counts(name="rows").filter(pl.col("rows") >= RARE * then.len())["value"].to_list()
    kept = pl.when(pl.col("value").is_in(common)).then("value").otherwise(pl.lit("other"))
    return now.to_frame().select(kept).to_series(), then.to_frame().select(kept).to_series()


def _evidently(compared: list[_Compared], drift_share: float, threshold: float) -> tuple[str, dict[str, float]]:
    """Evidently's HTML page and the score by column."""
    os.environ["DO_NOT_TRACK"] = "1"  # read when evidently is imported
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    columns = DataDefinition(categorical_columns=[column.column for column in compared])
    now, then = (Dataset.from_pandas(frame, columns) for frame in _pandas(compared))
    preset = DataDriftPreset(cat_method=METHOD, cat_threshold=threshold, drift_share=drift_share)
    snapshot = Report([preset], include_tests=True).run(now, then)
    return snapshot.get_html_str(as_iframe=False), _scores(snapshot.dict())


def _pandas(compared: list[_Compared]) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Plain object columns: Evidently 0.7 divides by zero on Arrow-backed ones."""
    import pandas as pd

    now = pd.DataFrame({item.column: item.current.to_list() for item in compared}, dtype=object)
    then = pd.DataFrame({item.column: item.reference.to_list() for item in compared}, dtype=object)
    return now, then


def _scores(snapshot: dict[str, Any]) -> dict[str, float]:
    measured = [item for item in snapshot["metrics"] if item["config"]["type"].endswith(":ValueDrift")]
    return {item["config"]["column"]: float(item["value"]) for item in measured}


def _by_column(
    columns: Sequence[str], scores: dict[str, float], reasons: dict[str, str], threshold: float
) -> pl.DataFrame:
    found = {name: (score, score >= threshold) for name, score in scores.items()}
    rows = [(name, METHOD, *found.get(name, (None, None)), reasons.get(name)) for name in columns]
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")


def _nothing_compared(reasons: dict[str, str]) -> str:
    items = "".join(f"<li>{escape(column)}: {escape(reason)}</li>" for column, reason in reasons.items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Drift</title></head>'
        f"<body><h1>No column could be compared</h1><ul>{items}</ul></body></html>"
    )
