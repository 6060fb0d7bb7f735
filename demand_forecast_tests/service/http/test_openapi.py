"""The service keeps what its OpenAPI says, whatever it is asked.

`make fuzz EXAMPLES=2000 SEED=1` asks longer, and otherwise.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema_rs import Draft202012Validator

from demand_forecast.service.state.keys import add_key
from demand_forecast_tests.served_night import CONFIG, Night
from demand_forecast_tests.service.in_process import serve_in_process

GENERATOR = Path(__file__).with_name("client_generator.txt")
HOOKS = Path(__file__).with_name("fuzzing_hooks.py")
EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "100")  # of each path
SEED = os.environ.get("FUZZ_SEED", "2026")
UNLIMITED = {f"DEMAND_FORECAST_SERVING__RATE_{name}": "1000000" for name in ("LIMIT", "BURST")}
SETTINGS = """
[checks.positive_data_acceptance]
expected-statuses = [200, 404]

[[operations]]  # what they may be asked depends on what is live: see fuzzing_hooks
include-operation-id = ["forecast", "what_if"]
checks.positive_data_acceptance.expected-statuses = [200, 404, 422]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("fuzzed")
    (place / "config.yaml").write_text(CONFIG)
    return place


@pytest.fixture(scope="module")
def client(night: Night, folder: Path) -> Iterator[httpx.Client]:
    """Of a service that needs a key, with one."""
    night.publish(folder / ".demand_forecast" / "serving")
    key = add_key(folder / ".demand_forecast" / "keys.json", "fuzz")
    with serve_in_process(folder, **UNLIMITED) as running:
        running.client.headers["Authorization"] = f"Bearer {key}"
        yield running.client


@pytest.fixture(scope="module")
def document(client: httpx.Client) -> dict[str, Any]:
    return client.get("/openapi.json").json()


@pytest.mark.slow
def test_no_request_is_answered_otherwise_than_the_openapi_says(
    client: httpx.Client, night: Night, folder: Path, tmp_path: Path
) -> None:
    """No 5xx, no status, header or shape that is not described; what is not valid is refused, and without a key all."""
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    arguments = {
        "--header": f"Authorization: {client.headers['Authorization']}",
        "--checks": "all",
        "--max-examples": EXAMPLES,
        "--seed": SEED,
        "--request-timeout": "10",
    }
    options = [word for pair in arguments.items() for word in pair]
    settings = {"SCHEMATHESIS_HOOKS": str(HOOKS), "FUZZ_FIRST_DAY": str(night.retailer.last_day + timedelta(days=1))}
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", "schemathesis.toml", "run"]
    done = subprocess.run(
        [*command, f"{client.base_url}/openapi.json", *options, "--continue-on-failure", "--no-color"],
        cwd=tmp_path,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    print(done.stdout)
    assert "Traceback" not in (folder / "log").read_text()


def test_every_example_is_as_its_schema_says(document: dict[str, Any]) -> None:
    seen = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["operationId"] == path.removeprefix("/v1/")
            bodies = [operation["requestBody"]] if method == "post" else []
            for body in [*bodies, *operation["responses"].values()]:
                for content in body["content"].values():
                    shown = [content["example"]] if "example" in content else _values(content["examples"])
                    schema = content["schema"] | {"components": document["components"]}
                    for example in shown:
                        Draft202012Validator(schema, validate_formats=True).validate(example)
                        seen += 1
    assert seen > 40


def _values(examples: dict[str, Any]) -> list[Any]:
    return [example["value"] for example in examples.values()]


def test_a_key_is_asked_for_once_there_is_one(document: dict[str, Any], tmp_path: Path) -> None:
    assert document["security"] == [{"key": []}]
    (tmp_path / "config.yaml").write_text(CONFIG)
    with serve_in_process(tmp_path) as running:
        assert running.client.get("/openapi.json").json()["security"] == [{"key": []}, {}]


ONE = '{"store_id": "North", "product_id": "P-00"}'


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("forecast", '{"series": [ONE], "series": [ONE], "horizon": 7.0}', 200),
        ("forecast", '{"series": [ONE], "quantiles": [0.5, 0.5, 0.30000000000000004]}', 200),
        ("forecast", '{"series": [{"store_id": "\\u0000\U0001f600", "product_id": "\u202e"}]}', 404),
        ("forecast", '{"series": [ONE], "quantiles": [NaN]}', 422),
        ("forecast", '{"series": [ONE], "horizon": true}', 422),
        ("forecast", '{"series": [{"store_id": "\\ud800", "product_id": "P-00"}]}', 400),
        ("forecast", b'{"series": [{"store_id": "\xff", "product_id": "P-00"}]}', 400),
        ("forecast", "[" * 100_000, 400),
        ("forecast", "", 400),
        ("reorder", '{"series": [{"store_id": "North", "product_id": "P-00", "on_hand": Infinity}]}', 422),
        ("what_if", '{"series": [ONE], "changes": [{"first": 0, "last": "2024-03-28"}]}', 422),
        (
            "what_if",
            '{"series": [ONE], "changes": [{"first": "0001-01-01", "last": "9999-12-31", "price": 3}]}',
            200,
        ),
        (
            "what_if",
            '{"series": [ONE], "changes": [{"first": "9999-12-31", "last": "9999-12-31", "price": 3}]}',
            422,
        ),
    ],
)
def test_what_no_schema_can_say(client: httpx.Client, path: str, body: str | bytes, status: int) -> None:
    content = body.replace("ONE", ONE) if isinstance(body, str) else body
    answer = client.post(f"/v1/{path}", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert (answer.headers["content-type"] == "application/problem+json") == (status != 200)


@pytest.mark.parametrize(
    ("query", "status"),
    [("search=%00", 200), ("search=%ff%fe", 200), ("search=%5B(", 200), ("offset=" + "9" * 30, 422), ("serch=a", 422)],
)
def test_odd_queries(client: httpx.Client, query: str, status: int) -> None:
    assert client.get(f"/v1/series?{query}").status_code == status


def test_a_head_is_a_get_without_its_body(client: httpx.Client) -> None:
    head, got = client.head("/v1/model"), client.get("/v1/model")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]


def test_a_change_of_no_day_of_the_forecast_names_those_there_are(client: httpx.Client) -> None:
    change = {"first": "2024-03-01", "last": "2024-03-26", "price": 3}
    series = [{"store_id": "North", "product_id": "P-00"}]
    answer = client.post("/v1/what_if", json={"series": series, "changes": [change]})
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        "changes.0: no day of the forecast is from 2024-03-01 to 2024-03-26; it has 2024-03-27 to 2024-04-23",
    )


@pytest.fixture(scope="module")
def generated(document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a package `generated_client`, as a public generator makes it of the OpenAPI."""
    folder = tmp_path_factory.mktemp("generator")
    (folder / "openapi.json").write_text(json.dumps(document))
    uv, environment = str(Path(sys.executable).with_name("uv")), folder / "environment"
    python, generator = (str(environment / "bin" / name) for name in ("python", "openapi-python-client"))
    commands = (
        [uv, "venv", "--python", sys.executable, str(environment)],
        [uv, "pip", "install", "--python", python, "--require-hashes", "-r", str(GENERATOR)],
        [generator, "generate", "--path", "openapi.json", "--output-path", "generated_client", "--meta", "none"],
    )
    path = f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
    for command in commands:
        done = subprocess.run(
            command, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stdout + done.stderr, done.stdout + done.stderr  # it understood all of it
    return folder


@pytest.mark.slow
def test_a_generated_client_asks_with_types(
    client: httpx.Client, night: Night, generated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(generated)
    api = import_module("generated_client.api")
    models: Any = import_module("generated_client.models")

    def ask(tag: str, name: str, **asked: Any) -> Any:
        return import_module(f"{api.__name__}.{tag}.{name}").sync(client=signed, **asked)

    key = client.headers["Authorization"].removeprefix("Bearer ")
    signed = import_module("generated_client").AuthenticatedClient(str(client.base_url), token=key)
    item = models.SeriesId("North", "P-00")
    made = ask("planning", "forecast", body=models.ForecastRequest([models.AskedSeries("North", "P-00")], horizon=2))
    assert isinstance(made, models.ForecastResponse)
    assert made.dates == [night.retailer.last_day + timedelta(days=ahead) for ahead in (1, 2)]
    change = models.Change(made.dates[1], made.dates[1], price=1.5)
    other = ask("planning", "what_if", body=models.WhatIfRequest([item], horizon=2, changes=[change]))
    assert other.forecasts[0].published_mean == made.forecasts[0].mean
    assert other.forecasts[0].quantiles["0.5"][1] >= made.forecasts[0].quantiles["0.5"][1]
    order = models.AskedOrder("North", "P-00", on_hand=0, service_level=0.9)
    assert ask("planning", "reorder", body=models.ReorderRequest([order])).orders[0].order_quantity > 0
    assert ask("series", "series", limit=5, search="north").series[4].store_id == "North"
    history = ask("series", "history", store_id="North", product_id="P-00", periods=3)
    assert history.dates[-1] == night.retailer.last_day
    assert ask("model", "model").planned.events["event"] == ["fair", "match"]
    nobody = ask("series", "history", store_id="North", product_id="P-0")
    assert isinstance(nobody, models.ProblemDetails)
    assert (nobody.status, nobody.unknown[0].nearest_products[0]) == (404, "P-00")
    signed = import_module("generated_client").AuthenticatedClient(str(client.base_url), token="guessed")
    assert ask("model", "model").status == 401
