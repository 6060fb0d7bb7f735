"""Who serves: whether a challenger takes over from the champion, and why."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal, NamedTuple

from demand_forecast.domain.evaluation.chance import Chance
from demand_forecast.domain.evaluation.difference import LOSSES, Difference
from demand_forecast.settings import Promotion

Outcome = Literal["promoted", "kept", "refused"]
Verdict = Literal["better", "worse", "not told apart"]
SIGNIFICANCE = 0.05  # one-sided: a training decides once, where a trial is looked at every night


@dataclass(frozen=True)
class Contender:
    """A registered model version with its metrics (a row of `summary_table`) over its backtest origins.

    `difference`: its loss (`tested_loss`) against that of the champion, or of seasonal naive without one, on the same
    pairs; None where they have no pair. `chance`: how far its bias and calibration error may be out of their limits by
    chance; None where that is not known: not at all.
    """

    version: str
    model: str
    metrics: Mapping[str, float | None]
    origins: tuple[date, ...] = ()
    difference: Difference | None = None
    chance: Chance | None = None

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

    promoted: the challenger serves. kept: the champion goes on, no challenger may replace it. refused: no challenger is
    sound; the champion goes on. `from_version` served before, `to_version` serves after, `challenger` was considered:
    the best version that may serve, else the best. The figures are its; `champion_value` is the baseline's without a
    champion. `loss_difference` is that of `Contender.difference`, challenger - champion, in shares of the units sold;
    `p_value` is one-sided. The allowances are what chance adds to the limits of bias and calibration error, None where
    unknown. `reservations`: what is not sound, or not proven, of `to_version`, and what would lift it.
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
    bias_allowance: float | None
    calibration_error: float | None
    calibration_allowance: float | None
    loss_difference: float | None
    standard_error: float | None
    p_value: float | None
    verdict: Verdict | None
    reasons: list[str]
    reservations: list[str]

    def instead_of(self, champion: str, why: str) -> "Decision":
        """This decision of a first champion, as one about the place of a champion that cannot defend it."""
        reasons = [f"{why}: any sound challenger takes its place", *self.reasons]
        return replace(self, from_version=champion, to_version=self.to_version or champion, reasons=reasons)


class Gate(NamedTuple):
    """Whether one rule is met, as a sentence with its figures; `lift`: what would meet it."""

    passed: bool
    reason: str
    lift: str = ""


@dataclass(frozen=True)
class Contest:
    """Who stands against whom, by which rules; `unproven`: what the backtest could not prove of anyone."""

    champion: Contender | None
    baseline: Contender
    rules: Promotion
    unproven: Sequence[str] = ()

    @property
    def incumbent(self) -> Contender:
        """Whom a challenger has to beat."""
        return self.champion or self.baseline

    @property
    def is_first(self) -> bool:
        """Whether nobody but seasonal naive serves."""
        return self.champion is None or self.champion.model == self.baseline.model


def decide(
    challengers: Sequence[Contender],
    champion: Contender | None,
    baseline: Contender,
    rules: Promotion,
    unproven: Sequence[str] = (),
) -> Decision:
    """Who serves of `challengers`, `champion` and `baseline`, seasonal naive. Lower is better in metrics that choose.

    Sound: scored on the origins of champion and baseline, every figure finite, |bias| at total level and calibration
    error not above their limits by more than chance adds (`Chance`). A sound challenger that beats the champion takes
    over, the best on `rules.metric`: by an improvement of `rules.margin` and a loss that is lower by more than chance
    (SIGNIFICANCE).

    A retailer is never left with nothing. Where nobody serves, or seasonal naive, a sound challenger that beats
    seasonal naive by the margin does; else the best of those that beat it, with reservations; else seasonal naive, with
    reservations. A champion with reservations of its own, as this backtest judges it, yields to a sound challenger that
    beats seasonal naive by the margin and is not worse than the champion, without significance; and to one that beats
    it as any champion has to be beaten, though that has reservations too. Reservations end when a later backtest finds
    none. Where no challenger wins, the best sound one is named.
    """
    contest = Contest(champion, baseline, rules, unproven)
    entrants = [one for one in challengers if not contest.is_first or one.model != baseline.model]
    return _first(entrants, contest) if contest.is_first else _against(entrants, contest)


def _first(entrants: Sequence[Contender], contest: Contest) -> Decision:
    """Nobody serves but seasonal naive."""
    sound = [one for one in entrants if _passed(_admission(one, contest))]
    winners = [one for one in sound if _by_the_margin(one, contest.baseline, contest.rules).passed]
    best = _best(winners or [one for one in entrants if _may_serve_first(one, contest)], contest.rules)
    if best is not None:
        return _decision("promoted", best, entrants, contest)
    if contest.champion is None and contest.baseline.version:
        return _decision("promoted", contest.baseline, entrants, contest)
    outcome: Outcome = "kept" if contest.champion and (sound or not entrants) else "refused"
    return _decision(outcome, _best(sound or entrants, contest.rules), entrants, contest)


def _may_serve_first(one: Contender, contest: Contest) -> bool:
    """With reservations: it can be compared, and beats seasonal naive, by the margin where that serves already."""
    rules, baseline = contest.rules, contest.baseline
    beats = _improvement(one, baseline, rules.metric) > 0
    enough = contest.champion is None or _by_the_margin(one, baseline, rules).passed
    return _passed(_comparable(one, contest)) and beats and enough


def _against(entrants: Sequence[Contender], contest: Contest) -> Decision:
    """Another model than seasonal naive serves."""
    assert contest.champion is not None
    doubtful = bool(_own_reservations(contest.champion, contest))
    sound = [one for one in entrants if _passed(_admission(one, contest))]
    winners = [one for one in sound if _passed(_duel(one, contest)) or (doubtful and _relieves(one, contest))]
    if doubtful and not winners:
        winners = [one for one in entrants if _passed(_comparable(one, contest)) and _passed(_duel(one, contest))]
    best = _best(winners or sound or entrants, contest.rules)
    outcome: Outcome = "promoted" if winners else "kept" if sound or not entrants else "refused"
    return _decision(outcome, best, entrants, contest)


def _relieves(one: Contender, contest: Contest) -> bool:
    """Whether a sound challenger takes over from a champion with reservations without having to prove more."""
    rules, metric = contest.rules, contest.rules.metric
    better = one.value(metric) <= contest.incumbent.value(metric)
    return better and _by_the_margin(one, contest.baseline, rules).passed


def _own_reservations(one: Contender, contest: Contest) -> list[str]:
    """What is not sound of `one` itself, with what would lift it."""
    if one.model == contest.baseline.model:
        text = "nothing beats it yet: the forecast is what was sold a season ago"
        return [
            f"{one.label} serves because {text}; more history, or covariates that say why demand moves, may let one"
        ]
    gates = [*_admission(one, contest), _by_the_margin(one, contest.baseline, contest.rules)]
    return [f"{gate.reason}; {gate.lift}" if gate.lift else gate.reason for gate in gates if not gate.passed]


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


def _admission(one: Contender, contest: Contest) -> list[Gate]:
    """The gates that `one` fails before its bounds can be judged; if it fails none, those of its bounds."""
    failed = [gate for gate in _comparable(one, contest) if not gate.passed]
    return failed or [_unbiased(one, contest.rules), _calibrated(one, contest.rules)]


def _comparable(one: Contender, contest: Contest) -> list[Gate]:
    rivals = [contest.champion, contest.baseline] if contest.champion else [contest.baseline]
    known = [*(_same_origins(one, rival) for rival in rivals)]
    known.append(_finite(one, contest.rules.metric, "bias", "calibration_error"))
    return [*known, _finite(contest.incumbent, contest.rules.metric)]


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
    bias, limit = one.value("bias"), rules.max_bias
    allowed = one.chance.bias_allowance(limit) if one.chance else 0.0
    passed, bound = _bound(abs(bias), limit, allowed, one, ".1%")
    said = f"{one.label}: bias {bias:+.1%} is {'within' if passed else 'outside'} ±{bound}"
    return Gate(passed, said, _lift(allowed, "promotion.max_bias"))


def _calibrated(one: Contender, rules: Promotion) -> Gate:
    error, limit = one.value("calibration_error"), rules.max_calibration_error
    allowed = one.chance.calibration_allowance(limit) if one.chance else 0.0
    passed, bound = _bound(error, limit, allowed, one, ".3f")
    said = f"{one.label}: calibration error {error:.3f} is {'within' if passed else 'above'} {bound}"
    return Gate(passed, said, _lift(allowed, "promotion.max_calibration_error"))


def _bound(figure: float, limit: float, allowed: float, one: Contender, form: str) -> tuple[bool, str]:
    """Whether `figure` is within its bound, and the bound in words; where nothing tells what chance adds, the limit."""
    outcomes = one.chance.outcomes if one.chance else 0
    if figure <= limit or not one.chance:
        return figure <= limit, format(limit, form)
    if math.isinf(allowed):
        return False, f"{limit:{form}}, and what chance adds with {outcomes} outcomes of one series cannot be told"
    return figure <= limit + allowed, f"{limit:{form}} + {allowed:{form}} of chance with {outcomes:,} outcomes"


def _lift(allowed: float, setting: str) -> str:
    if math.isinf(allowed):
        return "more history, or more backtest origins, would tell"
    return f"more history to learn from may lift it, or another {setting}"


def _duel(one: Contender, contest: Contest) -> list[Gate]:
    return [_by_the_margin(one, contest.incumbent, contest.rules), _beyond_chance(one, contest)]


def _by_the_margin(one: Contender, incumbent: Contender, rules: Promotion) -> Gate:
    improvement = _improvement(one, incumbent, rules.metric)
    passed = improvement > 0 and improvement >= rules.margin
    return Gate(
        passed,
        f"{one.label}: {rules.metric} {one.value(rules.metric):.4f} against {incumbent.value(rules.metric):.4f} of "
        f"{incumbent.label} is an improvement of {improvement:+.2%}; a change needs {rules.margin:+.2%}",
        "more history to learn from may lift it",
    )


def _beyond_chance(one: Contender, contest: Contest) -> Gate:
    found, loss = one.difference, tested_loss(contest.rules.metric)
    if found is None:
        text = f"{one.label}: no pair that {contest.incumbent.label} forecast too was sold"
        return Gate(contest.is_first, text)
    said = (
        f"{one.label}: {loss} {found.challenger:.4f} against {found.champion:.4f} on the same pairs, "
        f"{found.difference:+.4f} (standard error {found.standard_error:.4f}, p = {found.p_better:.3f}), is "
        f"{_verdict(found)}; "
    )
    if contest.is_first:
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


def _decision(outcome: Outcome, best: Contender | None, entrants: Sequence[Contender], contest: Contest) -> Decision:
    before = contest.champion.version if contest.champion else None
    incumbent, metric = contest.incumbent, contest.rules.metric
    found = best.difference if best else None
    serving = best if outcome == "promoted" else contest.champion
    return Decision(
        outcome=outcome,
        challenger=best.version if best else None,
        to_version=serving.version if serving else None,
        from_version=before,
        metric=metric,
        champion_value=_recorded(incumbent.value(metric)),
        challenger_value=_recorded(best.value(metric)) if best else None,
        improvement=_recorded(_improvement(best, incumbent, metric)) if best else None,
        bias=_recorded(best.value("bias")) if best else None,
        calibration_error=_recorded(best.value("calibration_error")) if best else None,
        **_allowances(best, contest.rules),
        loss_difference=_recorded(found.difference) if found else None,
        standard_error=_recorded(found.standard_error) if found else None,
        p_value=_recorded(found.p_better) if found else None,
        verdict=_verdict(found) if found else None,
        reasons=_reasons(best, entrants, contest),
        reservations=[*_own_reservations(serving, contest), *contest.unproven] if serving else [],
    )


def _allowances(best: Contender | None, rules: Promotion) -> dict[str, float | None]:
    chance = best.chance if best else None
    bias = _recorded(chance.bias_allowance(rules.max_bias)) if chance else None
    calibration = _recorded(chance.calibration_allowance(rules.max_calibration_error)) if chance else None
    return {"bias_allowance": bias, "calibration_allowance": calibration}


def _reasons(best: Contender | None, entrants: Sequence[Contender], contest: Contest) -> list[str]:
    """How every entrant was judged, and how the best did against whom it had to beat."""
    reasons = [gate.reason for one in entrants for gate in _admission(one, contest)]
    if best is None:
        return [*reasons, "there is no challenger"]
    if best is contest.baseline:
        compared = [one for one in entrants if _passed(_comparable(one, contest))]
        others = [_by_the_margin(one, best, contest.rules).reason for one in compared]
        return [*reasons, *others, f"{best.label}: no candidate beats it; it serves"]
    if _passed(_comparable(best, contest)):
        reasons += [gate.reason for gate in _duel(best, contest)]
    return reasons


def _recorded(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _rank(value: float) -> float:
    return value if math.isfinite(value) else math.inf


def _days(origins: Sequence[date]) -> str:
    return ", ".join(str(origin) for origin in sorted(origins)) or "no origins"
