"""Whether days long past say today what they said before."""

from typing import NamedTuple

import polars as pl

from demand_forecast.domain.tables import SERIES

JUMP = 1.25  # times the units of before, or the reverse: a corrected day may, a month of them is another history
MANY_DAYS = 14  # days that jump; late and corrected reports touch fewer


class Jump(NamedTuple):
    """Days on which the same series sold another number of units than before: `days` (`date, before, now`), of
    `compared` ones, and `sources` (`source, before, now`) whose lines made the difference, most of it first."""

    days: pl.DataFrame
    compared: int
    sources: pl.DataFrame

    @property
    def is_other_history(self) -> bool:
        return self.days.height > MANY_DAYS

    @property
    def text(self) -> str:
        if self.days.is_empty():
            return f"{self.compared:,} past days differ a little or not at all"
        before, now = self.days.select(pl.col("before", "now").sum()).row(0)
        first, last = self.days.select(pl.col("date").min(), pl.col("date").max().alias("last")).row(0)
        times = f"{now / before:.2f} times" if before else "units instead of none:"
        told = ", ".join(f"{name} {was:,.0f} to {units:,.0f}" for name, was, units in self.sources.rows())
        return (
            f"{self.days.height:,} of {self.compared:,} past days from {first} to {last} have {times} the units of "
            f"before ({before:,.0f} to {now:,.0f}); by source: {told}"
        )


def jump_of(before: pl.LazyFrame, now: pl.LazyFrame) -> Jump:
    """What changed from `before` to `now`, clean_sales (`date, store_id, product_id, units, source`) of the same days.

    A series is compared from its first to its last day in `before`, if it is in both: what is new, was late or is
    older than what was known is no jump.
    """
    known = before.group_by(SERIES).agg(first=pl.col("date").min(), last=pl.col("date").max())
    known = known.join(now.select(SERIES).unique(), on=SERIES)
    within = pl.col("date").is_between("first", "last")
    sides = [frame.join(known, on=SERIES).filter(within) for frame in (before, now)]
    by_day = _compared(sides, "date")
    low, high = pl.min_horizontal("before", "now"), pl.max_horizontal("before", "now")
    jumped = by_day.filter(high > JUMP * low).sort("date")
    changed = _compared(sides, "source").filter(pl.col("before") != pl.col("now"))
    return Jump(jumped, by_day.height, changed.sort((pl.col("now") - pl.col("before")).abs(), descending=True))


def _compared(sides: list[pl.LazyFrame], by: str) -> pl.DataFrame:
    units = pl.col("units").cast(pl.Float64).sum()
    before, now = (
        side.group_by(by).agg(units.alias(name)) for name, side in zip(("before", "now"), sides, strict=True)
    )
    return before.join(now, on=by, how="full", coalesce=True).fill_null(0.0).sort(by).collect()
