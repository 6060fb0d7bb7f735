"""How demand is spread around a forecast mean, by kind of demand."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from demand_forecast.domain.demand.demand_classes import INTERVAL_CUT, VARIATION_CUT
from demand_forecast.domain.models.distribution import POISSON, Dispersion, Floats, fit_dispersion
from demand_forecast.domain.tables import QUANTILE_LEVELS

Kinds = np.ndarray[Any, np.dtype[np.int64]]
Outcomes = Mapping[str, Floats]

KINDS = ("smooth", "erratic", "intermittent", "lumpy")
GRID = (0.01, 0.025, 0.05, *QUANTILE_LEVELS, 0.95, 0.975, 0.99)  # of the probability integral transform
SPREAD_COLUMNS = ("selling_share_year", "size_variation", "variance_to_mean")  # of a feature frame, that are read
LEAST = 200  # outcomes from which a kind has a dispersion of its own
DOUBT = 200  # outcomes, and one origin, that speak for the law as it is: a calibration is trusted half with as many
CALIBRATED_ROWS = 60_000


@dataclass(frozen=True)
class Irregularity:
    """How the demand of each row (rows,) has been so far: variance to mean (NaN: unknown), and number of its kind."""

    ratio: Floats
    kind: Kinds

    @classmethod
    def of(cls, rows: pl.DataFrame) -> Self:
        """Of the rows of a feature frame; one that does not say how often it sells counts as intermittent."""
        often = pl.col("selling_share_year").fill_null(0) * INTERVAL_CUT >= 1
        even = pl.col("size_variation").fill_null(0) <= VARIATION_CUT
        kind = pl.when(often).then(0).otherwise(2) + pl.when(even).then(0).otherwise(1)
        known = rows.select(kind=kind.cast(pl.Int64), ratio=pl.col("variance_to_mean").cast(pl.Float64))
        return cls(known["ratio"].to_numpy(), known["kind"].to_numpy())

    @property
    def seldom(self) -> Any:
        """Whether each row's series sells on few days."""
        return self.kind >= KINDS.index("intermittent")

    @property
    def names(self) -> pl.Series:
        """The kind of each row in words."""
        return pl.Series("kind", self.kind).replace_strict(range(len(KINDS)), KINDS, return_dtype=pl.String)

    def only(self, rows: Any) -> "Irregularity":
        return Irregularity(self.ratio[rows], self.kind[rows])


@dataclass(frozen=True)
class KindSpread:
    """Of one kind of demand: the dispersion, and the share of outcomes, at each p of GRID, whose probability integral
    transform under it is at most p. Where these are p itself, the dispersion is right as it is.
    """

    dispersion: Dispersion
    below: tuple[float, ...] = GRID

    def quantiles(self, mean: Floats, ratio: Floats) -> Floats:
        levels = np.interp(QUANTILE_LEVELS, (0, *self.below, 1), (0, *GRID, 1))
        return self.dispersion.quantiles(mean, ratio, levels)

    def probabilities(self, mean: Floats, ratio: Floats, units: Floats) -> tuple[Floats, Floats]:
        low, high = self.dispersion.probabilities(mean, ratio, units)
        return self._calibrated(low), self._calibrated(high)

    def _calibrated(self, probability: Floats) -> Floats:
        return np.interp(probability, (0, *GRID, 1), (0, *self.below, 1))


@dataclass(frozen=True)
class Spread:
    """The distribution of demand around a mean, one KindSpread for each of KINDS.

    Its distribution function is G(F(y)): F negative binomial or gamma with mass at zero (`Dispersion`), G what the
    probability integral transforms of held-out outcomes say of F (Kuleshov, Fenner & Ermon 2018, Accurate uncertainties
    for deep learning using calibrated regression, ICML 80, algorithm 1, by kind of demand and drawn towards identity).
    """

    kinds: tuple[KindSpread, ...]

    def variance(self, mean: Floats, about: Irregularity) -> Floats:
        """Of F, shape (rows,)."""
        result = np.zeros(len(mean))
        for kind, rows in self._by_kind(about):
            result[rows] = kind.dispersion.variance(mean[rows], about.ratio[rows])
        return result

    def quantiles(self, mean: Floats, about: Irregularity) -> Floats:
        """Rows x nine levels, never below zero, never crossing."""
        result = np.zeros((len(mean), len(QUANTILE_LEVELS)))
        for kind, rows in self._by_kind(about):
            result[rows] = kind.quantiles(mean[rows], about.ratio[rows])
        return result

    def probabilities(self, mean: Floats, about: Irregularity, units: Floats) -> tuple[Floats, Floats]:
        """P(demand < units) and P(demand <= units), which differ where there is point mass; shape (rows,) each."""
        low, high = np.zeros(len(mean)), np.zeros(len(mean))
        for kind, rows in self._by_kind(about):
            low[rows], high[rows] = kind.probabilities(mean[rows], about.ratio[rows], units[rows])
        return low, high

    def _by_kind(self, about: Irregularity) -> list[tuple[KindSpread, Any]]:
        numbered = ((kind, about.kind == number) for number, kind in enumerate(self.kinds))
        return [(kind, rows) for kind, rows in numbered if rows.any()]

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """The spread whose `dataclasses.asdict` was `content`."""
        kinds = (KindSpread(Dispersion(**one["dispersion"]), tuple(one["below"])) for one in content["kinds"])
        return cls(tuple(kinds))

    @classmethod
    def everywhere(cls, dispersion: Dispersion) -> Self:
        """The same dispersion for all kinds, as it is."""
        return cls((KindSpread(dispersion),) * len(KINDS))


def fit_spread(mean: Floats, units: Floats, about: Irregularity, origin: Floats) -> Spread:
    """The spread of `units` around `mean`, expected units in the time in which they could be sold, of outcomes that the
    model had not seen; `origin`: the forecast origin of each, as a number. All shapes (rows,).

    Of forecasts of nothing nothing is learned. A kind with few outcomes has the dispersion of all of them.
    """
    told = mean > 0
    mean, units, about, origin = mean[told], units[told], about.only(told), origin[told]
    if not len(mean):
        return Spread.everywhere(POISSON)
    counts = bool(np.all(units == np.round(units)))
    whole = fit_dispersion(mean, units, about.ratio, np.ones(len(mean)), counts=counts)
    kinds = []
    for number in range(len(KINDS)):
        rows = np.flatnonzero(about.kind == number)
        own = whole
        if len(rows) >= LEAST:
            own = fit_dispersion(mean[rows], units[rows], about.ratio[rows], np.ones(len(rows)), counts=counts)
        kinds.append(_calibrated(own, mean[rows], units[rows], about.ratio[rows], origin[rows]))
    return Spread(tuple(kinds))


def _calibrated(dispersion: Dispersion, mean: Floats, units: Floats, ratio: Floats, origin: Floats) -> KindSpread:
    if not len(mean):
        return KindSpread(dispersion)
    rows = np.linspace(0, len(mean) - 1, min(len(mean), CALIBRATED_ROWS)).astype(np.int64)
    low, high = dispersion.probabilities(mean[rows], ratio[rows], units[rows])
    origins = np.unique(origin[rows])
    shares = np.mean([_below(low[at], high[at]) for at in (origin[rows] == one for one in origins)], axis=0)
    trust = len(mean) / (len(mean) + DOUBT) * len(origins) / (len(origins) + 1)
    drawn = trust * shares + (1 - trust) * np.array(GRID)
    return KindSpread(dispersion, tuple(float(share) for share in drawn))


def _below(low: Floats, high: Floats) -> Floats:
    """The share of probability integral transforms at most each p of GRID; one with point mass is spread evenly."""
    width = np.maximum(high - low, 1e-12)
    return np.array([np.clip((level - low) / width, 0, 1).mean() for level in GRID])
