"""The CSVs of the M5 layout: loose files, gzipped or in a zip."""

import gzip
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from demand_forecast.settings import Settings
from demand_forecast.sources.errors import SourceError

SUFFIXES = (".csv", ".csv.gz")


class Part(NamedTuple):
    """One CSV of the layout: a file of its own, or a member of a zip."""

    path: Path
    member: str | None = None

    @property
    def name(self) -> str:
        return self.member or self.path.name

    def head(self) -> list[str]:
        with self._open() as stream:
            return stream.readline().decode().strip().split(",")

    def frame(self, columns: list[str] | None = None) -> pl.DataFrame:
        """The columns as text, those asked for or all, and `line`. Raises SourceError where one is missing."""
        missing = sorted({*(columns or [])} - {*self.head()})
        if missing:
            raise SourceError(
                f"{self.path}: {self.name} has no column {', '.join(missing)}; take the file as Kaggle gives it"
            )
        try:
            with self._open() as stream:
                data = stream.read()
            frame = pl.read_csv(data, columns=columns, infer_schema=False, glob=False)
        except (pl.exceptions.PolarsError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise SourceError(f"{self.path}: {self.name} is damaged ({error}); fetch it again") from error
        return frame.with_row_index("line", 2).cast({"line": pl.Int64})

    def _open(self) -> Any:
        stream: Any = zipfile.Path(self.path, self.member).open("rb") if self.member else self.path.open("rb")
        return gzip.GzipFile(fileobj=stream) if self.name.endswith(".gz") else stream


def parts_at(place: Path) -> dict[str, Part]:
    """The CSVs at `place` by stem: loose files first, then those in a zip.

    Raises SourceError where there is no such place or a zip cannot be read.
    """
    if not place.exists():
        raise SourceError(f"{place}: no such folder or zip; point source.path at the M5 files")
    loose = (
        {} if place.is_file() else {stem: Part(file) for file in sorted(place.iterdir()) if (stem := _stem(file.name))}
    )
    zips = [place] if place.is_file() else sorted(place.glob("*.zip"))
    return {stem: part for file in zips for stem, part in _members(file).items()} | loose


def _members(file: Path) -> dict[str, Part]:
    try:
        with zipfile.ZipFile(file) as archive:
            return {stem: Part(file, name) for name in archive.namelist() if (stem := _stem(name.rsplit("/", 1)[-1]))}
    except (zipfile.BadZipFile, OSError) as error:
        raise SourceError(f"{file}: not a readable zip ({error}); fetch it again") from error


def _stem(name: str) -> str | None:
    return next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), None)


def part_of(parts: dict[str, Part], stems: tuple[str, ...], settings: Settings) -> Part:
    """The first of `stems` that is there. Raises SourceError where none is."""
    for stem in stems:
        if stem in parts:
            return parts[stem]
    raise SourceError(f"{settings.path}: source.path: no {stems[0]}.csv, .csv.gz or zip with it; fetch it from Kaggle")
