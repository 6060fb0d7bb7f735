"""Rollback: the previous champion takes over again, once it is shown to load and serve."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from demand_forecast.domain.features import FeatureContract
from demand_forecast.domain.models import load_model
from demand_forecast.domain.tables import FORECAST_NUMBERS, QUANTILE_COLUMNS, now
from demand_forecast.publishing.package import PackageInfo, read_package, write_package
from demand_forecast.tracking.ledger import ROLLBACK_FAILED, ROLLED_BACK, PromotionLedger
from demand_forecast.tracking.registry import ModelVersion, Tracking


class RollbackError(RuntimeError):
    """The rollback did not happen; the message says why and what to do."""


OwnRows = Callable[[FeatureContract], pl.DataFrame | None]


def roll_back(
    tracking: Tracking,
    ledger: PromotionLedger,
    rows: pl.DataFrame,
    *,
    reasons: str,
    by: str,
    run_id: str,
    own_rows: OwnRows = lambda _: None,
) -> None:
    """Makes the previous champion the champion: verifies it, writes the ledger, then moves the aliases.

    `rows`: the feature rows of the newest forecast, on which the previous champion must forecast; `own_rows`: those of
    a contract that reads others. Raises RollbackError where there is none, or it does not serve: then the ledger gets a
    line `rollback_failed` and no alias moves.
    """
    champion, previous = pair(tracking)
    if rows.is_empty():
        raise RollbackError(
            f"model {tracking.name}: no feature rows to try version {previous.version} on; run job nightly"
        )
    line: dict[str, Any] = {
        "decided_at": now(),
        "from_version": champion.version,
        "to_version": previous.version,
        "by": by,
        "run_id": run_id,
    }
    try:
        verify(tracking, previous, rows, own_rows)
    except Exception as error:  # whatever a model that was good once does now
        problem = f"version {previous.version} does not serve: {error}"
        ledger.append(line | {"decision": ROLLBACK_FAILED, "reasons": f"{reasons}\n{problem}"})
        raise RollbackError(
            f"model {tracking.name}: {problem}. Champion version {champion.version} stays; train another one "
            "(`demand-forecast run`), or repair that version and roll back again"
        ) from error
    tracking.promote(line | {"decision": ROLLED_BACK, "reasons": reasons}, ledger)


def pair(tracking: Tracking) -> tuple[ModelVersion, ModelVersion]:
    """The champion and the version before it. Raises RollbackError where there are not both."""
    champion, previous = tracking.champion(), tracking.previous()
    if champion is None:
        raise RollbackError(
            f"model {tracking.name}: nothing is live, so nothing can be taken back: demand-forecast run"
        )
    if previous is None or previous.version == champion.version:
        raise RollbackError(
            f"model {tracking.name}: version {champion.version} is the first champion, there is none before it to go "
            "back to; train another one: demand-forecast run"
        )
    return champion, previous


def verify(tracking: Tracking, version: ModelVersion, rows: pl.DataFrame, own_rows: OwnRows = lambda _: None) -> None:
    """Loads a registered version, forecasts `rows` with it, or what `own_rows` gives for its contract, and writes and
    reads its serving package, in a temporary folder. Raises RollbackError where the forecast is not sound,
    RegistryError, ModelError, ContractError or PackageError where a step fails.
    """
    with TemporaryDirectory() as folder:
        files = tracking.download(version.version, Path(folder))
        model = load_model(files)
        own = own_rows(model.contract)
        rows = rows if own is None else own
        forecast = model.forecast(rows).with_columns(model_version=pl.lit(version.version))
        _require_sound(forecast, rows)
        info = PackageInfo(
            model=version.model,
            model_version=version.version,
            forecast_origin=rows["forecast_origin"][0],
            trained_at=version.created_at,
            data_versions=version.data_versions,
            metrics={},
        )
        place = Path(folder) / "serving"
        write_package(place, model_folder=files, forecast=forecast, info=info)
        load_model(read_package(place).model_folder)


def _require_sound(forecast: pl.DataFrame, rows: pl.DataFrame) -> None:
    quantiles = pl.concat_list(QUANTILE_COLUMNS)
    finite = pl.all_horizontal(pl.col(FORECAST_NUMBERS).is_finite().fill_null(False))
    unknown, crossing = forecast.select((~finite).sum(), (quantiles != quantiles.list.sort()).sum().alias("x")).row(0)
    if forecast.height != rows.height:
        raise RollbackError(f"it forecast {forecast.height:,} rows where {rows.height:,} are expected")
    if unknown or crossing:
        raise RollbackError(
            f"its forecast has {unknown:,} rows that are not finite, {crossing:,} whose quantiles cross"
        )
