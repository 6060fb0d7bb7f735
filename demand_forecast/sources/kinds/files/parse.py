"""A file as text: plain, gzip or Parquet, in whatever encoding it is."""

import gzip
import zlib
from pathlib import Path

import polars as pl

from demand_forecast.settings import Input
from demand_forecast.sources.columns import Parsed, as_text, marks
from demand_forecast.sources.errors import DamagedError, SourceError
from demand_forecast.sources.kinds.files.csv_rows import parse_csv
from demand_forecast.sources.landing import unreadable


def parse(file: Path, given: Input) -> Parsed:
    """All columns of a CSV, CSV.gz or Parquet file as text; no columns where the file holds nothing at all.

    Raises SourceError where the file cannot be read or is neither, DamagedError where it is cut short.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise unreadable(file, error) from error
    if data[:4] == b"PAR1":
        return _parse_parquet(file)
    if data[:2] == b"\x1f\x8b":
        data = _unpacked(file, data)
    if data[:4] in (b"PK\x03\x04", b"\xd0\xcf\x11\xe0"):
        raise SourceError(f"{file}: an archive or a spreadsheet, not a table of text; export it as CSV or Parquet")
    return parse_csv(_utf8(data, given), given.delimiter)


def _unpacked(file: Path, data: bytes) -> bytes:
    try:
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error) as error:
        why = f"{file}: the compressed file is cut short or damaged ({error}); deliver it again"
        raise DamagedError(why) from error


def _parse_parquet(file: Path) -> Parsed:
    try:
        frame = pl.read_parquet(file, glob=False, hive_partitioning=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DamagedError(f"{file}: not a readable Parquet file ({error}); deliver it again") from error
    return Parsed(
        pl.DataFrame([as_text(column) for column in frame]), marks(pl.int_range(1, frame.height + 1, eager=True))
    )


def _utf8(data: bytes, given: Input) -> bytes:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="backslashreplace").encode()
    try:
        text = data.decode(given.encoding)
    except UnicodeDecodeError:
        text = data.decode(given.fallback_encoding, errors="backslashreplace")
    return text.removeprefix("\ufeff").encode()
