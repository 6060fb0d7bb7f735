import json
import os
import platform
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from demand_forecast.domain.models.distribution import Dispersion
from demand_forecast.domain.models.proof import Proof
from demand_forecast.domain.models.spread import Spread
from demand_forecast.lake.tables import Lake
from demand_forecast.tracking.ledger import PromotionLedger
from demand_forecast.tracking.registry import DAGSTER_RUN, PROCESS_HOST, PROCESS_ID, RegistryError, Tracking

PREPARE = """
import sys
from pathlib import Path
from demand_forecast.tracking.registry import Tracking
Tracking(sys.argv[1], Path(sys.argv[2]), "demand").prepare()
"""
MOMENT = datetime(2026, 10, 1, 3, tzinfo=UTC)


@pytest.fixture(scope="module")
def tracking(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    tracking = Tracking(registry, tmp_path_factory.mktemp("tracking") / "artifacts", "demand")
    tracking.prepare()
    return tracking


@pytest.fixture
def fresh(tracking: Tracking, request: pytest.FixtureRequest) -> Tracking:
    """A registered model of its own for one test, in the same database."""
    return Tracking(tracking.uri, tracking.artifact_root, f"demand-{request.node.name[:60]}")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "trees").mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps({"kind": "lightgbm"}))
    (folder / "trees" / "mean.txt").write_bytes(bytes(range(256)))
    return folder


def registered(tracking: Tracking, model: Path, fingerprint: str) -> str:
    with tracking.run("lightgbm") as run:
        return tracking.register(run.run_id, model, {"model": "lightgbm", "fingerprint": fingerprint})


def decision(to_version: str, decision: str = "promoted", **given: Any) -> dict[str, Any]:
    row = {"decided_at": MOMENT, "decision": decision, "from_version": None, "run_id": "a", "reasons": "first"}
    return row | {"to_version": to_version} | given


@pytest.mark.slow
def test_two_processes_prepare_a_new_home_at_once_in_silence_and_write_nothing_outside_it(tmp_path: Path) -> None:
    (tmp_path / "user").mkdir()
    (tmp_path / "work").mkdir()
    arguments = [f"sqlite:///{tmp_path}/home/mlflow/mlflow.db", f"{tmp_path}/home/mlflow/artifacts"]
    environment = {**os.environ, "HOME": str(tmp_path / "user")}
    for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "XDG_CONFIG_HOME"):
        environment.pop(name, None)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PREPARE, *arguments],
            cwd=tmp_path / "work",
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    assert [(process.communicate()[0], process.returncode) for process in processes] == [("", 0), ("", 0)]
    client = Tracking(arguments[0], Path(arguments[1]), "demand")._client
    assert [item.name for item in client.search_experiments()].count("demand") == 1
    assert [item.name for item in client.search_registered_models()].count("demand") == 1
    assert list((tmp_path / "user").rglob("*")) == []
    assert list((tmp_path / "work").rglob("*")) == []


@pytest.mark.parametrize(
    ("raised", "status"), [(None, "FINISHED"), (ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_a_run_ends_as_what_happened_in_it(tracking: Tracking, raised: type[BaseException] | None, status: str) -> None:
    with pytest.raises(raised) if raised else nullcontext(), tracking.run("lightgbm") as run:
        assert tracking._client.get_run(run.run_id).info.status == "RUNNING"
        if raised:
            raise raised
    assert tracking._client.get_run(run.run_id).info.status == status


def test_what_a_backtest_taught_is_kept_with_the_version_and_goes_where_its_model_goes(
    tracking: Tracking, model: Path, tmp_path: Path
) -> None:
    first, second = (registered(tracking, model, mark) for mark in ("one", "two"))
    spread = Spread.everywhere(Dispersion(0.5, 0.7, 0.1, counts=True))
    proof = Proof(0.4, (0.1,) * 4, spread, (date(2026, 1, 4),), {"wql": 0.5, "fva_wql": None})
    tracking.keep_proof(first, Proof(0.9))
    tracking.keep_proof(first, proof)
    assert tracking.proof(first) == proof
    assert tracking.proof(second) == Proof()
    assert Proof.read(tracking.download(first, tmp_path / "there")) == proof
    assert Proof.read(tracking.download(second, tmp_path / "there")) is None
    with pytest.raises(RegistryError, match="no version 9"):
        tracking.keep_proof("9", proof)


def test_a_run_keeps_many_parameters_metrics_and_a_picture(tracking: Tracking) -> None:
    with tracking.run("lightgbm", {"dagster_asset_key": "lightgbm"}) as run:
        run.log_params({f"parameter_{number}": number for number in range(250)})
        run.log_metrics({f"metric_{number}": number / 8 for number in range(130)})
        run.log_figure(b"\x89PNG", "forecast")
    tracking.finished_run(run.run_id).log_metrics({"wrmsse": 0.5})
    kept = tracking._client.get_run(run.run_id)
    assert kept.data.params == {f"parameter_{number}": str(number) for number in range(250)}
    assert kept.data.metrics == {f"metric_{number}": number / 8 for number in range(130)} | {"wrmsse": 0.5}
    assert kept.info.status == "FINISHED"
    assert kept.data.tags["dagster_asset_key"] == "lightgbm"
    files = tracking.artifact_root / run.run_id / "artifacts"
    assert (files / "figures" / "forecast.png").read_bytes() == b"\x89PNG"


def test_runs_of_two_threads_do_not_meet(tracking: Tracking) -> None:
    both = Barrier(2)

    def train(name: str) -> str:
        with tracking.run(name) as run:
            both.wait(timeout=20)
            run.log_params({"model": name})
            both.wait(timeout=20)
        return run.run_id

    with ThreadPoolExecutor(2) as threads:
        runs = list(threads.map(train, ["lightgbm", "gradient_boosting"]))
    kept = [tracking._client.get_run(run) for run in runs]
    assert [run.data.params["model"] for run in kept] == ["lightgbm", "gradient_boosting"]
    assert [run.info.status for run in kept] == ["FINISHED", "FINISHED"]


def test_dagster_mlflow_finds_the_run_of_a_dagster_run(tracking: Tracking) -> None:
    import mlflow
    from dagster_mlflow.resources import MlFlow

    with tracking.run("lightgbm", {DAGSTER_RUN: "b2f9"}) as run:
        pass
    mlflow.set_tracking_uri(tracking.uri)
    experiment = tracking._client.get_experiment_by_name("demand")
    assert MlFlow._get_current_run_id(object.__new__(MlFlow), experiment, "b2f9") == run.run_id


def test_the_run_of_a_dead_process_is_ended_and_a_living_one_is_not(tracking: Tracking) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    abandoned = tracking._client.create_run(
        tracking._experiment(), tags={PROCESS_HOST: platform.node(), PROCESS_ID: str(dead.pid)}
    ).info.run_id
    with tracking.run("lightgbm") as living:
        tracking.prepare()
        assert tracking._client.get_run(abandoned).info.status == "KILLED"
        assert tracking._client.get_run(living.run_id).info.status == "RUNNING"


def test_a_registered_version_is_found_by_its_fingerprint_with_its_tags(fresh: Tracking, model: Path) -> None:
    with fresh.run("lightgbm") as run:
        tags = {"model": "lightgbm", "fingerprint": "f1", "data_versions": {"daily_demand": 4}}
        version = fresh.register(run.run_id, model, tags)
    found = fresh.find("f1")
    assert found is not None
    assert (found.version, found.model, found.run_id) == (version, "lightgbm", run.run_id)
    assert found.data_versions == {"daily_demand": 4}
    assert abs(found.created_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert found == fresh.version(version)
    assert fresh.find("f2") is None


def test_the_newest_version_of_a_fingerprint_is_found(fresh: Tracking, model: Path) -> None:
    versions = [registered(fresh, model, fingerprint) for fingerprint in ["f1", "f2", "f1"]]
    found = fresh.find("f1")
    assert found is not None
    assert found.version == versions[2]
    assert [item.version for item in fresh.versions()] == versions[::-1]


def test_a_downloaded_model_is_what_was_registered(fresh: Tracking, model: Path, tmp_path: Path) -> None:
    version = registered(fresh, model, "f1")
    for _ in range(2):
        folder = fresh.download(version, tmp_path / "download")
    files = {file.relative_to(model): file.read_bytes() for file in model.rglob("*") if file.is_file()}
    assert {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()} == files


def test_what_is_not_there_is_named(fresh: Tracking, model: Path, tmp_path: Path) -> None:
    assert fresh.champion() is None
    assert fresh.aliases() == {}
    version = registered(fresh, model, "f1")
    for wrong in ("77", "latest"):
        with pytest.raises(RegistryError, match=rf"no version {wrong}.*registered: {version}"):
            fresh.version(wrong)
    for file in (fresh.artifact_root / fresh.version(version).run_id).rglob("mean.txt"):
        folder = file.parents[1]
    folder.rename(tmp_path / "lost")
    with pytest.raises(RegistryError, match=f"version {version}: its files are not at"):
        fresh.download(version, tmp_path)


def test_a_version_without_a_fingerprint_is_not_registered(fresh: Tracking, model: Path) -> None:
    with fresh.run("lightgbm") as run, pytest.raises(RegistryError, match="fingerprint"):
        fresh.register(run.run_id, model, {"model": "lightgbm"})
    assert fresh.versions() == []


def test_aliases_follow_the_decisions(fresh: Tracking, model: Path, tmp_path: Path) -> None:
    ledger = PromotionLedger(Lake(tmp_path / "lake"))
    first, second, third = (registered(fresh, model, name) for name in ["f1", "f2", "f3"])

    fresh.promote(decision(first), ledger)
    assert fresh.aliases() == {"champion": first, "challenger": first}

    kept = decision(second, "kept", from_version=first, run_id="b", decided_at=MOMENT + timedelta(days=1))
    fresh.promote(kept, ledger)
    assert fresh.aliases() == {"champion": first, "challenger": second}

    won = decision(third, from_version=first, run_id="c", decided_at=MOMENT + timedelta(days=2))
    for _ in range(2):
        fresh.promote(won, ledger)
        assert fresh.aliases() == {"champion": third, "challenger": third, "previous": first}
    assert [row["to_version"] for row in ledger.rows()] == [first, second, third]
    champion = fresh.champion()
    assert champion is not None
    assert champion.aliases == ("challenger", "champion")


def test_a_champion_whose_version_was_deleted_is_none_and_one_that_cannot_be_read_is_an_error(
    fresh: Tracking, model: Path, tmp_path: Path
) -> None:
    ledger = PromotionLedger(Lake(tmp_path / "lake"))
    first, second = registered(fresh, model, "f1"), registered(fresh, model, "f2")
    fresh.promote(decision(first), ledger)
    fresh._client.delete_model_version(fresh.name, first)
    assert fresh.champion() is None
    fresh._client.set_registered_model_alias(fresh.name, "champion", second)
    with sqlite3.connect(fresh.uri.removeprefix("sqlite:///")) as database:
        database.execute("delete from model_versions where name = ? and version = ?", [fresh.name, second])
    with pytest.raises(MlflowException, match=f"version={second}.*not found"):
        fresh.champion()


def test_no_alias_moves_without_a_line_in_the_ledger(fresh: Tracking, model: Path, tmp_path: Path) -> None:
    class FullDisk(Lake):
        def append(self, table: str, frames: Any) -> int:
            raise OSError("no space left")

    version = registered(fresh, model, "f1")
    with pytest.raises(OSError, match="no space"):
        fresh.promote(decision(version), PromotionLedger(FullDisk(tmp_path / "lake")))
    assert fresh.aliases() == {}


def test_aliases_of_a_process_that_died_after_the_ledger_line_are_moved(
    fresh: Tracking, model: Path, tmp_path: Path
) -> None:
    ledger = PromotionLedger(Lake(tmp_path / "lake"))
    version = registered(fresh, model, "f1")
    ledger.append(decision(version))
    fresh.settle(ledger)
    assert fresh.aliases() == {"champion": version, "challenger": version}


def test_a_version_that_is_not_registered_is_neither_recorded_nor_promoted(fresh: Tracking, tmp_path: Path) -> None:
    ledger = PromotionLedger(Lake(tmp_path / "lake"))
    with pytest.raises(RegistryError, match="no version 5"):
        fresh.promote(decision("5"), ledger)
    assert ledger.rows() == []
