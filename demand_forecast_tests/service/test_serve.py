"""`bentoml serve` as its operators meet it: from an empty home to a night that all its workers serve."""

import json
import shutil
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from demand_forecast.publishing.package import CURRENT, FORECAST
from demand_forecast.service.state.keys import add_key, revoke_keys
from demand_forecast_tests.served_night import CONFIG, Night, Serve, Version

ASKED = {"series": [{"store_id": "North", "product_id": "P-00"}], "horizon": 2}
WORKERS = 2
SOON = 5.0  # seconds
PATIENCE = 60.0  # seconds: with the first package a worker imports the model's libraries


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("swap")
    (place / "config.yaml").write_text(CONFIG)
    return place


@pytest.fixture(scope="module")
def client(serve: Serve, folder: Path) -> Iterator[httpx.Client]:
    """`bentoml serve` without arguments from the project's root, its home still empty."""
    with serve(folder, DEMAND_FORECAST_SERVING__WORKERS=str(WORKERS)) as client:
        yield client


@pytest.fixture(scope="module")
def before(client: httpx.Client) -> dict[str, httpx.Response]:
    """What was answered before the first night."""
    asked = {path: client.get(path) for path in ("/livez", "/readyz", "/v1/model")}
    return asked | {"/v1/forecast": client.post("/v1/forecast", json=ASKED)}


@pytest.fixture
def serving(client: httpx.Client, before: dict[str, httpx.Response], night: Night, folder: Path) -> Path:
    """The folder of packages, the champion live in every worker."""
    place = folder / ".demand_forecast" / "serving"
    night.publish(place)
    wait_until(client, lambda versions: versions == {"3"})
    return place


def by_worker(client: httpx.Client, read: Callable[[httpx.Response], Any], **headers: str) -> dict[str, Any]:
    """What each worker says now; every request is a connection of its own, so that it may meet either."""
    found: dict[str, Any] = {}
    for _ in range(100):
        answer = httpx.post(f"{client.base_url}/v1/forecast", json=ASKED, headers=headers, verify=False)  # no TLS here
        found[answer.headers["x-request-id"][:12]] = read(answer)
        if len(found) == WORKERS:
            break
    return found


def version_of(answer: httpx.Response) -> str:
    return answer.json()["forecasts"][0]["model_version"] if answer.is_success else str(answer.status_code)


def wait_until(
    client: httpx.Client,
    reached: Callable[[set[Any]], bool],
    read: Callable[[httpx.Response], Any] = version_of,
    **headers: str,
) -> float:
    """Seconds until all workers are there."""
    began = time.monotonic()
    while time.monotonic() < began + PATIENCE:
        found = by_worker(client, read, **headers)
        if len(found) == WORKERS and reached({*found.values()}):
            return time.monotonic() - began
        time.sleep(0.05)
    raise AssertionError(f"still {found}")


class Load:
    """Clients that ask again and again, `pause` seconds after an answer, and what they were answered."""

    def __init__(self, url: httpx.URL, pause: float, clients: int = 4) -> None:
        self.url, self.statuses, self.versions = url, Counter[int](), Counter[str]()
        self._pause = pause
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
        with httpx.Client(base_url=self.url, verify=False) as client:
            while not self._stop.is_set():
                try:
                    answer = client.post("/v1/forecast", json=ASKED)
                except httpx.TransportError:
                    self.statuses[0] += 1
                    continue
                self.statuses[answer.status_code] += 1
                self.versions[answer.json()["forecasts"][0]["model_version"]] += 1
                time.sleep(self._pause)


def test_without_a_champion_it_is_alive_not_ready_and_says_what_to_run(before: dict[str, httpx.Response]) -> None:
    assert before["/livez"].status_code == 200
    said = [before[path] for path in ("/readyz", "/v1/model", "/v1/forecast")]
    assert [answer.status_code for answer in said] == [503, 503, 503]
    assert all("run `demand-forecast run`" in answer.text for answer in said)


@pytest.mark.parametrize(
    ("turns", "pause", "judged"),
    [(2, 0.005, min), pytest.param(6, 0, max, marks=pytest.mark.slow)],  # min: another test may slow one turn down
)
def test_what_is_published_is_live_in_all_workers_within_seconds_and_no_request_fails(
    client: httpx.Client, night: Night, serving: Path, turns: int, pause: float, judged: Callable[[list[float]], float]
) -> None:
    times = []
    with Load(client.base_url, pause) as load:
        for turn in range(turns):
            version: Version = (night.other, night.champion)[turn % 2]
            night.publish(serving, version)
            times.append(wait_until(client, lambda versions, number=version.number: versions == {number}))
    assert judged(times) < SOON, times
    assert load.statuses.keys() == {200}
    assert load.versions.keys() == {"3", "4"}
    assert load.statuses.total() > 100


def test_a_package_that_does_not_verify_is_refused_and_the_old_one_stays_in_all_workers(
    client: httpx.Client, night: Night, serving: Path
) -> None:
    package = night.publish(serving, night.other, live=False)
    (package / FORECAST).write_bytes((package / FORECAST).read_bytes()[:-1] + b"x")
    (serving / CURRENT).write_text(json.dumps({"package": package.name}))
    deadline = time.monotonic() + PATIENCE
    while (refused := client.get("/v1/model").json()["refused"]) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert refused["package"] == package.name
    assert {*by_worker(client, version_of).values()} == {"3"}
    assert client.get("/readyz").status_code == 200
    shutil.rmtree(package)


@pytest.mark.usefixtures("serving")
def test_probes_and_metrics_of_all_workers_answer(client: httpx.Client) -> None:
    assert [client.get(path).status_code for path in ("/livez", "/readyz")] == [200, 200]
    client.get("/any/path/that/anyone/thinks/of")
    metrics = client.get("/metrics").text
    assert 'demand_forecast_requests_total{endpoint="/v1/forecast",status="200"}' in metrics
    assert 'demand_forecast_requests_total{endpoint="other",status="404"}' in metrics
    assert "/any/path" not in metrics


@pytest.mark.usefixtures("serving")
def test_a_key_holds_in_all_workers_within_seconds_and_so_does_its_end(client: httpx.Client, folder: Path) -> None:
    keys = folder / ".demand_forecast" / "keys.json"
    signed = {"Authorization": f"Bearer {add_key(keys, 'planner')}"}

    def status(answer: httpx.Response) -> int:
        return answer.status_code

    assert wait_until(client, lambda found: found == {401}, status) < SOON
    assert {*by_worker(client, status, **signed).values()} == {200}
    assert revoke_keys(keys, "planner") == 1
    assert wait_until(client, lambda found: found == {401}, status, **signed) < SOON
    keys.unlink()
    assert wait_until(client, lambda found: found == {200}, status) < SOON


def test_it_listens_on_loopback_only(client: httpx.Client) -> None:
    port = client.base_url.port
    assert port is not None
    with pytest.raises(ConnectionRefusedError):  # a server on 0.0.0.0 would answer here
        socket.create_connection(("127.0.0.2", port), timeout=2)


@pytest.mark.usefixtures("serving")
def test_nothing_is_written_outside_home_and_no_request_is_a_traceback(client: httpx.Client, folder: Path) -> None:
    assert client.get("/v1/model").status_code == 200
    assert list((folder / "user").rglob("*")) == []
    assert sorted(path.name for path in folder.iterdir()) == [".demand_forecast", "config.yaml", "log", "user"]
    assert "Traceback" not in (folder / "log").read_text()


@pytest.mark.slow
def test_a_configuration_that_cannot_be_used_is_told_by_a_server_that_is_alive(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG + "horizn: 7\n")
    with serve(tmp_path) as client:
        assert client.get("/livez").status_code == 200
        said = [client.get("/readyz"), client.post("/v1/forecast", json=ASKED)]
        assert [answer.status_code for answer in said] == [503, 503]
        assert all("horizn" in answer.text for answer in said)
