"""When models are trained again: errors above those of the backtest, drifted data, or an old training."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal

import polars as pl

from demand_forecast.domain.demand.calendar import Frequency
from demand_forecast.domain.evaluation.roles import CHAMPION
from demand_forecast.domain.watching.live_accuracy import (
    Window,
    accuracy_over,
    in_windows,
    series_scores,
    windows_until,
)
from demand_forecast.settings import Monitoring, Retraining

RETRAIN: Literal["retrain"] = "retrain"
KEEP: Literal["keep"] = "keep"
DRIFT_HISTORY: dict[str, pl.DataType] = {"day": pl.Date(), "share": pl.Float64(), "drifted": pl.Boolean()}


@dataclass(frozen=True)
class WindowEvidence:
    """One window: the champion's realised WQL, value added over seasonal naive on the same pairs, WQL over that of the
    backtest, share of columns that drifted (each None where unknown), and what is out of bounds, as sentences."""

    window: Window
    pairs: int
    wql: float | None
    fva_wql: float | None
    error_ratio: float | None
    drift_share: float | None
    reasons: tuple[str, ...] = ()

    @property
    def out(self) -> bool:
        return bool(self.reasons)


@dataclass(frozen=True)
class RetrainDecision:
    """What was decided at the end of `day`, why, and the windows looked at, the oldest first."""

    day: date
    decision: Literal["retrain", "keep"]
    trained: date | None
    reasons: tuple[str, ...]
    windows: tuple[WindowEvidence, ...]


def decide_retraining(
    scores: pl.DataFrame,
    drift: pl.DataFrame,
    *,
    day: date,
    champion: str | None,
    promised: float | None,
    trained: date | None,
    rules: Monitoring,
    changed: Sequence[str] = (),
    frequency: Frequency = "daily",
) -> RetrainDecision:
    """Train again where `rules.retrain.out` of the last windows are out of bounds, the newest among them, where the
    last training (`trained`, its forecast origin) is `max_age_days` or more before `day`, or where what is configured
    `changed` since, a line each.

    `scores`: `forecast_accuracy`; `drift`: DRIFT_HISTORY; `champion`: the version whose forecasts count; `promised`:
    the WQL of its backtest. A window is out of bounds where the share of drifted columns on its last known day is
    `drift_share` or more, or where the champion's WQL is above `error_ratio` times `promised`, or above seasonal
    naive's on the same pairs. Windows end at the newest scored day and count only where all their days are after the
    training: the same evidence never trains twice.
    """
    rule = rules.retrain
    if trained is None:
        return RetrainDecision(day, KEEP, None, ("no model was trained yet: run `demand-forecast run`",), ())
    scored = series_scores(scores)
    newest = scored["date"].max() or day
    assert isinstance(newest, date)
    ends = windows_until(newest, rules.window_days, rule.windows, frequency)
    windows = [one for one in ends if one.first > trained]
    found = _evidence(scored, drift, windows, champion, promised, rules, frequency)
    votes, by_windows = _votes(found, rules)
    age = (day - trained).days
    old = age >= rule.max_age_days
    aged = (
        f"the last training, at {trained}, is {age} days old; from {rule.max_age_days} days on models are trained again"
    )
    reasons = [reason for one in found for reason in one.reasons]
    decision = RETRAIN if changed or old or by_windows else KEEP
    return RetrainDecision(day, decision, trained, (*changed, *reasons, votes, aged), tuple(found))


def windows_table(found: Sequence[WindowEvidence]) -> pl.DataFrame:
    """`first, last, pairs, wql, fva_wql, error_ratio, drift_share, out`, a row per window."""
    schema: dict[str, Any] = {"first": pl.Date, "last": pl.Date, "pairs": pl.Int64}
    schema |= dict.fromkeys(("wql", "fva_wql", "error_ratio", "drift_share"), pl.Float64) | {"out": pl.Boolean}
    rows = [(*one.window, one.pairs, one.wql, one.fva_wql, one.error_ratio, one.drift_share, one.out) for one in found]
    return pl.DataFrame(rows, schema=schema, orient="row")


def _evidence(
    scored: pl.DataFrame,
    drift: pl.DataFrame,
    windows: Sequence[Window],
    champion: str | None,
    promised: float | None,
    rules: Monitoring,
    frequency: Frequency,
) -> list[WindowEvidence]:
    if not windows:
        return []
    recent = scored.filter(pl.col("date").is_between(windows[0].first, windows[-1].last))
    recent = in_windows(recent, windows[-1].last, rules.window_days, frequency)
    live = accuracy_over(recent, ["window", "model_version"])
    kept = live.filter(pl.col("role") == CHAMPION, pl.col("model_version") == champion)
    figures = {row["window"]: row for row in kept.iter_rows(named=True)}
    return [_window(one, figures.get(one.last, {}), drift, promised, rules.retrain) for one in windows]


def _window(
    window: Window, figures: dict[str, Any], drift: pl.DataFrame, promised: float | None, rule: Retraining
) -> WindowEvidence:
    shares = drift.filter(pl.col("day").is_between(*window)).sort("day")["share"].drop_nulls()
    wql, share = figures.get("wql"), shares[-1] if len(shares) else None
    found = WindowEvidence(
        window=window,
        pairs=figures.get("pairs", 0),
        wql=wql,
        fva_wql=figures.get("fva_wql"),
        error_ratio=wql / promised if wql is not None and promised else None,
        drift_share=share,
    )
    return replace(found, reasons=tuple(_out_of_bounds(found, promised, rule)))


def _out_of_bounds(found: WindowEvidence, promised: float | None, rule: Retraining) -> Iterator[str]:
    days = f"{found.window.first} to {found.window.last}"
    if found.drift_share is not None and found.drift_share >= rule.drift_share:
        drifted = f"{found.drift_share:.0%} of the columns that can move drifted"
        yield f"{days}: {drifted}, {rule.drift_share:.0%} are too many"
    if found.error_ratio is not None and found.error_ratio > rule.error_ratio:
        yield (
            f"{days}: the champion's WQL {found.wql:.3f} is {found.error_ratio:.2f} times the {promised:.3f} of its "
            f"backtest, more than {rule.error_ratio:g} times"
        )
    if found.fva_wql is not None and found.fva_wql < 0:
        yield f"{days}: the champion's WQL {found.wql:.3f} is {-found.fva_wql:.1%} above seasonal naive's"


def _votes(found: Sequence[WindowEvidence], rules: Monitoring) -> tuple[str, bool]:
    """The k-of-n rule as a sentence, and whether it says to train."""
    out, rule = sum(one.out for one in found), rules.retrain
    newest = bool(found) and found[-1].out
    said = f"{out} of {len(found)} windows of {rules.window_days} days since the training are out of bounds"
    said += f" (of {rule.windows} at most)" if len(found) < rule.windows else ""
    if out:
        said += ", the newest among them" if newest else ", the newest is not"
    return f"{said}; {rule.out} with the newest are enough", newest and out >= rule.out
