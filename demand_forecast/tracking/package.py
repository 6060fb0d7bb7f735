"""The serving package: all that a server needs (champion, its published forecast, a manifest with checksums)."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from demand_forecast.domain.tables import QUANTILE_COLUMNS
from demand_forecast.home import replace_text

FORMAT = 1
KEPT = 3
ABANDONED = 3600  # seconds after which a staging folder is a dead process's
CURRENT, MANIFEST, FORECAST, MODEL = "current.json", "manifest.json", "forecast.parquet", "model"
FORECAST_SCHEMA: dict[str, pl.DataType] = {
    "store_id": pl.String(),
    "product_id": pl.String(),
    "date": pl.Date(),
    "horizon": pl.Int32(),
    **{name: pl.Float32() for name in ("mean", *QUANTILE_COLUMNS)},
}


class PackageError(RuntimeError):
    """A serving package cannot be written or used; the message names the thing, the place and the repair."""


class NoPackageError(PackageError):
    """Nothing was published yet."""


class PackageInfo(BaseModel):
    """What is live and why. `promotion` is the ledger line that made it the champion."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model: str
    model_version: str
    forecast_origin: date
    trained_at: datetime
    data_versions: dict[str, int]
    metrics: dict[str, float | None]
    promotion: dict[str, Any] = {}


class Manifest(BaseModel):
    """Every file of the package with its SHA-256, and what the package is."""

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


def write_package(folder: Path, *, model_folder: Path, forecast: pl.DataFrame, info: PackageInfo) -> Path:
    """Writes `<folder>/<version>-<content>/`, then points `<folder>/current.json` at it, each in one step.

    `forecast` holds the table `demand_forecast` of one forecast origin, the same dates for every series. Equal content
    is the same package. The last three packages are kept. Gives the package's folder; raises PackageError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _staged(folder) as staging:
        shutil.copytree(model_folder, staging / MODEL)
        _published(forecast, info).write_parquet(staging / FORECAST, compression="zstd")
        manifest = Manifest(format=FORMAT, info=info, files=_checksums(staging)).model_dump_json(indent=2)
        (staging / MANIFEST).write_text(manifest, encoding="utf-8")
        path = folder / f"{info.model_version}-{sha256(manifest.encode()).hexdigest()[:8]}"
        if not path.exists():
            staging.rename(path)
    replace_text(folder / CURRENT, json.dumps({"package": path.name}))
    _prune(folder, keep=path)
    return path


def read_package(folder: Path) -> Package:
    """The package that `<folder>/current.json` points at.

    Raises NoPackageError when nothing was published, PackageError when a file is missing, changed or of another format.
    """
    path = _current(folder)
    manifest = _manifest(path)
    found = {name: checksum for name, checksum in _checksums(path).items() if name != MANIFEST}
    for name in sorted(found.keys() | manifest.files.keys()):
        if found.get(name) != manifest.files.get(name):
            state = "is missing" if name not in found else "is not the file that was published"
            raise PackageError(f"serving package {path}: {name} {state}; publish again: demand-forecast run")
    forecast = pl.read_parquet(path / FORECAST)
    if forecast.schema != FORECAST_SCHEMA:
        raise PackageError(f"serving package {path}: {FORECAST} has other columns; publish again: demand-forecast run")
    return Package(path, manifest.info, forecast)


def _published(forecast: pl.DataFrame, info: PackageInfo) -> pl.DataFrame:
    """The columns that are served, sorted; PackageError when series do not share one origin and its dates."""
    place = f"forecast of version {info.model_version}"
    if missing := set(FORECAST_SCHEMA) - set(forecast.columns):
        raise PackageError(f"{place}: no column {min(missing)}; give the table demand_forecast")
    if forecast["forecast_origin"].unique().to_list() != [info.forecast_origin]:
        raise PackageError(f"{place}: rows of other forecast origins than {info.forecast_origin}; filter them out")
    shared = forecast.select("date", "horizon").unique().height
    series = forecast.select("store_id", "product_id").unique().height
    distinct = forecast.select("store_id", "product_id", "horizon").unique().height
    if not shared * series == distinct == forecast.height:
        raise PackageError(f"{place}: every series needs each of the same {shared} dates once; forecast again")
    if not forecast.select(
        pl.all_horizontal(pl.col("mean", *QUANTILE_COLUMNS).is_finite().fill_null(False)).all()
    ).item():
        raise PackageError(f"{place}: some numbers are missing or not finite; forecast again")
    return forecast.select(pl.col(name).cast(dtype) for name, dtype in FORECAST_SCHEMA.items()).sort(
        "store_id", "product_id", "horizon"
    )


def _current(folder: Path) -> Path:
    try:
        name = json.loads((folder / CURRENT).read_text(encoding="utf-8"))["package"]
    except FileNotFoundError:
        raise NoPackageError(f"no champion is published in {folder}: run `demand-forecast run`") from None
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise PackageError(
            f"{folder / CURRENT} is not readable: {error}; publish again: demand-forecast run"
        ) from error
    if not isinstance(name, str) or Path(name).name != name or not (folder / name).is_dir():
        raise PackageError(
            f"{folder / CURRENT} names no package beside it: {name!r}; publish again: demand-forecast run"
        )
    return folder / name


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
    packages = [path for path in folder.iterdir() if (path / MANIFEST).is_file() and not path.name.startswith(".")]
    newest = sorted(packages, key=lambda path: path.stat().st_mtime, reverse=True)
    left = [path for path in folder.glob(".staging-*") if time.time() - path.stat().st_mtime > ABANDONED]
    for path in [path for path in newest if path != keep][KEPT - 1 :] + left:
        shutil.rmtree(path, ignore_errors=True)
