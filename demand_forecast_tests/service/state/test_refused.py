"""A package that does not verify is refused, and the one before stays."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from demand_forecast.publishing.package import CURRENT, FORECAST, MANIFEST, write_package
from demand_forecast_tests.served_night import CONFIG, Night
from demand_forecast_tests.service.in_process import Running, serve_in_process

ASKED = {"series": [{"store_id": "North", "product_id": "P-00"}], "horizon": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("swap")
    (place / "config.yaml").write_text(CONFIG)
    return place


@pytest.fixture(scope="module")
def running(night: Night, folder: Path) -> Iterator[Running]:
    night.publish(folder / ".demand_forecast" / "serving")
    with serve_in_process(folder) as running:
        yield running


@pytest.fixture
def serving(running: Running, night: Night, folder: Path) -> Path:
    """The folder of packages, the champion live."""
    place = folder / ".demand_forecast" / "serving"
    night.publish(place)
    running.look()
    return place


def spoil_forecast(package: Path) -> None:
    (package / FORECAST).write_bytes((package / FORECAST).read_bytes()[:-1] + b"x")


def lose_model(package: Path) -> None:
    shutil.rmtree(package / "model")


def another_format(package: Path) -> None:
    manifest = json.loads((package / MANIFEST).read_text())
    (package / MANIFEST).write_text(json.dumps(manifest | {"format": 99}))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_forecast, "forecast.parquet is not the file that was published"),
        (lose_model, "model/model.json is missing"),
        (another_format, "has format 99"),
    ],
)
def test_a_package_that_does_not_verify_is_refused_and_the_old_one_stays(
    running: Running, night: Night, serving: Path, tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    package = night.publish(tmp_path, night.other)
    spoil(package)
    refuse(running, serving, package, said)


def test_a_model_that_is_not_that_of_the_forecast_is_refused(
    running: Running, night: Night, serving: Path, tmp_path: Path
) -> None:
    table = night.other.table.with_columns(pl.col("mean") * 1.001)
    package = write_package(
        tmp_path, model_folder=night.other.folder, forecast=table, info=night.info(night.other), tables=night.tables
    )
    refuse(running, serving, package, "its model forecasts otherwise than its forecast says")


def refuse(running: Running, serving: Path, package: Path, said: str) -> None:
    shutil.rmtree(serving / package.name, ignore_errors=True)
    shutil.copytree(package, serving / package.name)
    (serving / CURRENT).write_text(json.dumps({"package": package.name}))
    running.look()
    refused = running.client.get("/v1/model").json()["refused"]
    assert refused["package"] == package.name
    assert said in refused["reason"]
    (answer,) = running.client.post("/v1/forecast", json=ASKED).raise_for_status().json()["forecasts"]
    assert answer["model_version"] == "3"
    running.worker.live.arms()  # ready
    shutil.rmtree(serving / package.name)
