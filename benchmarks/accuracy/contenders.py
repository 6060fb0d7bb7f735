"""Who takes part: the product's candidates and the field's tools, each with its recipe and its environment."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import demand_forecast.domain
from benchmarks.accuracy import ours
from demand_forecast.domain.models import families

PEERS = "benchmarks.accuracy.peers"
OURS = "ours: "


@dataclass(frozen=True)
class Contender:
    """`recipe`: module and function. `environment`: folder below the environments; None is the product's own."""

    name: str
    recipe: str
    environment: str | None = None

    @property
    def ours(self) -> bool:
        return self.environment is None

    def version(self) -> str:
        """Changes when the product does; a peer's stays, its recipe is run again only when asked for."""
        if not self.ours:
            return "1"
        files = sorted(Path(demand_forecast.domain.__file__).parent.rglob("*.py"))
        content = b"".join(file.read_bytes() for file in [*files, Path(ours.__file__)])
        return sha256(content).hexdigest()[:12]


def _peer(name: str, module: str, function: str, environment: str = "peers") -> Contender:
    return Contender(name, f"{PEERS}.{module}:{function}", environment)


CONTENDERS = [
    Contender(f"{OURS}what is published", f"{ours.__name__}:product"),
    *(Contender(f"{OURS}{name}", f"{ours.__name__}:{name}") for name in families()),
    _peer("scikit-learn Poisson boosting", "histogram_boosting", "poisson"),
    _peer("mlforecast LightGBM Tweedie", "mlforecast_lightgbm", "beyond_horizon"),
    _peer("mlforecast default recursion", "mlforecast_lightgbm", "recursive_default"),
    _peer("statsforecast AutoETS", "statistical", "auto_ets"),
    _peer("statsforecast SeasonalNaive", "statistical", "seasonal_naive"),
    _peer("statsforecast CrostonOptimized", "statistical", "croston"),
    _peer("statsforecast ADIDA", "statistical", "adida"),
    _peer("statsforecast TSB", "statistical", "tsb"),
    _peer("AutoGluon for quantiles", "autogluon", "for_quantiles", "autogluon"),
    _peer("AutoGluon for means", "autogluon", "for_means", "autogluon"),
    _peer("own last 84 days", "own_days", "quantiles"),
]
