"""MLflow: one run per training step, the registered model versions, and the aliases that name the live one."""

import json
import logging
import os
import platform
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from demand_forecast.domain.evaluation.roles import CHALLENGER, CHAMPION, PREVIOUS
from demand_forecast.domain.models.proof import FILE, Proof
from demand_forecast.tracking.ledger import PromotionLedger, Row
from demand_forecast.workspace.file_lock import file_lock
from demand_forecast.workspace.processes import is_running

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion

DAGSTER_RUN, DAGSTER_ASSET = "dagster_run_id", "dagster_asset_key"  # the first is the tag that dagster-mlflow looks for
PROCESS_HOST, PROCESS_ID = "process.host", "process.id"
MODEL_ARTIFACT = "model"
PROOF = f"{MODEL_ARTIFACT}/{FILE}"
BATCH = 100  # MLflow refuses more parameters in one request
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # read on import; else MLflow writes below ~/.config
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # of its own it tries for minutes where no server answers
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "GIT_PYTHON_REFRESH": "quiet",
}


class RegistryError(RuntimeError):
    """The registry does not have it; the message names the thing, the place and the repair."""


@dataclass(frozen=True)
class ModelVersion:
    """A registered version: its number as text, the model's family, the MLflow run that made it.

    One registered by hand or by an earlier release may lack any tag.
    """

    version: str
    model: str
    run_id: str
    tags: dict[str, str]
    created_at: datetime
    aliases: tuple[str, ...] = ()

    @property
    def data_versions(self) -> dict[str, int]:
        """The lake versions of the tables it was trained on; empty where unknown."""
        return json.loads(self.tags.get("data_versions", "{}"))

    @property
    def forecast_origin(self) -> date | None:
        """The last day it was trained on; None where unknown."""
        origin = self.tags.get("forecast_origin")
        return None if origin is None else date.fromisoformat(origin)

    def tag(self, name: str) -> str:
        """A tag that training sets. Raises RegistryError where this version does not have it."""
        if name not in self.tags:
            raise RegistryError(
                f"model version {self.version} {self.model}".rstrip()
                + f" has no tag {name}: it was registered by hand or by an earlier release; train a new one: "
                "demand-forecast run"
            )
        return self.tags[name]


@dataclass(frozen=True)
class TrackedRun:
    """An open MLflow run. Everything is logged to its explicit id, so threads and processes do not interfere."""

    client: "MlflowClient"
    run_id: str

    def log_params(self, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        for chunk in _chunks(params):
            self.client.log_batch(self.run_id, params=[Param(key, str(value)) for key, value in chunk.items()])

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        from mlflow.entities import Metric

        moment = int(datetime.now(UTC).timestamp() * 1000)
        for chunk in _chunks(metrics):
            values = [Metric(key, float(value), moment, step) for key, value in chunk.items()]
            self.client.log_batch(self.run_id, metrics=values)

    def log_figure(self, png: bytes, name: str) -> None:
        """Keeps a picture as `figures/<name>.png`."""
        with TemporaryDirectory() as folder:
            path = Path(folder, f"{name}.png")
            path.write_bytes(png)
            self.client.log_artifact(self.run_id, str(path), "figures")


class Tracking:
    """One registered model `name`, with the experiment of the same name, in the MLflow store at `uri`.

    Artifacts go below `artifact_root`; nothing is written anywhere else when `uri` is a database.
    """

    def __init__(self, uri: str, artifact_root: Path, name: str) -> None:
        self.uri = _sign_in(uri)
        self.artifact_root = artifact_root.resolve()
        self.name = name

    def prepare(self) -> None:
        """Makes the database, the experiment and the registered model where missing; ends runs of dead processes.

        Safe when several processes call it at once.
        """
        client = self._client
        with file_lock(self._lock):
            if client.get_experiment_by_name(self.name) is None:
                client.create_experiment(self.name, artifact_location=self._artifact_location)
            if self._registered() is None:
                client.create_registered_model(self.name)
        self._end_abandoned_runs()

    @contextmanager
    def run(self, name: str, tags: Mapping[str, str] | None = None) -> Iterator[TrackedRun]:
        """An MLflow run that ends FINISHED, FAILED when an exception passes, KILLED when it is interrupted."""
        process = {PROCESS_HOST: platform.node(), PROCESS_ID: str(os.getpid())}
        client, experiment = self._client, self._experiment()
        run_id = client.create_run(experiment, run_name=name, tags={**process, **(tags or {})}).info.run_id
        status = "FINISHED"
        try:
            yield TrackedRun(client, run_id)
        except Exception:
            status = "FAILED"
            raise
        except BaseException:
            status = "KILLED"
            raise
        finally:
            client.set_terminated(run_id, status)

    def finished_run(self, run_id: str) -> TrackedRun:
        """A run that has ended, for what is learned about its model later."""
        return TrackedRun(self._client, run_id)

    def register(self, run_id: str, folder: Path, tags: Mapping[str, Any]) -> str:
        """Keeps the model in `folder` with its run, makes a registered version of it and gives the version.

        A tag that is not text is kept as JSON. `model` (the family) and `fingerprint` must be among the tags.
        """
        if missing := {"model", "fingerprint"} - set(tags):
            raise RegistryError(f"model {self.name}, run {run_id}: not registered without the tag {min(missing)}")
        client = self._client
        client.log_artifacts(run_id, str(folder), MODEL_ARTIFACT)
        source = f"{client.get_run(run_id).info.artifact_uri}/{MODEL_ARTIFACT}"
        made = client.create_model_version(self.name, source, run_id, tags=_as_text(tags))
        return str(made.version)

    def find(self, fingerprint: str) -> ModelVersion | None:
        """The newest version with this fingerprint: the same recipe on the same data."""
        found = self._search(f"tags.fingerprint = '{fingerprint}'")
        return found[0] if found else None

    def versions(self) -> list[ModelVersion]:
        """Every registered version, the newest first."""
        return self._search()

    def version(self, version: str) -> ModelVersion:
        """One version. Raises RegistryError when there is none of that number."""
        from mlflow.exceptions import MlflowException

        try:
            found = self._client.get_model_version(self.name, str(version))
        except MlflowException as error:
            known = ", ".join(item.version for item in reversed(self.versions())) or "none"
            message = f"model {self.name} has no version {version}; choose one that is registered: {known}"
            raise RegistryError(message) from error
        return _version(found, found.aliases)

    def aliases(self) -> dict[str, str]:
        """The version behind each alias; empty before the first decision."""
        registered = self._registered()
        return {alias: str(version) for alias, version in registered.aliases.items()} if registered else {}

    def champion(self) -> ModelVersion | None:
        """The version that is live."""
        return self._behind(CHAMPION)

    def previous(self) -> ModelVersion | None:
        """The version that was live before the champion."""
        return self._behind(PREVIOUS)

    def newest(self, model: str | None = None) -> ModelVersion | None:
        """The version registered last, of one family or of any."""
        return next(iter(self._search(f"tags.model = '{model}'" if model else "")), None)

    def download(self, version: str, folder: Path) -> Path:
        """Copies a version's model below `folder` and gives the folder of its files.

        Raises RegistryError when the version or its files are gone.
        """
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        self.version(version)
        source = self._client.get_model_version_download_uri(self.name, str(version))
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"{self.name}-{version}"
        try:
            fetched = download_artifacts(artifact_uri=source, dst_path=str(folder), tracking_uri=self.uri)
        except (MlflowException, OSError) as error:
            raise RegistryError(
                f"model {self.name} version {version}: its files are not at {source}; restore them, or train again"
            ) from error
        shutil.rmtree(target, ignore_errors=True)
        return Path(fetched).rename(target)

    def keep_proof(self, version: str, proof: Proof) -> None:
        """Keeps with a registered version, beside its model, what its backtest taught; replaces what was there.

        Raises RegistryError when there is no such version.
        """
        with TemporaryDirectory() as folder:
            self._client.log_artifact(self.version(version).run_id, str(proof.write(Path(folder))), MODEL_ARTIFACT)

    def proof(self, version: str) -> Proof:
        """What the backtest of a registered version taught; of one that was never backtested, that nothing is known.

        Raises RegistryError when there is no such version.
        """
        from mlflow.artifacts import download_artifacts

        run = self.version(version).run_id
        if PROOF not in {file.path for file in self._client.list_artifacts(run, MODEL_ARTIFACT)}:
            return Proof()
        with TemporaryDirectory() as folder:
            file = download_artifacts(run_id=run, artifact_path=PROOF, dst_path=folder, tracking_uri=self.uri)
            return Proof.from_json(Path(file).read_text(encoding="utf-8"))

    def promote(self, row: Row, ledger: PromotionLedger) -> None:
        """Records a decision, then moves the aliases: no alias exists without its line in the ledger.

        Repeating a run's decision changes nothing. Raises RegistryError for an unknown version, LedgerError for an
        invalid row.
        """
        self.version(str(row.get("to_version")))
        ledger.append(row)
        self.settle(ledger)

    def settle(self, ledger: PromotionLedger) -> None:
        """Moves the aliases to where the ledger says, for instance after a process died between the two steps."""
        compared, promotion = ledger.last_comparison(), ledger.last_promotion()
        if promotion:
            if promotion["from_version"] != promotion["to_version"]:
                self._point(PREVIOUS, promotion["from_version"])
            self._point(CHAMPION, promotion["to_version"])
        if compared:
            self._point(CHALLENGER, compared["to_version"])

    def _behind(self, alias: str) -> ModelVersion | None:
        from mlflow.exceptions import MlflowException

        try:
            found = self._client.get_model_version_by_alias(self.name, alias)
        except MlflowException as error:
            if error.error_code == "INVALID_PARAMETER_VALUE" or self._registered() is None:
                return None  # no such alias, or no model yet
            raise
        return _version(found, found.aliases)

    def _point(self, alias: str, version: str | None) -> None:
        if version is not None and self.aliases().get(alias) != version:
            self._client.set_registered_model_alias(self.name, alias, version)

    @property
    def _artifact_location(self) -> str | None:
        # a tracking server knows where its artifacts go
        return None if _is_server(self.uri) else self.artifact_root.as_uri()

    @property
    def _lock(self) -> Path:
        return self.artifact_root.parent / ".prepare.lock"

    @property
    def _client(self) -> "MlflowClient":
        return _open(self.uri, self._lock)

    def _experiment(self) -> str:
        if self._client.get_experiment_by_name(self.name) is None:
            self.prepare()
        return self._client.get_experiment_by_name(self.name).experiment_id  # type: ignore[union-attr]

    def _registered(self) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_registered_model(self.name)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    def _search(self, condition: str = "") -> list[ModelVersion]:
        where = " and ".join(filter(None, [f"name = '{self.name}'", condition]))
        found = self._client.search_model_versions(where, max_results=10_000)
        aliases = self.aliases()
        newest_first = sorted(found, key=lambda item: -int(item.version))
        return [_version(item, [a for a, v in aliases.items() if v == str(item.version)]) for item in newest_first]

    def _end_abandoned_runs(self) -> None:
        """Ends the runs of killed processes of this machine, which MLflow would show as RUNNING for ever."""
        running = self._client.search_runs(
            [self._experiment()], f"attributes.status = 'RUNNING' and tags.`{PROCESS_HOST}` = '{platform.node()}'"
        )
        for run in running:
            process = run.data.tags.get(PROCESS_ID)
            if process is not None and not is_running(int(process)):
                self._client.set_terminated(run.info.run_id, "KILLED")


def _version(found: "MlflowVersion", aliases: Iterable[str]) -> ModelVersion:
    return ModelVersion(
        version=str(found.version),
        model=found.tags.get("model", ""),
        run_id=found.run_id or "",
        tags=dict(found.tags),
        created_at=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
        aliases=tuple(sorted(aliases)),
    )


def _as_text(tags: Mapping[str, Any]) -> dict[str, str]:
    return {key: value if isinstance(value, str) else json.dumps(value, sort_keys=True) for key, value in tags.items()}


def _chunks(values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    with warnings.catch_warnings():  # dagster-mlflow marks itself as beta on import
        warnings.simplefilter("ignore")
        from dagster_mlflow.resources import MlFlow

    return MlFlow.chunks(dict(values), BATCH)


@cache
def _open(uri: str, lock: Path) -> "MlflowClient":
    """The store at `uri`; its database is created at first use, one process at a time."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    from mlflow.exceptions import MlflowException

    try:
        with file_lock(lock):
            client = MlflowClient(uri, uri)
            client.search_registered_models(max_results=1)  # the registry's tables are made at their first use
    except MlflowException as error:
        if not _is_server(uri):
            raise
        repair = "start it, or correct tracking_uri: in the configuration"
        raise RegistryError(f"MLflow at {uri} does not answer ({_cause(error)}); {repair}") from None
    return client


def _is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def _sign_in(uri: str) -> str:
    """The URI without user and password: these go to MLflow's variables, because its errors contain the URI."""
    parts = urlsplit(uri)
    if not _is_server(uri) or parts.username is None:
        return uri
    os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
    os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password or "")
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _cause(error: Exception) -> str:
    """The innermost cause of a failed request."""
    _, caused, text = str(error).rpartition("Caused by ")
    return text.rpartition(": ")[2].strip("\"')") if caused else text.splitlines()[0]
