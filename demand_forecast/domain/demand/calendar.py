"""What a period is: its length, its seasons, and how far back features look."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

Frequency = Literal["daily", "weekly"]


@dataclass(frozen=True)
class Calendar:
    """One frequency. Everything but `step` counts periods."""

    frequency: Frequency
    step: int  # days in a period
    season: int  # after which seasonal naive repeats
    cycle: int  # after which the day of the week returns
    year: int
    level_windows: tuple[int, ...]  # trailing means whose average is the base level
    trailing_windows: tuple[int, ...]
    half_lives: tuple[int, ...]
    cycle_windows: tuple[int, ...]  # occurrences of the same weekday; none where a period is a whole week
    year_windows: tuple[int, ...]  # centred on the same day last year
    spread_window: int  # over which variance to mean is measured
    open_windows: tuple[int, int]  # same weekdays over which a shop's opening is judged: lately, and usually
    event_reach: int  # periods around an event within which its distance is a feature
    lookback: int  # history that the features of one origin need

    def ahead(self, day: date, periods: int) -> date:
        """The day `periods` after `day`."""
        return day + timedelta(days=self.step * periods)

    def periods(self, days: int) -> int:
        return -(-days // self.step)


DAILY = Calendar(
    frequency="daily",
    step=1,
    season=7,
    cycle=7,
    year=364,  # not 365: the same weekday
    level_windows=(28, 91, 182),
    trailing_windows=(7, 14, 28, 56, 91, 182, 364),
    half_lives=(3, 14),
    cycle_windows=(4, 8, 26, 52),
    year_windows=(7, 29),
    spread_window=91,
    open_windows=(8, 52),
    event_reach=7,
    lookback=400,
)
WEEKLY = Calendar(
    frequency="weekly",
    step=7,
    season=52,
    cycle=1,
    year=52,
    level_windows=(4, 13, 26),
    trailing_windows=(2, 4, 8, 13, 26, 52),
    half_lives=(1, 4),
    cycle_windows=(),
    year_windows=(1, 5),
    spread_window=13,
    open_windows=(8, 52),
    event_reach=2,
    lookback=60,
)


def calendar_of(frequency: Frequency) -> Calendar:
    return {"daily": DAILY, "weekly": WEEKLY}[frequency]
