"""The service's prediction log: its segment files, read as rows of the table `served_predictions`."""

import fcntl
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl

from demand_forecast.domain.tables import QUANTILE_COLUMNS, QUANTILE_LEVELS

OPEN, CLOSED = ".open", ".jsonl"
BLOCK = 4 << 20  # bytes of lines that are read at once
UNLOCKED_SECONDS = 60  # an empty segment younger than this may not have been locked yet
NUMBERS = pl.List(pl.Float32)
LINE: dict[str, pl.DataType] = {
    "at": pl.String(),
    "endpoint": pl.String(),
    "seconds": pl.Float64(),
    "shadow": pl.Boolean(),
    "answer": pl.Struct(
        {
            "request_id": pl.String(),
            "forecast_origin": pl.String(),
            "forecasts": pl.List(
                pl.Struct(
                    {
                        **dict.fromkeys(("store_id", "product_id", "model", "model_version", "arm"), pl.String()),
                        "cold_start": pl.Boolean(),
                        "mean": NUMBERS,
                        "quantiles": pl.Struct({str(level): NUMBERS for level in QUANTILE_LEVELS}),
                    }
                )
            ),
        }
    ),
}
SERVED: dict[str, pl.DataType] = {
    "at": pl.Datetime("us", "UTC"),
    "request_id": pl.String(),
    "endpoint": pl.String(),
    "seconds": pl.Float64(),
    "shadow": pl.Boolean(),
    "arm": pl.String(),
    "model": pl.String(),
    "model_version": pl.String(),
    "cold_start": pl.Boolean(),
    "store_id": pl.String(),
    "product_id": pl.String(),
    "forecast_origin": pl.Date(),
    "periods": pl.Int32(),
    **dict.fromkeys(("mean", *QUANTILE_COLUMNS), NUMBERS),
    "segment": pl.String(),
}
OPTIONAL = {"seconds", *QUANTILE_COLUMNS}


def finished_segments(folder: Path) -> list[Path]:
    """The segments in `folder` that are no longer written, the oldest first: closed, or of a process that died."""
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if file.suffix == CLOSED or (file.suffix == OPEN and _is_abandoned(file)):
            found.setdefault(segment_name(file), file)
    return list(found.values())


def segment_name(file: Path) -> str:
    """The name of a segment, the same while it is open and once it is closed."""
    return file.stem


def _is_abandoned(file: Path) -> bool:
    try:
        with file.open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            state = file.stat()  # raises if it was closed and renamed in between
    except (BlockingIOError, FileNotFoundError):
        return False
    return state.st_size > 0 or time.time() - state.st_mtime > UNLOCKED_SECONDS


class AnswerReader:
    """Reads segments, a few megabytes at a time. `lines` counts what was read, `bad` the lines that were skipped."""

    def __init__(self) -> None:
        self.lines = self.bad = 0

    def frames(self, files: Iterable[Path]) -> Iterator[pl.DataFrame]:
        """Frames with the schema SERVED, one row per answered series; the first one is empty."""
        yield pl.DataFrame(schema=SERVED)
        for file in files:
            for block in _blocks(file):
                rows, bad = _rows(block)
                self.lines += len(block)
                self.bad += bad
                yield rows.with_columns(segment=pl.lit(segment_name(file))).select(*SERVED)


def _blocks(file: Path) -> Iterator[list[bytes]]:
    """The lines of a segment, in blocks, without empty ones and without a line cut off by a crash."""
    block: list[bytes] = []
    size = 0
    with file.open("rb") as lines:
        for line in lines:
            if not line.strip() or (file.suffix == OPEN and not line.endswith(b"\n")):
                continue
            block.append(line)
            size += len(line)
            if size > BLOCK:
                yield block
                block, size = [], 0
    if block:
        yield block


def _rows(lines: Sequence[bytes]) -> tuple[pl.DataFrame, int]:
    """The rows of `lines`, and the number of bad lines. If polars refuses the whole, each half is tried alone."""
    try:
        read = pl.read_ndjson(b"".join(line.rstrip(b"\n") + b"\n" for line in lines), schema=LINE)
    except pl.exceptions.PolarsError:
        if len(lines) == 1:
            return pl.DataFrame(schema=SERVED), 1
        half = len(lines) // 2
        (first, bad), (second, worse) = _rows(lines[:half]), _rows(lines[half:])
        return pl.concat([first, second]), bad + worse
    return _answers(read)


def _answers(read: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """One row per series of each line in `read` (schema LINE), and the number of lines that lack something."""
    levels = [pl.col("quantiles").struct.field(str(level)) for level in QUANTILE_LEVELS]
    each = read.with_row_index("line").unnest("answer").explode("forecasts", empty_as_null=False).unnest("forecasts")
    rows = each.with_columns(
        at=pl.col("at").str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", time_unit="us", strict=False),
        forecast_origin=pl.col("forecast_origin").str.to_date("%Y-%m-%d", strict=False),
        periods=pl.col("mean").list.drop_nulls().list.len().cast(pl.Int32),
        segment=pl.lit(""),
        **dict(zip(QUANTILE_COLUMNS, levels, strict=True)),
    )
    whole = pl.all_horizontal(pl.col(name).is_not_null() for name in SERVED if name not in OPTIONAL)
    whole &= (pl.col("periods") == pl.col("mean").list.len()) & (pl.col("periods") > 0)
    bad = rows.filter(~whole)["line"].unique()
    return rows.filter(~pl.col("line").is_in(bad.implode())).select(*SERVED), len(bad)
