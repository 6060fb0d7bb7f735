"""What a backtest taught about a model: kept beside it, so that it goes wherever the model goes."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Self

from demand_forecast.domain.models.spread import KINDS, Spread

FILE = "proof.json"
CORRELATION = 0.1  # between errors of a series' days where no backtest tells; measured: 0.03 on the sample, 0.10 on M5


@dataclass(frozen=True)
class Proof:
    """`alignment`: how far its means are moved towards the forecasts of groups, 0..1; `correlation`: between the errors
    of the days of one protection period, 0..1, of each of KINDS of demand, None where unknown; `spread`: the
    distribution around its means, None where the family has one of its own; `origins`: of the backtest; `figures`: its
    metrics there, by name.
    """

    alignment: float = 0.0
    correlation: tuple[float, ...] | None = None
    spread: Spread | None = None
    origins: tuple[date, ...] = ()
    figures: Mapping[str, float | None] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=str, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The proof that `to_json` wrote, of this release or of one that learned one correlation for all kinds."""
        content = json.loads(text)
        spread = content["spread"] and Spread.from_dict(content["spread"])
        origins = tuple(map(date.fromisoformat, content["origins"]))
        alike = content["correlation"]
        correlation = None if alike is None else (alike,) * len(KINDS) if isinstance(alike, float) else tuple(alike)
        return cls(**content | {"spread": spread, "origins": origins, "correlation": correlation})

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The proof of the model saved in `folder`; None where it was not backtested."""
        file = folder / FILE
        return cls.from_json(file.read_text(encoding="utf-8")) if file.is_file() else None

    def write(self, folder: Path) -> Path:
        """Writes it beside the model saved in `folder`; gives the file."""
        file = folder / FILE
        file.write_text(self.to_json(), encoding="utf-8")
        return file
