"""Landing files: which there are, and which of them are whole."""

import glob
import os
import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import polars as pl

from demand_forecast.settings import Input, Settings
from demand_forecast.sources.columns import declared, mapped, mapping
from demand_forecast.sources.days import Days
from demand_forecast.sources.delivery import Delivery, Table, natural
from demand_forecast.sources.errors import NoFileError, SourceError, UnfinishedError
from demand_forecast.sources.kinds.files.parse import parse
from demand_forecast.sources.landing import Landing, Signature, signature, unreadable

UNFINISHED_NAMES = (".tmp", ".part", ".crdownload", "~")


def deliveries(settings: Settings, name: str, table: Table, given: Input, landing: Landing) -> list[Delivery]:
    """One delivery for each file that `given.path` matches, in the natural order of their names; none is opened.

    A file that changed within `automation.settle_seconds` is left (`landing.left` says so); hidden ones and those named
    as unfinished are passed over. Raises NoFileError where no file matches, SourceError where there is no path.
    """
    if given.path is None:
        raise SourceError(f"{settings.path}: {table}: kind files needs path:")
    base, covariates, found = f"{settings.path.resolve().parent}{os.sep}", declared(settings, table), []
    for file in _taken(settings, table, given.path):
        shown = str(file).removeprefix(base)  # relative to the configuration file where it lies below
        try:
            seen = _settled(file, settings.automation.settle_seconds)
        except UnfinishedError as error:
            landing.leave(shown, error)
            continue
        hashed = partial(landing.file_hash, file, given, table, covariates)
        read, known = partial(_read, file, seen, given, table, covariates), partial(landing.knows, file)
        report = report_of(shown, given.report)
        found.append(Delivery(name, shown, report, hashed, read, known=known))
    return found


def matching(settings: Settings, pattern: str) -> Iterator[Path]:
    """The files that match, whatever state they are in."""
    found = glob.iglob(str(settings.resolve(pattern)), recursive=True)
    return (Path(file) for file in found if not os.path.isdir(file))


def _taken(settings: Settings, table: Table, pattern: str) -> list[Path]:
    names = matching(settings, pattern)
    found = [file for file in names if not (file.name.startswith(".") or file.name.endswith(UNFINISHED_NAMES))]
    if not found:
        raise NoFileError(
            f"{settings.path}: {table}.path {pattern!r} matches no file in {settings.resolve(pattern).parent}; "
            "put the files there or correct the path (it is relative to the configuration file)"
        )
    return sorted(found, key=lambda file: natural(str(file)))


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
