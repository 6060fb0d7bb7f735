"""The rows of a CSV, read tolerantly and without losing a line."""

import csv
import io
import re
from collections.abc import Iterator, Sequence

import polars as pl

from demand_forecast.sources.columns import Parsed, marks

BLANK_LINE = re.compile(rb"\n(?=\r?\n)")
LONGEST_RECORD = 20  # lines; a quote still open after so many was never meant to be closed
MALFORMED = "malformed_line"


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
