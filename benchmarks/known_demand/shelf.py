"""What customers could buy of what they wanted: goods that are missing whatever is asked, or because much was asked."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from benchmarks.known_demand.sellers import Array, Retailer, Whole
from demand_forecast.domain.models.distribution import SMALLEST

RUN_DAYS = 5.0  # mean length of a run wholly without goods
PARTLY = (0.2, 0.9)  # share of the opening time with goods on a day partly without
BASKETS = 2  # of a lumpy seller that a shelf holds at least: with less most of its demand could not be seen


@dataclass(frozen=True)
class Sales:
    """(series, days) of the history: `units` sold, and the share of the opening time with goods, 0 to 1."""

    units: Whole
    in_stock: Array


@dataclass(frozen=True)
class Scenario:
    """A share of series' days on which goods are out for some time, and why they are."""

    mechanism: str
    percent: int

    @classmethod
    def of(cls, name: str) -> "Scenario":
        """`none`, `supply-10`, `sold_out-20`, `mixed-30`. Raises ValueError for another mechanism or share."""
        mechanism, _, percent = name.partition("-")
        if name != "none" and (mechanism not in MECHANISMS or not percent.isdigit() or not 0 < int(percent) < 100):
            raise ValueError(f"{name}: no such scenario; write none, or one of {', '.join(MECHANISMS)} with -1 to -99")
        return cls(mechanism, int(percent or 0))

    @property
    def name(self) -> str:
        return f"{self.mechanism}-{self.percent}" if self.percent else "none"

    def sell(self, retailer: Retailer, seed: int) -> Sales:
        """What is sold of the retailer's demand; the same for the same seed."""
        rng = np.random.default_rng([seed, 2])
        if not self.percent:
            demand = retailer.demand[:, : retailer.history]
            return Sales(demand, np.ones(demand.shape))
        return MECHANISMS[self.mechanism](retailer, self.percent / 100, rng)


def by_supply(retailer: Retailer, share: float, rng: Generator) -> Sales:
    """Goods are missing whatever is asked: half of the out days in runs without any, half for a part of the day.

    On a day partly without, every unit asked for is sold with the chance that goods are there: E[sales] = share x
    demand.
    """
    demand = retailer.demand[:, : retailer.history]
    wholly = _runs(demand.shape, share / 2, rng)
    partly = ~wholly & (rng.random(demand.shape) < share / 2 / (1 - share / 2))
    in_stock = np.where(wholly, 0.0, np.where(partly, rng.uniform(*PARTLY, demand.shape), 1.0))
    return Sales(rng.binomial(demand, in_stock), in_stock)


def _runs(shape: tuple[int, ...], share: float, rng: Generator) -> npt.NDArray[np.bool_]:
    """Out or not, by day: a chain of two states, out for RUN_DAYS on average and for `share` of all days."""
    starts, ends = share / (1 - share) / RUN_DAYS, 1 / RUN_DAYS
    chance = rng.random(shape)
    out = np.zeros(shape, bool)
    out[:, 0] = chance[:, 0] < share
    for day in range(1, shape[1]):
        out[:, day] = np.where(out[:, day - 1], chance[:, day] >= ends, chance[:, day] < starts)
    return out


def by_selling_out(retailer: Retailer, share: float, rng: Generator) -> Sales:
    """Goods run out because much is asked: sales stop when what stood on the shelf in the morning is gone.

    The times at which units are asked for are spread evenly over the opening time, so that the last unit of a shelf of
    S goes, where D are asked for, at the S-th of D ordered uniform numbers: Beta(S, D - S + 1). Source: David &
    Nagaraja (2003), Order Statistics, 3rd ed., ch. 2.
    """
    demand, expected = retailer.demand[:, : retailer.history], retailer.expected[:, : retailer.history]
    level = shelf_level(retailer, expected, share, rng)
    gone = demand >= level
    last = rng.beta(level, np.maximum(demand - level, 0) + 1)
    return Sales(np.minimum(demand, level), np.where(gone, last, 1.0))


def shelf_level(retailer: Retailer, expected: Array, share: float, rng: Generator) -> Whole:
    """Units on the shelf in the morning (series, days), so that a demand of as much or more has the chance `share`.

    Units are whole: each day takes one of the two levels next to it. A shelf holds at least one unit, and that of a
    lumpy seller BASKETS usual baskets, so that days of slow and lumpy sellers run out less often than was asked.
    """
    law = retailer.law
    lowest = np.where(law.basket > 1, np.ceil(BASKETS * law.basket), 1)[:, None]
    least = np.broadcast_to(lowest, expected.shape).astype(np.int64)
    level = _largest(least, lambda units: law.at_least(units, expected) >= share)
    here, above = (law.at_least(units, expected) for units in (level, level + 1))
    lower = np.clip((share - above) / np.maximum(here - above, SMALLEST), 0, 1)
    return level + (rng.random(level.shape) >= lower)


def _largest(least: Whole, holds: Callable[[Whole], npt.NDArray[np.bool_]]) -> Whole:
    """The largest whole number for which `holds`, by halving; `least` where it never does."""
    low, step = least.copy(), 1
    while holds(low + step).any():
        step *= 2
    while step:
        low = np.where(holds(low + step), low + step, low)
        step //= 2
    return low


def by_both(retailer: Retailer, share: float, rng: Generator) -> Sales:
    """Half of the out days by supply; of the others so many by selling out that they are as many again."""
    supplied = by_supply(retailer, share / 2, rng)
    sold = by_selling_out(retailer, share / 2 / (1 - share / 2), rng)
    whole = supplied.in_stock == 1
    return Sales(np.where(whole, sold.units, supplied.units), np.where(whole, sold.in_stock, supplied.in_stock))


MECHANISMS = {"supply": by_supply, "sold_out": by_selling_out, "mixed": by_both}
