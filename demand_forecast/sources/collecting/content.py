"""The content of each day of a delivery: which day each row counts on, and the hash of a day's rows."""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import polars as pl

from demand_forecast.domain.cleaning.dates import EARLIEST_DAY, DateReading, read_dates
from demand_forecast.sources.delivery import Delivery
from demand_forecast.sources.errors import SourceError

BATCH_ROWS = 500_000
FIELD, ROW, NULL = "\x1f", "\x1e", "\x00"


def with_day(rows: pl.DataFrame, dates: DateReading, today: date) -> pl.DataFrame:
    """`written`: the row's date where it is readable; `day`: the same where it is possible, else the latest such of its
    delivery. A delivery without one goes to yesterday, which can be collected; one all to come waits as today's.
    """
    rows = rows.with_columns(written=read_dates(rows, dates))
    rows = rows.with_columns(day=pl.when(pl.col("written").is_between(EARLIEST_DAY, today)).then("written"))
    if not rows["day"].null_count():
        return rows
    to_come = (pl.col("written") > today).any().over("delivery")
    without = pl.when(to_come).then(pl.lit(today)).otherwise(pl.lit(today - timedelta(days=1)))
    return rows.with_columns(pl.coalesce("day", pl.col("day").max().over("delivery"), without))


def require_readable(rows: pl.DataFrame, deliveries: Sequence[Delivery]) -> None:
    """Raises SourceError for a delivery with dates of which none can be read: its format has changed."""
    if not rows["written"].null_count():
        return
    dated = rows.filter(pl.col("date").str.strip_chars() != "")
    counts = dated.group_by("delivery").agg(pl.col("written").count(), pl.len(), first=pl.col("date").first())
    for number, dates, first in counts.filter(written=0).sort("delivery").select("delivery", "len", "first").rows():
        raise SourceError(f"{deliveries[number].file}: {unreadable_dates(dates, first)}")


def unreadable_dates(dates: int, first: str) -> str:
    """What to say of `dates` dates of which none can be read."""
    return (
        f"no sales row has a readable date that is not to come (the first of {dates:,} says {first!r}); if dates are "
        "written in a way that can mean two days, say which by sales.date_format, for instance '%d/%m/%Y'"
    )


def slices(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """`rows` in slices of whole days, so that what is computed beside them stays small."""
    if rows.height <= 2 * BATCH_ROWS:
        yield rows
        return
    days = rows.group_by("day").len().sort("day").with_columns(slice=pl.col("len").cum_sum() // BATCH_ROWS)
    ends = days.group_by("slice", maintain_order=True).agg(first=pl.min("day"), last=pl.max("day"))
    for first, last in ends.select("first", "last").iter_rows():
        yield rows.filter(pl.col("day").is_between(first, last))


def content_hashes(rows: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """`delivery, day, content_hash`: BLAKE2b over the names of `columns` and the group's rows, whatever their order."""
    names = sorted(columns)
    row = pl.concat_str([pl.col(name).fill_null(NULL) for name in names], separator=FIELD)
    texts = rows.select("delivery", "day", row=row).group_by("delivery", "day").agg(pl.col("row").sort().str.join(ROW))
    heading = FIELD.join(names) + ROW
    hashes = [hashlib.blake2b((heading + text).encode(), digest_size=16).hexdigest() for text in texts["row"]]
    return texts.select("delivery", "day").with_columns(content_hash=pl.Series(hashes, dtype=pl.String))
