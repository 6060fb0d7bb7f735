import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

Serve = Callable[..., AbstractContextManager[httpx.Client]]
Publish = Callable[[Path], Path]
CONFIG = "home: .demand_forecast\nsource: {kind: files, sales: {path: sales.csv, columns: {date: Date}}}\n"
ONE = {"store_id": "S1", "product_id": "P001"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("retailer")
    (folder / "config.yaml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def client(serve: Serve, publish: Publish, place: Path) -> Iterator[httpx.Client]:
    """`bentoml serve` without arguments from the project's root, of a home with a champion."""
    publish(place / ".demand_forecast" / "serving")
    with serve(place) as client:
        yield client


def forecast(client: httpx.Client, **body: Any) -> httpx.Response:
    return client.post("/v1/forecast", json=body)


@pytest.mark.parametrize(
    ("series", "horizon", "quantiles"),
    [
        ([("S1", "P001")], 7, [0.1, 0.5, 0.9]),
        ([("S2", "P012"), ("S1", "P005"), ("S2", "P001")], 1, [0.3]),
        ([("S2", "P007")], 28, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]),
        ([("S1", "P002")], 3, []),
    ],
)
def test_the_answer_is_what_the_table_says(
    client: httpx.Client, table: pl.DataFrame, series: list[tuple[str, str]], horizon: int, quantiles: list[float]
) -> None:
    asked = [{"store_id": store, "product_id": product} for store, product in series]
    answer = forecast(client, series=asked, horizon=horizon, quantiles=quantiles)
    assert answer.status_code == 200
    assert {key: answer.json()[key] for key in ("model", "model_version", "forecast_origin")} == {
        "model": "lightgbm",
        "model_version": "3",
        "forecast_origin": "2026-09-30",
    }
    for (store, product), given in zip(series, answer.json()["forecasts"], strict=True):
        rows = table.filter(store_id=store, product_id=product).sort("date").head(horizon)
        assert (given["store_id"], given["product_id"]) == (store, product)
        assert given["dates"] == [day.isoformat() for day in rows["date"]]
        assert given["mean"] == pytest.approx(rows["mean"].to_list(), abs=5e-4)
        assert list(given["quantiles"]) == [str(level) for level in quantiles]
        for level, numbers in given["quantiles"].items():
            assert numbers == pytest.approx(rows[f"q{float(level):.1f}".replace("0.", "") + "0"].to_list(), abs=5e-4)


def test_without_more_said_the_whole_horizon_and_three_quantiles_are_given(client: httpx.Client) -> None:
    (given,) = forecast(client, series=[ONE]).json()["forecasts"]
    assert len(given["dates"]) == len(given["mean"]) == 28
    assert list(given["quantiles"]) == ["0.1", "0.5", "0.9"]


def test_a_thousand_series_are_answered_and_one_more_is_not(client: httpx.Client) -> None:
    assert len(forecast(client, series=[ONE] * 1000).json()["forecasts"]) == 1000
    refused = forecast(client, series=[ONE] * 1001)
    assert refused.status_code == 422
    assert "at most 1000 items" in refused.json()["error"]


@pytest.mark.parametrize(
    ("series", "error"),
    [
        ({"store_id": "S1", "product_id": "P0012"}, "no product_id P0012 in store_id S1; nearest: P001, P002, P012"),
        ({"store_id": "s2", "product_id": "P001"}, "no store_id s2; nearest: S2, S1"),
        ({"store_id": 1, "product_id": 5}, "no store_id 1; nearest: S1, S2"),
    ],
)
def test_an_unknown_series_is_404_and_the_nearest_ids_are_named(
    client: httpx.Client, series: dict[str, Any], error: str
) -> None:
    answer = forecast(client, series=[ONE, series])
    assert answer.status_code == 404
    assert answer.json() == {"error": error}


def test_many_unknown_series_are_one_short_answer(client: httpx.Client) -> None:
    unknown = [{"store_id": "S1", "product_id": f"X{number}"} for number in range(40)]
    answer = forecast(client, series=unknown)
    assert answer.status_code == 404
    assert answer.json()["error"].endswith("; and 37 more")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "series: Field required"),
        ({"series": []}, "series: List should have at least 1 item"),
        ({"series": [{"store_id": "S1"}]}, "series.0.product_id: Field required"),
        ({"series": [ONE | {"sku": "P001"}]}, "series.0.sku: Extra inputs are not permitted"),
        ({"series": [ONE], "horizon": 0}, "horizon: Input should be greater than or equal to 1"),
        ({"series": [ONE], "horizon": 29}, "horizon: 29 is beyond what is published; ask for 1 to 28"),
        ({"series": [ONE], "quantiles": [0.95]}, "quantiles: 0.95 is not published; choose from 0.1, 0.2"),
        ({"series": [ONE], "days": 3}, "days: Extra inputs are not permitted"),
    ],
)
def test_an_invalid_request_is_422_and_says_where(client: httpx.Client, body: dict[str, Any], named: str) -> None:
    answer = forecast(client, **body)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(named)


def test_a_body_that_is_not_json_is_told_so(client: httpx.Client) -> None:
    json_type = {"Content-Type": "application/json"}
    broken = client.post("/v1/forecast", content='{"series": [', headers=json_type)
    assert (broken.status_code, broken.json()["error"][:20]) == (422, "the body is not JSON")
    form = client.post("/v1/forecast", content="{}", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert form.json() == {"error": "send the body as JSON: -H 'Content-Type: application/json'"}


def test_the_live_model_is_described(client: httpx.Client) -> None:
    assert client.get("/v1/model").json() == {
        "model": "lightgbm",
        "model_version": "3",
        "forecast_origin": "2026-09-30",
        "trained_at": "2026-09-30T03:00:00Z",
        "data_versions": {"daily_demand": 4},
        "metrics": {"wape": 0.31},
        "promotion": {"decision": "promoted"},
        "horizon": 28,
        "series": 24,
    }


def test_probes_metrics_and_the_api_page_answer(client: httpx.Client) -> None:
    assert [client.get(path).status_code for path in ("/livez", "/readyz")] == [200, 200]
    forecast(client, series=[ONE])
    assert (
        'bentoml_service_request_total{endpoint="/v1/forecast",http_response_code="200"' in client.get("/metrics").text
    )
    assert set(client.get("/docs.json").json()["paths"]) == {"/v1/forecast", "/v1/model"}


def test_the_api_page_needs_nothing_from_elsewhere(client: httpx.Client) -> None:
    page = client.get("/").text
    assert "//" not in page.replace("<!-- `SwaggerUIBundle` is now available on the page -->", "")
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert f"/static_content/{asset}" in page
        assert client.get(f"/static_content/{asset}").status_code == 200


def test_it_listens_on_loopback_only(client: httpx.Client) -> None:
    port = client.base_url.port
    assert port is not None
    with pytest.raises(ConnectionRefusedError):  # a server on 0.0.0.0 would answer here
        socket.create_connection(("127.0.0.2", port), timeout=2)


def test_nothing_is_written_outside_home_and_no_request_is_a_traceback(client: httpx.Client, place: Path) -> None:
    assert client.get("/v1/model").status_code == 200
    assert list((place / "user").rglob("*")) == []
    assert sorted(path.name for path in place.iterdir()) == [".demand_forecast", "config.yaml", "log", "user"]
    assert "Traceback" not in (place / "log").read_text()


def test_without_a_champion_it_is_alive_not_ready_and_says_what_to_run(
    serve: Serve, publish: Publish, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    with serve(tmp_path) as client:
        said = [client.get("/readyz"), client.get("/v1/model"), forecast(client, series=[ONE])]
        assert [answer.status_code for answer in said] == [503, 503, 503]
        assert all("run `demand-forecast run`" in answer.text for answer in said)
        assert client.get("/livez").status_code == 200
        publish(tmp_path / ".demand_forecast" / "serving")
        assert client.get("/readyz").status_code == 200
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_the_service_starts_light() -> None:
    heavy = ["mlflow", "dagster", "deltalake", "sklearn", "lightgbm", "evidently", "pandas"]
    script = f"import sys, demand_forecast.service.service; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
