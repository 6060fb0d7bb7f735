"""Deliveries read in batches, and of each batch the days that are new."""

from collections.abc import Collection, Iterable, Iterator
from datetime import date, timedelta
from typing import NamedTuple

import polars as pl

from demand_forecast.domain.cleaning.dates import EARLIEST_DAY
from demand_forecast.domain.tables import RAW_PROVENANCE
from demand_forecast.sources.collecting import content
from demand_forecast.sources.collecting.index import PART
from demand_forecast.sources.collecting.scan import Scan
from demand_forecast.sources.days import Days
from demand_forecast.sources.delivery import Delivery
from demand_forecast.sources.errors import UnfinishedError
from demand_forecast.sources.landing import Contents, Landing

NAMES = {name: RAW_PROVENANCE[name] for name in ("source", "report", "file")}


class Batch(NamedTuple):
    """Rows with `delivery` (its number) and `day`; `new` gives the groups of these that are new, with provenance."""

    rows: pl.DataFrame
    new: pl.DataFrame


def read_all(deliveries: Iterable[Delivery], scan: Scan) -> None:
    """Reads the deliveries, so that `scan.landing` knows what is in them.

    Raises SourceError where one cannot be read.
    """
    for _ in batches(deliveries, scan):
        pass


def batches(deliveries: Iterable[Delivery], scan: Scan) -> Iterator[Batch]:
    """The deliveries that are not known whole; small ones together: work per file would cost more than their rows.

    Raises SourceError where one cannot be read.
    """
    pool: list[tuple[Delivery, pl.DataFrame]] = []
    pooled = 0
    for delivery in _needed(deliveries, scan):
        for frame in frames(delivery, scan.days_of(delivery), scan.landing):
            mixed = bool(pool) and pool[0][0].source != delivery.source
            if mixed or pooled + frame.height > content.BATCH_ROWS:
                yield from _batch(pool, scan)
                pool, pooled = [], 0
            pool.append((delivery, frame))
            pooled += frame.height
    yield from _batch(pool, scan)


def frames(delivery: Delivery, days: Days | None, landing: Landing) -> Iterator[pl.DataFrame]:
    """What the delivery hands over; nothing where it is not whole, which `landing` notes.

    Raises SourceError where it cannot be read.
    """
    try:
        yield from delivery.read(days)
    except UnfinishedError as error:
        landing.leave(delivery.file, error)
        landing.note_fault(delivery, error)


def _needed(deliveries: Iterable[Delivery], scan: Scan) -> Iterator[Delivery]:
    for delivery in deliveries:
        try:
            if scan.needs(delivery):
                scan.collected.note_reading(delivery)
                yield delivery
            else:
                scan.proven.add((delivery.source, delivery.report))
        except UnfinishedError as error:
            scan.landing.leave(delivery.file, error)


def _batch(pool: list[tuple[Delivery, pl.DataFrame]], scan: Scan) -> Iterator[Batch]:
    if not pool:
        return
    deliveries = [delivery for delivery, _ in pool]
    numbered = [frame.with_columns(delivery=pl.lit(number, pl.UInt32)) for number, (_, frame) in enumerate(pool)]
    empty = pl.DataFrame(schema=dict.fromkeys(scan.columns, pl.String()))
    rows = pl.concat([empty, *numbered], how="diagonal", rechunk=False)
    rows = content.with_day(rows, deliveries[0].dates, scan.today)
    content.require_readable(rows, deliveries)
    possible = pl.col("written").is_between(EARLIEST_DAY, scan.today).fill_null(False)
    moving = {*rows.filter(~possible)["delivery"].unique()}
    rows = rows.drop("written")
    hashed = [content.content_hashes(part, [*scan.columns, "extra", "fault"]) for part in content.slices(rows)]
    groups = pl.concat(hashed).sort("delivery", "day")
    _note_contents(groups, deliveries, moving, scan)
    new = _new_groups(groups, deliveries, scan)
    if scan.full:
        scan.groups.append(_counted(groups, rows, new, deliveries))
    yield Batch(rows, new)


def _note_contents(groups: pl.DataFrame, deliveries: list[Delivery], moving: Collection[int], scan: Scan) -> None:
    """Notes what is in each file; of one that can be asked for some of its days, nobody knows the rest."""
    contents: dict[int, dict[date, str]] = {number: {} for number, one in enumerate(deliveries) if one.span is None}
    for number, day, content_hash in groups.select("delivery", "day", "content_hash").iter_rows():
        if number in contents:
            contents[number][day] = content_hash
    for number, days in contents.items():
        scan.landing.note(deliveries[number], Contents(days, scan.today if number in moving else None))


def _counted(groups: pl.DataFrame, rows: pl.DataFrame, new: pl.DataFrame, deliveries: list[Delivery]) -> pl.DataFrame:
    """The groups with the names of their delivery, their number of rows, and whether they are new."""
    keys = ("delivery", "day")
    counted = groups.join(rows.group_by(keys).len("rows"), on=keys)
    marked = counted.join(new.select(*keys, new=True), on=keys, how="left", maintain_order="left")
    names = pl.DataFrame([(one.source, one.report, one.file) for one in deliveries], NAMES, orient="row")
    return marked.join(names.with_row_index("delivery"), on="delivery").select(
        *NAMES, "day", "content_hash", "rows", pl.col("new").fill_null(False)
    )


def _new_groups(groups: pl.DataFrame, deliveries: list[Delivery], scan: Scan) -> pl.DataFrame:
    """Of the groups `delivery, day, content_hash` those to collect, with all provenance but `line`."""
    new = []
    for number, group in groups.group_by("delivery", maintain_order=True):
        delivery = deliveries[int(str(number[0]))]
        if (delivery.source, delivery.file) not in scan.copies:
            new += [(number[0], *row) for row in _new_days(group, delivery, scan)]
    names = ("day", "content_hash", "arrived_at", "source", "file", "report", "file_hash")
    schema = {"delivery": pl.UInt32()} | {name: RAW_PROVENANCE[name] for name in names}
    return pl.DataFrame(new, schema=schema, orient="row")


def _new_days(group: pl.DataFrame, delivery: Delivery, scan: Scan) -> Iterator[tuple[object, ...]]:
    """Of one delivery's days those to collect; with its file hash marked where others of it are left out."""
    index, days = scan.collected, scan.days
    by_day = group.select("day", "content_hash").iter_rows()
    fresh = [(day, found) for day, found in by_day if index.is_new(delivery, day, found)]
    asked = [(day, found) for day, found in fresh if days is None or days[0] <= day <= days[1]]
    file_hash = delivery.file_hash
    if file_hash and (len(asked) < len(fresh) or not _covers(days, delivery)):
        file_hash += PART
    for day, found in asked:
        arrived_at = scan.arrived_at + timedelta(microseconds=index.add(delivery, day, found, file_hash))
        yield day, found, arrived_at, delivery.source, delivery.file, delivery.report, file_hash


def _covers(days: Days | None, delivery: Delivery) -> bool:
    """Whether what was read is all that the delivery has."""
    if days is None or delivery.span is None:
        return True
    whole = delivery.span()
    return whole is not None and days[0] <= whole[0] and whole[1] <= days[1]
