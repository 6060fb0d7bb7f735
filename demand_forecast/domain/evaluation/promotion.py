"""Who serves: whether a challenger takes over from the champion, and why."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, NamedTuple

from demand_forecast.settings import Promotion

Outcome = Literal["promoted", "kept", "refused"]


@dataclass(frozen=True)
class Contender:
    """A registered model version with its metrics (a row of `summary_table`) over its backtest origins."""

    version: str
    model: str
    metrics: Mapping[str, float | None]
    origins: tuple[date, ...] = ()

    @property
    def label(self) -> str:
        return f"{self.model} {self.version}".rstrip()

    def value(self, metric: str) -> float:
        """The metric, not a number where the candidate has none."""
        value = self.metrics.get(metric)
        return math.nan if value is None else float(value)


@dataclass(frozen=True)
class Decision:
    """What was decided.

    promoted: the challenger serves. kept: the champion goes on, no admissible challenger is better enough. refused: no
    challenger may serve; the champion goes on if there is one, else nothing is served. `from_version` served before,
    `to_version` serves after, `challenger` was considered: the best admissible version, else the best. The figures are
    its; `champion_value` is the baseline's without a champion.
    """

    outcome: Outcome
    challenger: str | None
    to_version: str | None
    from_version: str | None
    metric: str
    champion_value: float | None
    challenger_value: float | None
    improvement: float | None
    bias: float | None
    calibration_error: float | None
    reasons: list[str]


class Gate(NamedTuple):
    """Whether one rule is met, as a sentence with its figures."""

    passed: bool
    reason: str


def decide(
    challengers: Sequence[Contender], champion: Contender | None, baseline: Contender, rules: Promotion
) -> Decision:
    """The best admissible challenger on `rules.metric` takes over if it beats the champion by `rules.margin`.

    Admissible: scored on the origins of champion and baseline, every figure finite, |bias| at total level and
    calibration error within their limits. Without a champion the one to beat is `baseline`, seasonal naive, which never
    becomes the first champion: if nothing beats it, nothing is served. Lower is better in metrics that may choose.
    """
    entrants = [one for one in challengers if champion or one.model != baseline.model]
    admission = [(one, _admission(one, champion, baseline, rules)) for one in entrants]
    admissible = [one for one, gates in admission if all(gate.passed for gate in gates)]
    reasons = [gate.reason for _, gates in admission for gate in gates]
    best = _best(admissible or entrants, rules)
    if best is None:
        return _decision("kept" if champion else "refused", None, champion, baseline, rules, ["there is no challenger"])
    if not admissible:
        return _decision("refused", best, champion, baseline, rules, reasons)
    duel = _duel(best, champion or baseline, rules)
    outcome: Outcome = "promoted" if duel.passed else "kept" if champion else "refused"
    return _decision(outcome, best, champion, baseline, rules, [*reasons, duel.reason])


def _best(entrants: Sequence[Contender], rules: Promotion) -> Contender | None:
    """The lowest on `rules.metric`; of those within the margin of it, which a few origins cannot tell apart, the one
    with the best quantiles: orders are made from them.
    """
    if not entrants:
        return None
    lowest = min(_rank(one.value(rules.metric)) for one in entrants)
    tied = [one for one in entrants if _rank(one.value(rules.metric)) * (1 - rules.margin) <= lowest]
    return min(tied, key=lambda one: (_rank(one.value("wql")), _rank(one.value(rules.metric))))


def _admission(one: Contender, champion: Contender | None, baseline: Contender, rules: Promotion) -> list[Gate]:
    """The gates that `one` fails; if it fails none, those that it passes."""
    rivals = [champion, baseline] if champion else [baseline]
    known = [*(_same_origins(one, rival) for rival in rivals), _finite(one, rules.metric, "bias", "calibration_error")]
    known.append(_finite(rivals[0], rules.metric))
    failed = [gate for gate in known if not gate.passed]
    return failed or [_unbiased(one, rules), _calibrated(one, rules)]


def _same_origins(one: Contender, rival: Contender) -> Gate:
    same = bool(one.origins) and set(one.origins) == set(rival.origins)
    return Gate(
        same,
        f"{one.label} was scored on {_days(one.origins)}, {rival.label} on {_days(rival.origins)}: "
        "only the same origins can be compared; backtest both again",
    )


def _finite(one: Contender, *metrics: str) -> Gate:
    missing = [metric for metric in metrics if not math.isfinite(one.value(metric))]
    return Gate(not missing, f"{one.label} has no finite {', '.join(missing)}; look for missing forecasts in backtest")


def _unbiased(one: Contender, rules: Promotion) -> Gate:
    bias = one.value("bias")
    passed = abs(bias) <= rules.max_bias
    return Gate(passed, f"{one.label}: bias {bias:+.1%} is {'within' if passed else 'outside'} ±{rules.max_bias:.1%}")


def _calibrated(one: Contender, rules: Promotion) -> Gate:
    error = one.value("calibration_error")
    passed = error <= rules.max_calibration_error
    relation = "within" if passed else "above"
    return Gate(passed, f"{one.label}: calibration error {error:.3f} is {relation} {rules.max_calibration_error:.3f}")


def _duel(one: Contender, incumbent: Contender, rules: Promotion) -> Gate:
    improvement = _improvement(one, incumbent, rules.metric)
    passed = improvement > 0 and improvement >= rules.margin
    return Gate(
        passed,
        f"{one.label}: {rules.metric} {one.value(rules.metric):.4f} against {incumbent.value(rules.metric):.4f} of "
        f"{incumbent.label} is an improvement of {improvement:+.2%}; a change needs {rules.margin:+.2%}",
    )


def _improvement(one: Contender, incumbent: Contender, metric: str) -> float:
    """1 - challenger / champion; 0 where the champion is perfect: it cannot be beaten."""
    to_beat = incumbent.value(metric)
    return 1 - one.value(metric) / to_beat if to_beat > 0 else 0.0


def _decision(
    outcome: Outcome,
    best: Contender | None,
    champion: Contender | None,
    baseline: Contender,
    rules: Promotion,
    reasons: list[str],
) -> Decision:
    before = champion.version if champion else None
    incumbent = champion or baseline
    return Decision(
        outcome=outcome,
        challenger=best.version if best else None,
        to_version=best.version if best and outcome == "promoted" else before,
        from_version=before,
        metric=rules.metric,
        champion_value=_recorded(incumbent.value(rules.metric)),
        challenger_value=_recorded(best.value(rules.metric)) if best else None,
        improvement=_recorded(_improvement(best, incumbent, rules.metric)) if best else None,
        bias=_recorded(best.value("bias")) if best else None,
        calibration_error=_recorded(best.value("calibration_error")) if best else None,
        reasons=reasons,
    )


def _recorded(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _rank(value: float) -> float:
    return value if math.isfinite(value) else math.inf


def _days(origins: Sequence[date]) -> str:
    return ", ".join(str(origin) for origin in sorted(origins)) or "no origins"
