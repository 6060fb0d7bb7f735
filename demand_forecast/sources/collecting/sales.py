"""The sales that the lake does not hold yet."""

from collections.abc import Iterator
from datetime import datetime

import polars as pl

from demand_forecast.domain.tables import RAW_PROVENANCE
from demand_forecast.settings import Settings
from demand_forecast.sources.collecting.batches import batches
from demand_forecast.sources.collecting.content import slices
from demand_forecast.sources.collecting.scan import Scan, scan_of_sales
from demand_forecast.sources.configured import deliveries
from demand_forecast.sources.days import Days
from demand_forecast.sources.landing import Landing


def collect_sales(
    settings: Settings,
    known: pl.DataFrame,
    days: Days | None,
    arrived_at: datetime,
    landing: Landing | None = None,
) -> Iterator[pl.DataFrame]:
    """The rows that are new, in the layout of raw_sales: whole days of a file, some 100,000 rows to a frame.

    `known` is `known_sales` of the lake (of an empty one `pl.DataFrame(schema=KNOWN)`). With `days` only rows of those
    days. A day of a file is new when its content differs from what its file and its report last had for that day.
    A file that was collected whole is not parsed again. Where several new files are versions of one report, the later
    name has the later `arrived_at`, by a microsecond each. A file that is not whole is left, and named in
    `landing.left`; what `landing` knows of unchanged files saves opening them, and it learns.

    Raises SourceError where a source cannot be read.
    """
    yield from new_rows(settings, scan_of_sales(settings, known, days, arrived_at, landing))


def new_rows(settings: Settings, scan: Scan) -> Iterator[pl.DataFrame]:
    """The new rows that `scan` asks for, as `collect_sales` gives them; what a full scan read is in `scan.groups`.

    Raises SourceError where a source cannot be read.
    """
    for batch in batches(deliveries(settings, "sales", scan.landing, scan.collected.sources), scan):
        for rows in slices(batch.rows):
            new = rows.join(batch.new, on=("delivery", "day"), maintain_order="left")
            if new.height:
                yield new.select(*RAW_PROVENANCE, *scan.columns, "extra", "fault")
