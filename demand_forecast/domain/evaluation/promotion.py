"""Who serves: whether a challenger takes over from the champion, and why."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal, NamedTuple

from demand_forecast.domain.evaluation.difference import LOSSES, Difference
from demand_forecast.settings import Promotion

Outcome = Literal["promoted", "kept", "refused"]
Verdict = Literal["better", "worse", "not told apart"]
SIGNIFICANCE = 0.05  # one-sided: a training decides once, where a trial is looked at every night


@dataclass(frozen=True)
class Contender:
    """A registered model version with its metrics (a row of `summary_table`) over its backtest origins.

    `difference`: its loss (`tested_loss`) against that of the champion, or of seasonal naive without one, on the same
    pairs; None where they have no pair.
    """

    version: str
    model: str
    metrics: Mapping[str, float | None]
    origins: tuple[date, ...] = ()
    difference: Difference | None = None

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
    its; `champion_value` is the baseline's without a champion. `loss_difference` is that of `Contender.difference`,
    challenger - champion, in shares of the units sold; `p_value` is one-sided.
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
    loss_difference: float | None
    standard_error: float | None
    p_value: float | None
    verdict: Verdict | None
    reasons: list[str]

    def instead_of(self, champion: str, why: str) -> "Decision":
        """This decision of a first champion, as one about the place of a champion that cannot defend it."""
        reasons = [f"{why}: any sound challenger takes its place", *self.reasons]
        return replace(self, from_version=champion, to_version=self.to_version or champion, reasons=reasons)


class Gate(NamedTuple):
    """Whether one rule is met, as a sentence with its figures."""

    passed: bool
    reason: str


def decide(
    challengers: Sequence[Contender], champion: Contender | None, baseline: Contender, rules: Promotion
) -> Decision:
    """The best challenger on `rules.metric`, of those admissible that beat the champion, takes over.

    Admissible: scored on the origins of champion and baseline, every figure finite, |bias| at total level and
    calibration error within their limits. Beating the champion takes an improvement of `rules.margin` and a loss that
    is lower by more than chance (SIGNIFICANCE). Without a champion the one to beat is `baseline`, seasonal naive, by
    the margin alone; it never becomes the first champion: if nothing beats it, nothing is served. Where no challenger
    wins, the best admissible one is named. Lower is better in metrics that may choose.
    """
    entrants = [one for one in challengers if champion or one.model != baseline.model]
    admission = [(one, _admission(one, champion, baseline, rules)) for one in entrants]
    admissible = [one for one, gates in admission if _passed(gates)]
    winners = [one for one in admissible if _passed(_duel(one, champion, baseline, rules))]
    best = _best(winners or admissible or entrants, rules)
    reasons = [gate.reason for _, gates in admission for gate in gates]
    if best is None:
        return _decision("kept" if champion else "refused", None, champion, baseline, rules, ["there is no challenger"])
    if not admissible:
        return _decision("refused", best, champion, baseline, rules, reasons)
    outcome: Outcome = "promoted" if winners else "kept" if champion else "refused"
    reasons += [gate.reason for gate in _duel(best, champion, baseline, rules)]
    return _decision(outcome, best, champion, baseline, rules, reasons)


def tested_loss(metric: str) -> str:
    """The name in LOSSES of the loss whose difference is tested: of `metric` itself if it has one, else of WQL."""
    return metric if metric in LOSSES else "wql"


def _passed(gates: Sequence[Gate]) -> bool:
    return all(gate.passed for gate in gates)


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


def _duel(one: Contender, champion: Contender | None, baseline: Contender, rules: Promotion) -> list[Gate]:
    return [_by_the_margin(one, champion or baseline, rules), _beyond_chance(one, champion, baseline, rules)]


def _by_the_margin(one: Contender, incumbent: Contender, rules: Promotion) -> Gate:
    improvement = _improvement(one, incumbent, rules.metric)
    passed = improvement > 0 and improvement >= rules.margin
    return Gate(
        passed,
        f"{one.label}: {rules.metric} {one.value(rules.metric):.4f} against {incumbent.value(rules.metric):.4f} of "
        f"{incumbent.label} is an improvement of {improvement:+.2%}; a change needs {rules.margin:+.2%}",
    )


def _beyond_chance(one: Contender, champion: Contender | None, baseline: Contender, rules: Promotion) -> Gate:
    found, loss = one.difference, tested_loss(rules.metric)
    if found is None:
        return Gate(champion is None, f"{one.label}: no pair that {(champion or baseline).label} forecast too was sold")
    said = (
        f"{one.label}: {loss} {found.challenger:.4f} against {found.champion:.4f} on the same pairs, "
        f"{found.difference:+.4f} (standard error {found.standard_error:.4f}, p = {found.p_better:.3f}), is "
        f"{_verdict(found)}; "
    )
    if champion is None:
        return Gate(True, f"{said}a first champion needs no significance")
    least = found.least_improvement(SIGNIFICANCE)
    told = (
        f"which this backtest tells from {least:+.2%} on" if math.isfinite(least) else "which this backtest cannot tell"
    )
    return Gate(found.p_better < SIGNIFICANCE, f"{said}a change needs p < {SIGNIFICANCE:g}, {told}")


def _verdict(found: Difference) -> Verdict:
    if found.p_better < SIGNIFICANCE:
        return "better"
    return "worse" if 1 - found.p_better < SIGNIFICANCE else "not told apart"


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
    found = best.difference if best else None
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
        loss_difference=_recorded(found.difference) if found else None,
        standard_error=_recorded(found.standard_error) if found else None,
        p_value=_recorded(found.p_better) if found else None,
        verdict=_verdict(found) if found else None,
        reasons=reasons,
    )


def _recorded(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _rank(value: float) -> float:
    return value if math.isfinite(value) else math.inf


def _days(origins: Sequence[date]) -> str:
    return ", ".join(str(origin) for origin in sorted(origins)) or "no origins"
