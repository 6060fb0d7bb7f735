"""Keys, limits and headers, of a running service and of its gateway alone."""

import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from demand_forecast.cli.commands import main
from demand_forecast.service.http.gateway import Rates
from demand_forecast.service.state.keys import (
    KeyFileError,
    KeyRing,
    add_key,
    hashed,
    read_keys,
    revoke_keys,
    rotate_keys,
)
from demand_forecast_tests.served_night import CONFIG, Night
from demand_forecast_tests.service.in_process import Running, serve_in_process

ASKED = {"series": [{"store_id": "North", "product_id": "P-00"}]}
LIMITS = {
    "DEMAND_FORECAST_SERVING__RATE_LIMIT": "1",
    "DEMAND_FORECAST_SERVING__RATE_BURST": "5",
    "DEMAND_FORECAST_SERVING__MAX_BODY_BYTES": "5000",
    "DEMAND_FORECAST_SERVING__TIMEOUT_SECONDS": "1",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("guarded")
    (place / "config.yaml").write_text(CONFIG)
    return place


@pytest.fixture(scope="module")
def running(night: Night, folder: Path) -> Iterator[Running]:
    night.publish(folder / ".demand_forecast" / "serving")
    with serve_in_process(folder, **LIMITS) as running:
        yield running


@pytest.fixture(scope="module")
def client(running: Running) -> httpx.Client:
    return running.client


@pytest.fixture
def keys(running: Running, folder: Path) -> Iterator[Path]:
    file = folder / ".demand_forecast" / "keys.json"
    yield file
    file.unlink(missing_ok=True)
    running.look()


def ask(client: httpx.Client, key: str | None = None, **headers: str) -> httpx.Response:
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    return client.post("/v1/forecast", json=ASKED, headers=headers)


def test_without_keys_only_this_machine_is_answered(client: httpx.Client) -> None:
    assert ask(client).status_code == 200
    for headers in ({"X-Forwarded-For": "10.0.0.1"}, {"Host": "elsewhere.example"}):
        refused = ask(client, **headers)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert refused.headers["content-type"] == "application/problem+json"
    assert ask(client, key="df_guess").status_code == 401


def test_a_key_is_made_used_renewed_and_taken_back_while_the_server_runs(running: Running, keys: Path) -> None:
    client = running.client
    first = add_key(keys, "planner")
    running.look()
    assert [ask(client).status_code, ask(client, "df_guess").status_code, ask(client, first).status_code] == [
        401
    ] * 2 + [200]
    second = rotate_keys(keys, "planner")
    running.look()
    assert [ask(client, first).status_code, ask(client, second).status_code] == [401, 200]
    assert revoke_keys(keys, "planner") == 1
    running.look()
    assert ask(client, second).status_code == 401
    text = keys.read_text()
    assert first not in text
    assert second not in text


def test_a_key_that_asks_too_often_is_told_when_to_come_again(running: Running, keys: Path) -> None:
    client = running.client
    busy, calm = add_key(keys, "busy"), add_key(keys, "calm")
    running.look()
    answers = [ask(client, busy) for _ in range(10)]
    limited = [answer for answer in answers if answer.status_code == 429]
    assert 3 <= len(limited) <= 5
    assert int(limited[0].headers["retry-after"]) >= 1
    assert "more than 1 requests a second with key busy" in limited[0].json()["detail"]
    assert ask(client, calm).status_code == 200


def test_a_body_too_large_is_refused_whether_it_says_so_or_not(client: httpx.Client) -> None:
    body = b'{"series": [' + b" " * 10_000 + b"]}"
    announced = client.post("/v1/forecast", content=body, headers={"Content-Type": "application/json"})
    chunked = client.post(
        "/v1/forecast", content=iter([body[:3000], body[3000:]]), headers={"Content-Type": "application/json"}
    )
    assert [announced.status_code, chunked.status_code] == [413, 413]
    assert "larger than 5,000 bytes" in chunked.json()["detail"]
    assert ask(client).status_code == 200


def test_a_request_that_does_not_come_to_its_end_is_let_go(client: httpx.Client) -> None:
    with socket.create_connection(("127.0.0.1", client.base_url.port), timeout=5) as slow:
        slow.sendall(b"POST /v1/forecast HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        answer = slow.recv(10_000)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer.lower()


def test_every_answer_says_how_it_may_be_used(client: httpx.Client) -> None:
    for answer in (ask(client), client.get("/v1/nothing"), client.get("/docs")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert "server" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers
    foreign = client.options(
        "/v1/forecast", headers={"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    )
    assert "access-control-allow-origin" not in foreign.headers


def test_a_name_may_ask_so_often_and_no_more() -> None:
    seconds = 100.0
    rates = Rates(rate=10, burst=3, clock=lambda: seconds)
    assert [rates.wait("a") > 0 for _ in range(5)] == [False] * 3 + [True] * 2
    assert rates.wait("a") == pytest.approx(0.1)
    assert rates.wait("b") == 0
    seconds += 0.25
    assert [rates.wait("a") > 0 for _ in range(4)] == [False] * 2 + [True] * 2


def test_old_keys_end_after_their_grace(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    old = add_key(file, "till", days=30)
    new = rotate_keys(file, "till", grace=timedelta(hours=1))
    ring = KeyRing(file)
    assert (ring.name_of(old), ring.name_of(new), ring.name_of("")) == ("till", "till", None)
    assert sorted(key.expires is None for key in read_keys(file)) == [False, True]
    assert file.stat().st_mode & 0o777 == 0o600
    newest = rotate_keys(file, "till", grace=timedelta(0))
    assert {key.sha256 for key in read_keys(file) if key.expires is None} == {hashed(newest)}


def test_a_file_of_keys_that_is_not_readable_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    key = add_key(file, "till")
    ring = KeyRing(file)
    file.write_text("[{]")
    ring.look()
    assert ring.name_of(key) == "till"
    assert str(file) in (ring.trouble or "")
    with pytest.raises(KeyFileError, match="not readable as a list of keys"):
        add_key(file, "other")


def test_a_file_of_keys_that_is_not_readable_opens_no_door(running: Running, keys: Path) -> None:
    keys.write_text("[{]")
    running.look()
    assert ask(running.client).status_code == 401


def test_keys_are_managed_from_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)

    def keys(*words: str) -> str:
        done = CliRunner().invoke(main, ["keys", *words, "--config", str(tmp_path / "config.yaml")])
        return done.output if done.exit_code == 0 else f"{done.exit_code}: {done.output}"

    made = keys("add", "planner", "--days", "90").strip()
    assert made.startswith("df_")
    assert "planner  made" in keys("list")
    renewed = keys("rotate", "planner").strip()
    ring = KeyRing(tmp_path / ".demand_forecast" / "keys.json")
    assert (ring.name_of(made), ring.name_of(renewed)) == (None, "planner")
    assert keys("revoke", "planner") == "1 revoked\n"
    assert keys("revoke", "planner").startswith("1: Error: there is no key called planner")
