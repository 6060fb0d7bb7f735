"""Products, stores, plan and stock, as the sources have them now."""

import hashlib
from collections.abc import Collection
from datetime import datetime

import polars as pl

from demand_forecast.domain.tables import RAW_PROVENANCE
from demand_forecast.settings import Settings
from demand_forecast.sources.collecting.batches import frames
from demand_forecast.sources.collecting.content import content_hashes
from demand_forecast.sources.columns import KEYS
from demand_forecast.sources.configured import deliveries
from demand_forecast.sources.delivery import Delivery, InputTable
from demand_forecast.sources.landing import Landing

INPUT_PROVENANCE = ("source", "file", "line", "content_hash", "arrived_at")


def collect_inputs(
    settings: Settings, table: InputTable, arrived_at: datetime, held: pl.DataFrame | None = None
) -> pl.DataFrame:
    """The whole of `table` as the sources have it now: `source, file, line, content_hash, arrived_at`, the mapped
    columns and those declared covariates that some file has (text), `extra`. No rows where nobody configured it. Of a
    file that is not whole the rows that are `held` are kept; equal content keeps its `arrived_at`.

    Raises SourceError where a source cannot be read.
    """
    columns = {name: RAW_PROVENANCE[name] for name in INPUT_PROVENANCE} | dict.fromkeys(KEYS[table], pl.String())
    found = [pl.DataFrame(schema=columns | {"extra": pl.String()})]
    landing = Landing()
    for delivery in deliveries(settings, table, landing):
        read = frames(delivery, None, landing)
        found += [_with_provenance(delivery, frame.drop("fault"), arrived_at) for frame in read]
    fresh = pl.concat(found, how="diagonal").select(pl.exclude("extra"), "extra")
    return fresh if held is None else _with_held(fresh, held, landing.left)


def inputs_mark(settings: Settings, table: InputTable, landing: Landing) -> str | None:
    """Equal as long as the files of `table` are the same and read alike; None where only reading them tells.

    Raises SourceError where a source cannot be read.
    """
    found = [(one.source, one.file, one.file_hash) for one in deliveries(settings, table, landing)]
    sure = not landing.left and all(file_hash for _, _, file_hash in found)
    return hashlib.sha256(repr(sorted(found)).encode()).hexdigest()[:32] if sure else None


def _with_held(fresh: pl.DataFrame, held: pl.DataFrame, left: Collection[str]) -> pl.DataFrame:
    """`fresh` with the held rows of files that were left; equal content keeps the time at which it arrived."""
    keys = ["source", "file", "content_hash"]
    arrived = held.group_by(keys).agg(known=pl.col("arrived_at").max())
    known = fresh.join(arrived, on=keys, how="left", maintain_order="left")
    kept = known.with_columns(arrived_at=pl.coalesce("known", "arrived_at")).drop("known")
    waiting = held.filter(pl.col("file").is_in(left)).select(name for name in kept.columns if name in held.columns)
    return pl.concat([kept, waiting], how="diagonal")


def _with_provenance(delivery: Delivery, frame: pl.DataFrame, arrived_at: datetime) -> pl.DataFrame:
    """The rows of a delivery with its names and one hash of them all."""
    one = frame.with_columns(delivery=pl.lit(0), day=pl.lit(None, pl.Date))
    content = content_hashes(one, [name for name in frame.columns if name != "line"])["content_hash"]
    return frame.with_columns(
        source=pl.lit(delivery.source),
        file=pl.lit(delivery.file),
        content_hash=pl.lit(content[0] if content.len() else ""),
        arrived_at=pl.lit(arrived_at, RAW_PROVENANCE["arrived_at"]),
    )
