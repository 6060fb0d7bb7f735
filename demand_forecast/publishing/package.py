"""The serving package, all that a server needs: a model, its forecast, the rows it was made from, a manifest."""

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from demand_forecast.domain.demand.calendar import Frequency
from demand_forecast.domain.tables import FORECAST_NUMBERS, SERIES
from demand_forecast.workspace.atomic_write import replace_text

FORMAT = 4
KEPT = 3
BATCH = 2048  # rows that are read to get at one series
ABANDONED = 3600  # seconds after which a staging folder is a dead process's
CURRENT, TRIAL = "current.json", "trial.json"
MANIFEST, FORECAST, MODEL = "manifest.json", "forecast.parquet", "model"
FEATURES = "features"  # the rows that the forecast was made from
FORECAST_SCHEMA: dict[str, pl.DataType] = {
    "store_id": pl.String(),
    "product_id": pl.String(),
    "date": pl.Date(),
    "horizon": pl.Int32(),
    **{name: pl.Float32() for name in FORECAST_NUMBERS},
    "alignment": pl.Float64(),
}


class PackageError(RuntimeError):
    """A serving package cannot be written or used; the message names the thing, the place and the repair."""


class NoPackageError(PackageError):
    """Nothing was published yet."""


class PackageInfo(BaseModel):
    """Which model a package holds, and why. `promotion` is the ledger line that made it the champion, `reservations`
    what is not sound, or not proven, of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model: str
    model_version: str
    forecast_origin: date
    trained_at: datetime
    data_versions: dict[str, int]
    metrics: dict[str, float | None]
    promotion: dict[str, Any] = {}
    reservations: list[str] = []
    frequency: Frequency = "daily"


class Trial(BaseModel):
    """A challenger tried out on live requests: in the shadow, or in answers about a `share` of the series."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    package: str
    mode: Literal["shadow", "canary"]
    share: float


class Manifest(BaseModel):
    """The SHA-256 of every file of a package, and its PackageInfo."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int
    info: PackageInfo
    files: dict[str, str]


@dataclass(frozen=True)
class Package:
    """A package whose checksums and columns were verified. `forecast` is sorted by series and horizon."""

    path: Path
    info: PackageInfo
    forecast: pl.DataFrame

    @property
    def model_folder(self) -> Path:
        return self.path / MODEL

    def table(self, name: str) -> "SeriesTable | None":
        """One of the tables beside the forecast; None where it was not packed."""
        file = self.path / f"{name}.arrow"
        return SeriesTable(file) if file.is_file() else None


class SeriesTable:
    """A table on disk, sorted by series, from which the rows of some series are read at a time.

    Only the place of each series is held in memory. Reading raises PackageError once the file is gone.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._rows = pl.scan_ipc(file)
        runs = self._rows.select(series=pl.struct(SERIES).rle()).unnest("series").collect()
        keys = runs["value"].struct.unnest().rows()
        ends = runs["len"].cast(pl.Int64).cum_sum()
        self.spans = dict(
            zip(keys, zip((ends - runs["len"]).to_list(), runs["len"].to_list(), strict=True), strict=True)
        )

    def of(self, series: Sequence[tuple[str, str]]) -> pl.DataFrame:
        """The rows of `series` (pairs of store_id, product_id), in that order; none for one that is not in the table.

        Raises PackageError.
        """
        spans = [self.spans.get(key, (0, 0)) for key in series]
        runs = _runs(spans)
        parts = dict(
            zip(runs, self._read([self._rows.slice(first, last - first) for first, last in runs]), strict=True)
        )
        found = []
        for start, length in spans:
            run = next(run for run in runs if run[0] <= start and start + length <= run[1])
            found.append(parts[run].slice(start - run[0], length))
        return pl.concat(found)

    def all(self) -> pl.DataFrame:
        """All rows. Raises PackageError."""
        return self._read([self._rows])[0]

    def _read(self, parts: list[pl.LazyFrame]) -> list[pl.DataFrame]:
        try:
            return pl.collect_all(parts)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise PackageError(f"{self.file} is not readable any more: {error}; publish again") from error


def _runs(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """First and last row of the parts to read for `spans` (start, length); spans within one batch are joined."""
    runs: list[tuple[int, int]] = []
    for start, length in sorted(spans):
        if runs and start - runs[-1][1] <= BATCH:
            runs[-1] = (runs[-1][0], max(runs[-1][1], start + length))
        else:
            runs.append((start, start + length))
    return runs


def write_package(
    folder: Path,
    *,
    model_folder: Path,
    forecast: pl.DataFrame,
    info: PackageInfo,
    tables: Mapping[str, pl.DataFrame] | None = None,
    live: bool = True,
) -> Path:
    """Writes `<folder>/<version>-<content>/`, then points `<folder>/current.json` at it, each in one step.

    `forecast` is the table `demand_forecast` of one forecast origin, with the same dates for every series; `tables` are
    stored beside it, sorted by series: `features` has a row for each row of the forecast. Equal content gives the same
    package. The last three packages are kept. Without `live` it is written and `current.json` stays.

    Returns the package's folder. Raises PackageError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _staged(folder) as staging:
        shutil.copytree(model_folder, staging / MODEL)
        published = _published(forecast, info)
        published.write_parquet(staging / FORECAST, compression="zstd")
        for name, table in (tables or {}).items():
            ordered = _sorted(name, table, published, info)
            ordered.write_ipc(staging / f"{name}.arrow", compression="uncompressed", record_batch_size=BATCH)
        manifest = Manifest(format=FORMAT, info=info, files=_checksums(staging)).model_dump_json(indent=2)
        (staging / MANIFEST).write_text(manifest, encoding="utf-8")
        path = folder / f"{info.model_version}-{sha256(manifest.encode()).hexdigest()[:8]}"
        if _is_whole(path, manifest):
            os.utime(path)  # the newest again
        else:
            shutil.rmtree(path, ignore_errors=True)
            staging.rename(path)
    if live:
        replace_text(folder / CURRENT, json.dumps({"package": path.name}))
        _prune(folder, keep=path)
    return path


def point_trial(folder: Path, trial: Trial | None) -> None:
    """Puts a package of `folder` on trial, or ends the trial; servers follow within seconds."""
    if trial is None:
        (folder / TRIAL).unlink(missing_ok=True)
    else:
        replace_text(folder / TRIAL, trial.model_dump_json())


def read_trial(folder: Path) -> Trial | None:
    """The current trial, if any. Raises PackageError if `<folder>/trial.json` is not readable."""
    try:
        return Trial.model_validate_json((folder / TRIAL).read_bytes())
    except FileNotFoundError:
        return None
    except (ValidationError, OSError) as error:
        raise PackageError(f"{folder / TRIAL} is not readable: {error}; publish again: demand-forecast run") from error


def read_package(folder: Path, name: str | None = None) -> Package:
    """The package `<folder>/<name>`, or the one that `<folder>/current.json` points at.

    Raises NoPackageError when nothing was published, PackageError when a file is missing, changed or of another format.
    """
    path = folder / (current_name(folder) if name is None else _beside(folder, name, folder / TRIAL))
    manifest = _manifest(path)
    if difference := _difference(path, manifest):
        raise PackageError(f"serving package {path}: {difference}; publish again: demand-forecast run")
    forecast = pl.read_parquet(path / FORECAST)
    if forecast.schema != FORECAST_SCHEMA:
        raise PackageError(f"serving package {path}: {FORECAST} has other columns; publish again: demand-forecast run")
    return Package(path, manifest.info, forecast)


def _difference(path: Path, manifest: Manifest) -> str | None:
    """The first file that is not as `manifest` says, and what is wrong with it."""
    found = {name: checksum for name, checksum in _checksums(path).items() if name != MANIFEST}
    for name in sorted(found.keys() | manifest.files.keys()):
        if found.get(name) != manifest.files.get(name):
            return f"{name} is missing" if name not in found else f"{name} is not the file that was published"
    return None


def _is_whole(path: Path, manifest: str) -> bool:
    file = path / MANIFEST
    same = file.is_file() and file.read_text(encoding="utf-8") == manifest
    return same and _difference(path, Manifest.model_validate_json(manifest)) is None


def _sorted(name: str, table: pl.DataFrame, published: pl.DataFrame, info: PackageInfo) -> pl.DataFrame:
    """`table` by series and, where it has them, horizon or date; PackageError where `features` are of other rows."""
    known = [column for column in (*SERIES, "horizon", "date") if column in table.columns]
    table = table.sort(known[:3])
    rows = [*SERIES, "horizon"]
    if name == FEATURES and not table.select(rows).equals(published.select(rows)):
        raise PackageError(f"{name} of version {info.model_version}: not the rows that were forecast; forecast again")
    return table


def _published(forecast: pl.DataFrame, info: PackageInfo) -> pl.DataFrame:
    """The columns that are served, sorted; PackageError when series do not share one origin and its dates."""
    place = f"forecast of version {info.model_version}"
    if "alignment" not in forecast.columns:
        forecast = forecast.with_columns(alignment=pl.lit(1.0))
    if missing := set(FORECAST_SCHEMA) - set(forecast.columns):
        raise PackageError(f"{place}: no column {min(missing)}; give the table demand_forecast")
    if forecast["forecast_origin"].unique().to_list() != [info.forecast_origin]:
        raise PackageError(f"{place}: rows of other forecast origins than {info.forecast_origin}; filter them out")
    shared = forecast.select("date", "horizon").unique().height
    series = forecast.select("store_id", "product_id").unique().height
    distinct = forecast.select("store_id", "product_id", "horizon").unique().height
    if not shared * series == distinct == forecast.height:
        raise PackageError(f"{place}: every series needs each of the same {shared} dates once; forecast again")
    if not forecast.select(pl.all_horizontal(pl.col(FORECAST_NUMBERS).is_finite().fill_null(False)).all()).item():
        raise PackageError(f"{place}: some numbers are missing or not finite; forecast again")
    return forecast.select(pl.col(name).cast(dtype) for name, dtype in FORECAST_SCHEMA.items()).sort(
        "store_id", "product_id", "horizon"
    )


def current_name(folder: Path) -> str:
    """The package that is live. Raises NoPackageError, PackageError."""
    try:
        name = json.loads((folder / CURRENT).read_text(encoding="utf-8"))["package"]
    except FileNotFoundError:
        raise NoPackageError(f"no champion is published in {folder}: run `demand-forecast run`") from None
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise PackageError(
            f"{folder / CURRENT} is not readable: {error}; publish again: demand-forecast run"
        ) from error
    return _beside(folder, name, folder / CURRENT)


def _beside(folder: Path, name: object, pointer: Path) -> str:
    if not isinstance(name, str) or Path(name).name != name or not (folder / name).is_dir():
        raise PackageError(f"{pointer} names no package beside it: {name!r}; publish again: demand-forecast run")
    return name


def _manifest(path: Path) -> Manifest:
    try:
        manifest = Manifest.model_validate_json((path / MANIFEST).read_text(encoding="utf-8"))
    except (ValidationError, OSError) as error:
        raise PackageError(f"{path / MANIFEST} is not readable: {error}; publish again: demand-forecast run") from error
    if manifest.format != FORMAT:
        raise PackageError(
            f"{path / MANIFEST} has format {manifest.format}, this version reads {FORMAT}; publish again"
        )
    return manifest


def _checksums(path: Path) -> dict[str, str]:
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return {file.relative_to(path).as_posix(): sha256(file.read_bytes()).hexdigest() for file in files}


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    staging = folder / f".staging-{os.getpid()}"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _prune(folder: Path, keep: Path) -> None:
    tried = None
    with suppress(PackageError):  # who publishes next makes it readable again
        tried = read_trial(folder)
    packages = [path for path in folder.iterdir() if (path / MANIFEST).is_file() and not path.name.startswith(".")]
    newest = sorted(packages, key=lambda path: path.stat().st_mtime, reverse=True)
    left = [path for path in folder.glob(".staging-*") if time.time() - path.stat().st_mtime > ABANDONED]
    kept = {keep.name, tried.package if tried else ""}
    for path in [path for path in newest if path.name not in kept][KEPT - 1 :] + left:
        shutil.rmtree(path, ignore_errors=True)
