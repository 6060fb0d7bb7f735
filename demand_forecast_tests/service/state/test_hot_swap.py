"""What is published reaches running workers; what does not verify does not."""

import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import polars as pl
import pytest

from demand_forecast.publishing.package import CURRENT, FORECAST, MANIFEST, write_package
from demand_forecast_tests.served_night import CONFIG, Night, Serve, Version

ASKED = {"series": [{"store_id": "North", "product_id": "P-00"}], "horizon": 2}
WORKERS = 2
SOON = 5.0  # seconds


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("swap")
    (place / "config.yaml").write_text(CONFIG)
    return place


@pytest.fixture(scope="module")
def client(serve: Serve, night: Night, folder: Path) -> Iterator[httpx.Client]:
    night.publish(folder / ".demand_forecast" / "serving")
    with serve(folder, DEMAND_FORECAST_SERVING__WORKERS=str(WORKERS)) as client:
        yield client


@pytest.fixture
def serving(client: httpx.Client, night: Night, folder: Path) -> Path:
    """The folder of packages, the champion live in every worker."""
    place = folder / ".demand_forecast" / "serving"
    night.publish(place)
    wait_until(client, lambda versions: versions == {"3"})
    return place


def versions_by_worker(client: httpx.Client) -> dict[str, str]:
    """What each worker says now; every request is a connection of its own, so that it may meet either."""
    found: dict[str, str] = {}
    for _ in range(100):
        answer = httpx.post(f"{client.base_url}/v1/forecast", json=ASKED).raise_for_status()
        worker = answer.headers["x-request-id"][:12]
        found[worker] = answer.json()["forecasts"][0]["model_version"]
        if len(found) == WORKERS:
            break
    return found


def wait_until(client: httpx.Client, reached: Callable[[set[str]], bool]) -> float:
    """Seconds until all workers are there."""
    began = time.monotonic()
    while time.monotonic() < began + 2 * SOON:
        found = versions_by_worker(client)
        if len(found) == WORKERS and reached({*found.values()}):
            return time.monotonic() - began
        time.sleep(0.05)
    raise AssertionError(f"still {found}")


class Load:
    """Clients that ask without a pause, and what they were answered."""

    def __init__(self, url: httpx.URL, clients: int = 4) -> None:
        self.url, self.statuses, self.versions = url, Counter[int](), Counter[str]()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        with httpx.Client(base_url=self.url) as client:
            while not self._stop.is_set():
                try:
                    answer = client.post("/v1/forecast", json=ASKED)
                except httpx.TransportError:
                    self.statuses[0] += 1
                    continue
                self.statuses[answer.status_code] += 1
                self.versions[answer.json()["forecasts"][0]["model_version"]] += 1


def test_what_is_published_is_live_in_all_workers_within_seconds_and_no_request_fails(
    client: httpx.Client, night: Night, serving: Path
) -> None:
    times = []
    with Load(client.base_url) as load:
        for turn in range(6):
            version: Version = (night.other, night.champion)[turn % 2]
            night.publish(serving, version)
            times.append(wait_until(client, lambda versions, number=version.number: versions == {number}))
    assert max(times) < SOON, times
    assert load.statuses.keys() == {200}
    assert load.versions.keys() == {"3", "4"}
    assert load.statuses.total() > 100


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
    client: httpx.Client, night: Night, serving: Path, tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    package = night.publish(tmp_path, night.other)
    spoil(package)
    refuse(client, serving, package, said)


def test_a_model_that_is_not_that_of_the_forecast_is_refused(
    client: httpx.Client, night: Night, serving: Path, tmp_path: Path
) -> None:
    table = night.other.table.with_columns(pl.col("mean") * 1.001)
    package = write_package(
        tmp_path, model_folder=night.other.folder, forecast=table, info=night.info(night.other), tables=night.tables
    )
    refuse(client, serving, package, "its model forecasts otherwise than its forecast says")


def refuse(client: httpx.Client, serving: Path, package: Path, said: str) -> None:
    shutil.rmtree(serving / package.name, ignore_errors=True)
    shutil.copytree(package, serving / package.name)
    (serving / CURRENT).write_text(json.dumps({"package": package.name}))
    deadline = time.monotonic() + SOON
    while said not in str(refused := client.get("/v1/model").json()["refused"]):
        assert time.monotonic() < deadline, refused
        time.sleep(0.05)
    assert refused["package"] == package.name
    assert {*versions_by_worker(client).values()} == {"3"}
    assert client.get("/readyz").status_code == 200
    shutil.rmtree(serving / package.name)
