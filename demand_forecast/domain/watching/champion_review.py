"""When the champion is rolled back: it loses, week by week, to the champion before it or to seasonal naive."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import polars as pl

from demand_forecast.domain.demand.calendar import Frequency
from demand_forecast.domain.evaluation.roles import CHAMPION, PREVIOUS
from demand_forecast.domain.watching.live_accuracy import (
    Window,
    accuracy_over,
    in_windows,
    series_scores,
    windows_until,
)
from demand_forecast.settings import Monitoring

Verdict = Literal["keep", "roll_back", "no_way_back"]
KEEP: Verdict = "keep"
ROLL_BACK: Verdict = "roll_back"
NO_WAY_BACK: Verdict = "no_way_back"
RIVALS = {"previous": "fva_wql_previous", "seasonal naive": "fva_wql"}


@dataclass(frozen=True)
class Week:
    """A whole week of the champion: its WQL, and the value it added over the previous champion and over seasonal naive
    on the pairs that both have (None where there are none)."""

    window: Window
    pairs: int
    wql: float | None
    fva_wql_previous: float | None
    fva_wql: float | None

    def lost_to(self, rival: str, margin: float) -> bool:
        """Whether the champion's WQL is worse than the rival's (of RIVALS) by more than `margin`, as a share."""
        added = getattr(self, RIVALS[rival])
        return added is not None and -added > margin


@dataclass(frozen=True)
class Review:
    """The champion's last whole weeks (the oldest first), and what they say.

    keep: it goes on. roll_back: `previous` takes over again. no_way_back: it loses, and there is nothing better to go
    back to; the reasons say why.
    """

    verdict: Verdict
    champion: str
    previous: str | None
    weeks: tuple[Week, ...]
    reasons: tuple[str, ...]


def review_champion(
    scores: pl.DataFrame,
    *,
    champion: str,
    previous: str | None,
    rules: Monitoring,
    taken_back: Collection[str] = (),
    frequency: Frequency = "daily",
) -> Review:
    """The champion goes back to `previous` where it lost `rules.rollback.lost` of its last `windows` whole weeks, the
    newest among them, to the previous champion or to seasonal naive.

    `scores`: `forecast_accuracy`; `champion`, `previous`: versions. Weeks are windows of `window_days` days that end at
    the newest scored day; of the champion only forecasts count that it published since it took over last. There is no
    way back to a version of `taken_back`, nor, where only naive is better, to a previous one that is worse still.
    """
    weeks = _weeks(scores, champion, previous, rules, frequency)
    beaten = {rival: _beaten_by(rival, weeks, rules) for rival in RIVALS}
    reasons = [reason for reason, _ in beaten.values()]
    lost = [rival for rival, (_, lost) in beaten.items() if lost]
    if not lost:
        return Review(KEEP, champion, previous, weeks, tuple(reasons))
    obstacle = _obstacle(weeks, lost, previous, taken_back, rules)
    verdict = NO_WAY_BACK if obstacle else ROLL_BACK
    return Review(verdict, champion, previous, weeks, (*reasons, obstacle or f"version {previous} takes over again"))


def weeks_table(weeks: Sequence[Week], margin: float) -> pl.DataFrame:
    """`first, last, pairs, wql, fva_wql_previous, fva_wql, lost_to`, a row per week."""
    schema: dict[str, Any] = {"first": pl.Date, "last": pl.Date, "pairs": pl.Int64}
    schema |= dict.fromkeys(("wql", "fva_wql_previous", "fva_wql"), pl.Float64) | {"lost_to": pl.String}
    rows = [
        (
            *(*week.window, week.pairs, week.wql, week.fva_wql_previous, week.fva_wql),
            ", ".join(rival for rival in RIVALS if week.lost_to(rival, margin)),
        )
        for week in weeks
    ]
    return pl.DataFrame(rows, schema=schema, orient="row")


def _weeks(
    scores: pl.DataFrame, champion: str, previous: str | None, rules: Monitoring, frequency: Frequency
) -> tuple[Week, ...]:
    scored = series_scores(scores)
    newest = scored["date"].max()
    own = _own_forecasts(scored, champion)
    if own.is_empty() or not isinstance(newest, date):
        return ()
    first = own["date"].min()
    ends = windows_until(newest, rules.window_days, rules.rollback.windows, frequency)
    windows = [one for one in ends if one.first >= first]  # type: ignore[operator]
    others = (pl.col("role") != CHAMPION) & (
        (pl.col("role") != PREVIOUS) | pl.col("model_version").eq_missing(previous)
    )
    met = pl.concat([own, scored.filter(others)])
    met = in_windows(met, newest, rules.window_days, frequency)
    live = accuracy_over(met, ["window"]).filter(pl.col("role") == CHAMPION)
    figures = {row["window"]: row for row in live.iter_rows(named=True)}
    names = ("pairs", "wql", "fva_wql_previous", "fva_wql")
    return tuple(Week(one, *(figures[one.last][name] for name in names)) for one in windows if one.last in figures)


def _own_forecasts(scored: pl.DataFrame, champion: str) -> pl.DataFrame:
    """What the champion published since it took over last: from origins after the last one of any other champion."""
    published = scored.filter(pl.col("role") == CHAMPION)
    others = published.filter(pl.col("model_version") != champion)["forecast_origin"].max()
    own = published.filter(pl.col("model_version") == champion)
    return own if others is None else own.filter(pl.col("forecast_origin") > others)


def _beaten_by(rival: str, weeks: Sequence[Week], rules: Monitoring) -> tuple[str, bool]:
    """How the champion did against one rival, as a sentence, and whether it lost."""
    rule = rules.rollback
    lost = [week.lost_to(rival, rule.margin) for week in weeks]
    met = sum(getattr(week, RIVALS[rival]) is not None for week in weeks)
    if not met:
        return f"against {rival}: no whole week to compare", False
    said = f"against {rival}: worse by more than {rule.margin:.0%} of WQL in {sum(lost)} of {met} whole weeks"
    newest = f", in the newest by {-(getattr(weeks[-1], RIVALS[rival]) or 0):.1%}" if lost[-1] else ""
    return f"{said}{newest}; {rule.lost} of {rule.windows} with the newest are a defeat", lost[-1] and (
        sum(lost) >= rule.lost
    )


def _obstacle(
    weeks: Sequence[Week], lost: Sequence[str], previous: str | None, taken_back: Collection[str], rules: Monitoring
) -> str | None:
    """Why there is no way back; None where there is one."""
    if previous is None:
        return "there is no previous champion to go back to: look at the retrain decision, or train again"
    if previous in taken_back:
        return f"version {previous} was itself taken back before: look at the retrain decision, or train again"
    ahead = [week.fva_wql_previous for week in weeks if week.fva_wql_previous is not None]
    if "previous" not in lost and ahead and sum(ahead) / len(ahead) > rules.rollback.margin:
        return f"version {previous} is worse still, by {sum(ahead) / len(ahead):.1%} of WQL: train again"
    return None
