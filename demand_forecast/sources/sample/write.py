"""The sample retailer on disk: the same seed gives the same bytes."""

import contextlib
import gzip
import io
import os
import sqlite3
import struct
from pathlib import Path

import polars as pl

from demand_forecast.sources.sample import catalogue, mess

SQLITE_WRITER_VERSION_AT = 96  # byte offset: https://www.sqlite.org/fileformat.html#the_database_header


def compress(content: bytes) -> bytes:
    """Gzip without a name or a time in it."""
    out = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=out, mtime=0) as file:
        file.write(content)
    return out.getvalue()


def write_bytes(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def write_reports(folder: Path, reports: pl.DataFrame) -> None:
    """One file for each `file` of `reports` (file, line, text), in `folder`."""
    for (name,), lines in reports.group_by("file", maintain_order=True):
        content = mess.encoded(str(name), lines["text"].to_list())
        write_bytes(folder / str(name), compress(content) if str(name).endswith(".gz") else content)


def write_csv(path: Path, frame: pl.DataFrame) -> None:
    write_bytes(path, frame.write_csv(float_precision=2).encode())


def write_stock(folder: Path, stock: pl.DataFrame) -> None:
    """One file a quarter, and one for the last day."""
    quarter = pl.concat_str(pl.col("Date").dt.year(), pl.lit("-Q"), pl.col("Date").dt.quarter())
    is_last = pl.col("Date") == catalogue.LAST_DAY
    name = pl.when(is_last).then(pl.col("Date").dt.to_string()).otherwise(quarter)
    for (file,), rows in stock.group_by(name.alias("file"), maintain_order=True):
        write_csv(folder / f"{file}.csv", rows)


def write_ledger(path: Path, ledger: pl.DataFrame) -> None:
    """A SQLite database with the table `sales`; replaces `path` whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(fresh)) as connection:
        connection.execute("CREATE TABLE sales(sold_on TEXT, shop TEXT, sku TEXT, quantity INTEGER, unit_price REAL)")
        connection.executemany("INSERT INTO sales VALUES (?, ?, ?, ?, ?)", ledger.select(mess.COLUMNS).iter_rows())
        connection.commit()
        connection.execute("VACUUM")
    _forget_writer(fresh)
    os.replace(fresh, path)


def _forget_writer(path: Path) -> None:
    """Sets the version of the SQLite library that wrote the file, which no reader needs, to 3.40.0."""
    with path.open("r+b") as file:
        file.seek(SQLITE_WRITER_VERSION_AT)
        file.write(struct.pack(">I", 3_040_000))


def write_truth(folder: Path, truth: pl.DataFrame, faults: pl.DataFrame, effects: str) -> None:
    """What the pipeline must not see: truth.parquet, faults.csv, effects.json."""
    folder.mkdir(parents=True, exist_ok=True)
    truth.write_parquet(folder / "truth.parquet", compression="zstd", compression_level=19)
    write_csv(folder / "faults.csv", faults)
    write_bytes(folder / "effects.json", f"{effects}\n".encode())
