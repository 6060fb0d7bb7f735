"""Which challenger gets live requests, and how: the rule behind the setting `serving.trial`."""

from dataclasses import dataclass
from typing import Literal

from demand_forecast.domain.evaluation.roles import CHALLENGER
from demand_forecast.settings import Settings
from demand_forecast.tracking.ledger import PromotionLedger
from demand_forecast.tracking.registry import ModelVersion, Tracking

Mode = Literal["shadow", "canary"]


@dataclass(frozen=True)
class TrialChoice:
    """Which version is tried out and how, with the reason; none where `version` is None."""

    reason: str
    version: ModelVersion | None = None
    mode: Mode = "shadow"

    @property
    def text(self) -> str:
        """The choice in words."""
        if self.version is None:
            return f"none tried out: {self.reason}"
        return f"{self.mode}: {self.version.model} version {self.version.version}, {self.reason}"


def choose_trial(tracking: Tracking, ledger: PromotionLedger, settings: Settings) -> TrialChoice:
    """The version behind the alias `challenger`, unless it is the champion or was taken back.

    It answers as a canary only where its last comparison was with today's champion, on the same origins, and ended
    `kept`: sound, not proven better, nor worse than the champion by more than `promotion.margin`. Any other one,
    `refused` for its bias or calibration for instance, is tried in the shadow at most. Raises RegistryError where that
    version is gone.
    """
    mode = settings.serving.trial.mode
    if mode == "off":
        return TrialChoice("serving.trial.mode is off")
    champion, version = tracking.champion(), tracking.aliases().get(CHALLENGER)
    if champion is None or version is None:
        return TrialChoice("there is no challenger beside a champion yet")
    if version == champion.version:
        return TrialChoice("the last challenger is the champion")
    if version in ledger.taken_back():
        return TrialChoice(f"version {version} was taken back: only a new training is tried out again")
    challenger = tracking.version(version)
    if mode == "shadow":
        return TrialChoice("as configured", challenger)
    obstacle = _obstacle(ledger, champion.version, version, settings.promotion.margin)
    return TrialChoice(obstacle, challenger) if obstacle else TrialChoice("as configured", challenger, "canary")


def _obstacle(ledger: PromotionLedger, champion: str, challenger: str, margin: float) -> str | None:
    """Why a challenger must not answer; None where it may."""
    compared = ledger.last_comparison() or {}
    if compared.get("to_version") != challenger or compared.get("from_version") != champion:
        return f"not as a canary: version {challenger} was not compared with version {champion}"
    if compared["decision"] != "kept":
        return f"not as a canary: the promotion ledger has version {challenger} as {compared['decision']}"
    gained = compared["improvement"]
    if gained is None or gained < -margin:
        worse = "by an unknown share" if gained is None else f"by {-gained:.1%}"
        return f"not as a canary: version {challenger} was worse in its proof, {worse}; at most {margin:.1%} is borne"
    return None
