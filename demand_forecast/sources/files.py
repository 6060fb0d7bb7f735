"""Landing files: CSV, CSV.gz and Parquet found by globs, read tolerantly and without loss."""

import csv
import glob
import gzip
import io
import os
import re
import time
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import polars as pl

from demand_forecast.settings import Input, Settings
from demand_forecast.sources.delivery import (
    DamagedError,
    Days,
    Delivery,
    NoFileError,
    Parsed,
    SourceError,
    Table,
    UnfinishedError,
    as_text,
    declared,
    mapped,
    mapping,
    marks,
    named_inputs,
    natural,
)
from demand_forecast.sources.landing import Landing, Signature, signature, unreadable

BLANK_LINE = re.compile(rb"\n(?=\r?\n)")
LONGEST_RECORD = 20  # lines; a quote still open after so many was never meant to be closed
MALFORMED = "malformed_line"
UNFINISHED_NAMES = (".tmp", ".part", ".crdownload", "~")


def deliveries(settings: Settings, name: str, table: Table, given: Input, landing: Landing) -> list[Delivery]:
    """One delivery for each file that `given.path` matches, in the natural order of their names; none is opened.

    A file that changed within `automation.settle_seconds` is left (`landing.left` says so); hidden ones and those named
    as unfinished are not looked at. Raises NoFileError where no file matches.
    """
    if given.path is None:
        raise SourceError(f"{settings.path}: {table}: kind files needs path:")
    base, covariates, found = f"{settings.path.resolve().parent}{os.sep}", declared(settings, table), []
    for file in _matches(settings, table, given.path):
        said = str(file).removeprefix(base)  # relative to the configuration file where it lies below
        try:
            seen = _settled(file, settings.automation.settle_seconds)
        except UnfinishedError as error:
            landing.leave(said, error)
            continue
        hashed = partial(landing.file_hash, file, given, table, covariates)
        read, known = partial(_read, file, seen, given, table, covariates), partial(landing.knows, file)
        report = report_of(said, given.report)
        found.append(Delivery(name, said, report, hashed, read, given.date_format, known=known))
    return found


def wait_until_settled(settings: Settings) -> None:
    """Waits for files that have only just landed, at most `automation.settle_seconds`."""
    patience = settings.automation.settle_seconds
    newest = 0.0
    for table in ("sales", "products", "stores", "plan", "stock"):
        for _, source, given in named_inputs(settings, table):
            if source.kind == "files" and given.path is not None:
                places = glob.iglob(str(settings.resolve(given.path)), recursive=True)
                newest = max([newest, *(os.stat(file).st_ctime for file in places if os.path.isfile(file))])
    time.sleep(min(patience, max(0.0, newest + patience - time.time())))


def _settled(file: Path, seconds: float) -> Signature:
    """The file's signature. Raises UnfinishedError where it changed less than `seconds` ago or is gone."""
    try:
        found = file.stat()
    except FileNotFoundError as error:
        raise unreadable(file, error) from error
    age = time.time() - found.st_ctime  # whatever changes content, size or name changes it; mtime may be set at will
    if age < seconds:
        raise UnfinishedError(f"{file}: changed {max(0.0, age):.0f} s ago; it is taken after {seconds:g} s of rest")
    return signature(found)


def _matches(settings: Settings, table: Table, pattern: str) -> list[Path]:
    place = settings.resolve(pattern)
    names = (Path(file) for file in glob.glob(str(place), recursive=True) if not os.path.isdir(file))
    found = [file for file in names if not (file.name.startswith(".") or file.name.endswith(UNFINISHED_NAMES))]
    if not found:
        raise NoFileError(
            f"{settings.path}: {table}.path {pattern!r} matches no file in {place.parent}; "
            "put the files there or correct the path (it is relative to the configuration file)"
        )
    return sorted(found, key=lambda file: natural(str(file)))


def report_of(file: str, pattern: str | None) -> str:
    """The report `file` is a version of: what `pattern` finds in its name (if it has groups, these), else itself."""
    match = re.search(pattern, file.rsplit("/", 1)[-1]) if pattern else None
    if match is None:
        return file.removesuffix(".gz")
    return "-".join(group or "" for group in match.groups()) or match.group()


def _read(
    file: Path, seen: Signature, given: Input, table: Table, covariates: list[str], _days: Days | None
) -> Iterator[pl.DataFrame]:
    parsed = parse(file, given)
    try:
        now = signature(file.stat())
    except FileNotFoundError as error:
        raise unreadable(file, error) from error
    if now != seen:
        raise UnfinishedError(f"{file}: changed while it was read; it is taken when it is whole")
    if parsed.columns.width:
        yield mapped(parsed, mapping(given, table, covariates, parsed.columns.columns, str(file)))


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
        said = f"{file}: the compressed file is cut short or damaged ({error}); deliver it again"
        raise DamagedError(said) from error


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


def parse_csv(data: bytes, delimiter: str = ",") -> Parsed:
    """The rows of a CSV in UTF-8, its first line the header. No line is lost: one that does not split into the header's
    columns is a row with fault `malformed_line` and itself in `whole`. Blank lines do not count.

    `line` counts from 1 for the header; a value that spans lines counts where it begins.
    """
    data = data.rstrip(b"\r\n")
    return _parse_regular(data, delimiter) or _parse_any(data.decode(), delimiter)


def _parse_regular(data: bytes, delimiter: str) -> Parsed | None:
    """The rows by polars where it can be trusted: every line one row of exactly the header's columns."""
    try:
        frame = pl.read_csv(data, separator=delimiter, infer_schema=False, empty_string_is_null=False, glob=False)
    except pl.exceptions.PolarsError:
        return None
    blank = len(BLANK_LINE.findall(data))
    frame = frame.rename(_names(frame.columns))
    lines = marks(pl.int_range(2, frame.height + 2, eager=True))
    full = pl.any_horizontal(pl.all() != "")
    kept = frame if not blank else frame.filter(full)
    if frame.height != data.count(b"\n") or kept.height + blank != frame.height or not _exact(data, delimiter, kept):
        return None
    return Parsed(kept, lines if not blank else lines.filter(frame.select(full).to_series()))


def _exact(data: bytes, delimiter: str, frame: pl.DataFrame) -> bool:
    """Whether no line is short: polars fills short lines silently, and refuses long ones."""
    mark = delimiter.encode()
    expected = (frame.width - 1) * (frame.height + 1)
    if b'"' not in data:
        return data.count(mark) == expected
    if any(mark.decode() in name for name in frame.columns):
        return False
    quoted = frame.select(pl.sum_horizontal(pl.all().str.count_matches(delimiter, literal=True).sum())).item()
    return data.count(mark) - int(quoted or 0) == expected


def _names(header: Sequence[str]) -> dict[str, str]:
    """Header names without surrounding space, where that leaves them different."""
    stripped = [name.strip() for name in header]
    return dict(zip(header, stripped, strict=True)) if len({*stripped}) == len(header) else {}


def _parse_any(text: str, delimiter: str) -> Parsed:
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    first = next((number for number, line in enumerate(lines) if line.strip()), None)
    if first is None:
        return Parsed(pl.DataFrame(), marks(pl.Series([], dtype=pl.Int64)))
    header = _distinct(next(csv.reader([lines[first]], delimiter=delimiter)))
    rows = list(_records(lines, first + 1, delimiter, len(header)))
    numbers, values, wholes = zip(*rows, strict=True) if rows else ((), (), ())
    columns = pl.DataFrame(list(values), schema=dict.fromkeys(header, pl.String), orient="row")
    whole = pl.Series("whole", wholes, dtype=pl.String)
    fault = pl.select(pl.when(whole.is_not_null()).then(pl.lit(MALFORMED))).to_series()
    return Parsed(columns.rename(_names(header)), marks(pl.Series(numbers, dtype=pl.Int64), fault, whole))


def _distinct(header: list[str]) -> list[str]:
    repeats = [header[:place].count(name) for place, name in enumerate(header)]
    return [name if not n else f"{name}_duplicated_{n - 1}" for name, n in zip(header, repeats, strict=True)]


def _records(
    lines: list[str], start: int, delimiter: str, width: int
) -> Iterator[tuple[int, Sequence[str | None], str | None]]:
    """For each record its line number, its fields, and the line itself where it does not split into `width` fields."""
    place = start
    while place < len(lines):
        if not lines[place]:
            place += 1
            continue
        fields, used = _record(lines, place, delimiter, width)
        yield (place + 1, fields, None) if fields else (place + 1, [None] * width, lines[place])
        place += used


def _record(lines: list[str], place: int, delimiter: str, width: int) -> tuple[list[str] | None, int]:
    for used in range(1, LONGEST_RECORD + 1):
        record = "\n".join(lines[place : place + used])
        try:
            fields = next(csv.reader(io.StringIO(record, newline=""), delimiter=delimiter, strict=True))
        except csv.Error as error:
            if "unexpected end of data" in str(error) and place + used < len(lines):
                continue
            break
        if len(fields) == width:
            return fields, used
        break
    return _lenient(lines[place], delimiter, width), 1


def _lenient(line: str, delimiter: str, width: int) -> list[str] | None:
    try:
        fields = next(csv.reader([line], delimiter=delimiter))
    except csv.Error:
        return None
    return fields if len(fields) == width else None
