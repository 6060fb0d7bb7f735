"""The API as programs see it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
import polars as pl
import pytest
from starlette.exceptions import HTTPException

from demand_forecast.domain.features import lay_launch_price, new_product_id
from demand_forecast.domain.replenishment.policy import reorder_plan
from demand_forecast.domain.tables import QUANTILE_COLUMNS, QUANTILE_LEVELS, SERIES
from demand_forecast.settings import Replenishment
from demand_forecast_tests.served_night import CONFIG, Night
from demand_forecast_tests.service.in_process import serve_in_process

ONE = {"store_id": "North", "product_id": "P-00"}
PROBLEM = {"type", "title", "status", "detail", "instance", "request_id"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("retailer")
    (folder / "config.yaml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def client(night: Night, place: Path) -> Iterator[httpx.Client]:
    """Of a home with a champion."""
    night.publish(place / ".demand_forecast" / "serving")
    with serve_in_process(place) as running:
        yield running.client


@pytest.fixture(scope="module")
def every_series(night: Night) -> list[dict[str, str]]:
    return night.champion.table.select(SERIES).unique().sort(SERIES).to_dicts()


def post(client: httpx.Client, path: str, **body: Any) -> httpx.Response:
    return client.post(f"/v1/{path}", json=body)


def table_of(answer: dict[str, Any]) -> pl.DataFrame:
    """The answer in the shape of the table demand_forecast."""
    rows = []
    for one in answer["forecasts"]:
        assert list(one["quantiles"]) == [str(level) for level in QUANTILE_LEVELS]
        numbers = zip(answer["dates"], one["mean"], *one["quantiles"].values(), strict=True)
        rows += [(one["store_id"], one["product_id"], *row) for row in numbers]
    frame = pl.DataFrame(rows, schema=[*SERIES, "date", "mean", *QUANTILE_COLUMNS], orient="row")
    return frame.with_columns(pl.col("date").str.to_date()).sort(*SERIES, "date")


def furthest(made: pl.DataFrame, table: pl.DataFrame) -> float:
    """The largest difference of any number, of the same rows."""
    table = table.sort(*SERIES, "date")
    assert made.select(*SERIES, "date").equals(table.select(*SERIES, "date"))
    numbers = ["mean", *QUANTILE_COLUMNS]
    return float(np.abs(made.select(numbers).to_numpy() - table.select(numbers).to_numpy()).max())


def test_every_series_is_answered_as_the_table_says(
    client: httpx.Client, night: Night, every_series: list[dict[str, str]]
) -> None:
    answer = post(client, "forecast", series=every_series, quantiles=QUANTILE_LEVELS).json()
    assert furthest(table_of(answer), night.champion.table) < 1e-6
    assert answer["forecast_origin"] == str(night.retailer.last_day)
    assert {(one["model"], one["model_version"], one["cold_start"]) for one in answer["forecasts"]} == {
        ("lightgbm", "3", False)
    }


def test_with_the_plan_unchanged_what_if_is_the_forecast(
    client: httpx.Client, night: Night, every_series: list[dict[str, str]]
) -> None:
    answer = post(client, "what_if", series=every_series, quantiles=QUANTILE_LEVELS).json()
    assert furthest(table_of(answer), night.champion.table) < 1e-6
    assert all(one["mean"] == one["published_mean"] for one in answer["forecasts"])


def test_another_plan_is_answered_as_a_night_would_that_had_known_it(client: httpx.Client, night: Night) -> None:
    """The plan's table says it, everything is built again, the same model is asked."""
    retailer, champion = night.retailer, night.champion
    first, last = (retailer.last_day + timedelta(days=ahead) for ahead in (2, 40))
    said = {"price": 3.0, "promo": 1.0}
    is_it = (pl.col("product_id") == "P-01") & pl.col("date").is_between(first, last)
    plan = retailer.plan.with_columns(
        pl.when(is_it).then(value).otherwise(name).cast(pl.Float32).alias(name) for name, value in said.items()
    )
    rows = type(retailer)(**{**vars(retailer), "plan": plan}).ahead(champion.model.contract).rows
    factors = champion.table.sort(*SERIES, "horizon")["alignment"].to_numpy()
    rows = rows.sort(*SERIES, "horizon")
    expected = champion.model.distribution(rows, champion.model.expected(rows) * factors)
    asked = [{"store_id": store, "product_id": "P-01"} for store in ("North", "South")]
    change = {"first": str(first), "last": str(last), "price": 3.0, "covariates": {"promo": 1}}
    answer = post(client, "what_if", series=asked, changes=[change], quantiles=QUANTILE_LEVELS).json()
    assert furthest(table_of(answer), expected.filter(product_id="P-01")) < 1e-4
    north = answer["forecasts"][0]
    assert north["mean"][0] == north["published_mean"][0]
    assert sum(north["mean"]) > 1.3 * sum(north["published_mean"])


def test_a_new_product_is_forecast_from_its_attributes_and_marked(client: httpx.Client, night: Night) -> None:
    asked = [ONE, {"store_id": "South", "product_id": "P-99", "attributes": {"department": "D1"}, "price": 4.0}]
    answer = post(client, "forecast", series=asked, quantiles=QUANTILE_LEVELS).json()
    known, new = answer["forecasts"]
    assert [one["cold_start"] for one in (known, new)] == [False, True]
    key = {"store_id": "South", "product_id": new_product_id({"department": "D1"})}
    rows, days = (frame.filter(**key) for frame in (night.made.new_products, night.made.planned))
    model = night.champion.model
    expected = model.forecast(lay_launch_price(rows, days, 4.0, model.contract)[0].sort("horizon"))
    assert np.allclose(new["mean"], expected["mean"], atol=1e-6)
    assert np.allclose(new["quantiles"]["0.9"], expected["q90"], atol=1e-6)
    dearer = [asked[1] | {"price": 8.0}]
    assert sum(post(client, "forecast", series=dearer).json()["forecasts"][0]["mean"]) != sum(new["mean"])


def test_the_kinds_of_new_products_are_those_that_a_forecast_takes(client: httpx.Client) -> None:
    said = client.get("/v1/kinds").json()
    assert said["stores"] == ["North", "South"]
    assert said["kinds"] == [{"attributes": {"department": f"D{number}"}, "series": None} for number in (0, 1)]
    new = [{"store_id": store, "product_id": "P-99"} | one for store in said["stores"] for one in said["kinds"]]
    asked = [{name: value for name, value in one.items() if name != "series"} for one in new]
    made = post(client, "forecast", series=asked).json()["forecasts"]
    assert [one["cold_start"] for one in made] == [True] * 4
    assert len({tuple(one["mean"]) for one in made}) == 4


def test_orders_are_those_of_the_nightly_rule(client: httpx.Client, night: Night) -> None:
    key = ["store_id", "product_id", "forecast_origin"]
    table = night.champion.table.filter(product_id="P-02")
    stock = table.select(SERIES).unique().with_columns(date=pl.lit(night.retailer.last_day), on_hand=7.0)
    policy = Replenishment(lead_time=2, review_period=5, service_level=0.9)
    plan = reorder_plan(table, stock, policy, "daily").sort(key)
    given = policy.model_dump() | {"on_hand": 7.0}
    asked = [row | given for row in plan.select(SERIES).to_dicts()]
    orders = post(client, "reorder", series=asked).json()["orders"]
    for order, row in zip(orders, plan.to_dicts(), strict=True):
        assert {name: order[name] for name in ("on_hand", "protection_days")} == {"on_hand": 7.0, "protection_days": 7}
        for name in ("expected_demand", "target_stock", "order_quantity", "expected_stock", "service_level"):
            assert order[name] == pytest.approx(row[name], rel=1e-6)
        assert f"{order['order_quantity']:,.0f} are to be ordered" in order["why"]


def test_an_order_for_another_plan_is_for_what_would_sell_then(client: httpx.Client, night: Night) -> None:
    policy = Replenishment(lead_time=0, review_period=3)
    asked = [ONE | policy.model_dump() | {"on_hand": 0, "on_order": 0}]
    change = {"first": str(night.retailer.last_day), "last": "2100-01-01", "price": 1.0, "covariates": {"promo": 1}}
    as_planned, otherwise = (
        post(client, "reorder", series=asked, changes=changes).json()["orders"][0] for changes in ([], [change])
    )
    sold = post(client, "what_if", series=[ONE], changes=[change]).json()["forecasts"][0]
    assert otherwise["expected_demand"] == pytest.approx(sum(sold["mean"][:3]), rel=1e-6)
    assert as_planned["expected_demand"] == pytest.approx(sum(sold["published_mean"][:3]), rel=1e-6)
    assert otherwise["order_quantity"] > as_planned["order_quantity"]
    assert "in that time with what is planned otherwise;" in otherwise["why"]
    assert "otherwise" not in as_planned["why"]


def test_one_series_under_two_policies_is_two_orders(client: httpx.Client) -> None:
    asked = [ONE | {"service_level": level, "on_hand": 0} for level in (0.5, 0.99)]
    low, high = post(client, "reorder", series=asked).json()["orders"]
    assert low["order_quantity"] < high["order_quantity"]
    nothing = post(client, "reorder", series=[ONE | {"on_hand": 10_000}]).json()["orders"][0]
    assert nothing["order_quantity"] == 0
    assert nothing["why"].endswith("nothing is to be ordered.")


def test_series_are_found_page_by_page(client: httpx.Client) -> None:
    whole = client.get("/v1/series").json()
    assert (whole["total"], len(whole["series"])) == (12, 12)
    pages = [client.get("/v1/series", params={"limit": 5, "offset": offset}).json()["series"] for offset in (0, 5, 10)]
    assert [item for page in pages for item in page] == whole["series"]
    found = client.get("/v1/series", params={"search": "p-03 NORTH"}).json()
    assert [(item["store_id"], item["product_id"]) for item in found["series"]] == [("North", "P-03")]
    assert client.get("/v1/series", params={"store_id": "South"}).json()["total"] == 6
    assert client.get("/v1/series", params={"product_id": "P-0"}).json()["total"] == 0
    assert client.get("/v1/series", params=ONE).json()["series"] == whole["series"][:1]
    assert client.get("/v1/series", params={"reason": "drift"}).json()["total"] == 0


def test_history_ends_where_the_forecast_begins(client: httpx.Client, night: Night) -> None:
    sold = night.retailer.demand.filter(**ONE).sort("date").tail(5)
    answer = client.get("/v1/history", params=ONE | {"periods": 5}).json()
    assert answer["dates"] == [str(day) for day in sold["date"]]
    assert answer["units"] == sold["units"].to_list()
    assert answer["open"] == sold["open"].to_list()


def test_the_plan_is_what_the_forecast_was_told(client: httpx.Client, night: Night) -> None:
    """Read back from the retailer's own tables; events are planned for every shop."""
    answer = client.get("/v1/plan", params=ONE).json()
    ahead = pl.col("date") > night.retailer.last_day
    said = night.retailer.plan.filter(ahead, product_id=ONE["product_id"]).sort("date")
    events = dict(night.retailer.plan.filter(ahead, pl.col("event").is_not_null()).select("date", "event").rows())
    assert answer["dates"] == [str(day) for day in said["date"]]
    assert answer["price"] == said["price"].to_list()
    assert answer["numbers"]["promo"] == said["promo"].to_list()
    assert answer["numbers"]["open"] == [None] * 28
    assert answer["expected_open"] == [float(day.weekday() != 6) for day in said["date"]]
    assert answer["events"] == {"event": [events.get(day) for day in said["date"]]}
    assert client.get("/v1/plan", params=ONE | {"product_id": "P"}).status_code == 404


def test_the_live_model_is_described(client: httpx.Client) -> None:
    said = client.get("/v1/model").json()
    package = said.pop("package")
    assert package.startswith("3-")
    assert said == {
        "model": "lightgbm",
        "model_version": "3",
        "forecast_origin": "2024-03-26",
        "trained_at": "2026-09-30T03:00:00Z",
        "data_versions": {"daily_demand": 4},
        "metrics": {"wape": 0.31},
        "promotion": {"decision": "promoted"},
        "reservations": [],
        "frequency": "daily",
        "dated_by": "first",
        "horizon": 28,
        "series": 12,
        "planned": {
            "price": True,
            "numbers": ["promo", "open"],
            "binary": ["promo", "open"],
            "events": {"event": ["fair", "match"]},
        },
        "attributes": ["department"],
        "prediction_log": {"written": True, "lost": 0, "reason": None},
        "refused": None,
        "trial": None,
    }


def test_a_thousand_series_are_answered_and_one_more_is_not(client: httpx.Client) -> None:
    assert len(post(client, "forecast", series=[ONE] * 1000).json()["forecasts"]) == 1000
    refused = post(client, "forecast", series=[ONE] * 1001)
    assert refused.status_code == 422
    assert "at most 1000 items" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("path", "series", "detail"),
    [
        ("forecast", {"store_id": "North", "product_id": "P-0"}, "no product_id P-0 in store_id North; nearest: P-0"),
        ("what_if", {"store_id": "north", "product_id": "P-01"}, "no store_id north; nearest: North, South"),
        ("reorder", {"store_id": 1, "product_id": 5}, "no store_id 1; nearest: North, South"),
    ],
)
def test_an_unknown_series_is_404_and_the_nearest_ids_are_named(
    client: httpx.Client, path: str, series: dict[str, Any], detail: str
) -> None:
    answer = post(client, path, series=[ONE, series])
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    said = answer.json()
    assert said.keys() == PROBLEM | {"unknown"}
    assert said["detail"].startswith(detail)
    assert said["request_id"] == answer.headers["x-request-id"]
    near = said["unknown"][0]
    assert near.get("nearest_products", near.get("nearest_stores"))[0] in ("P-00", "North")


def test_many_unknown_series_are_one_short_answer(client: httpx.Client) -> None:
    unknown = [{"store_id": "North", "product_id": f"X{number}"} for number in range(40)]
    answer = post(client, "forecast", series=unknown)
    assert answer.status_code == 404
    assert answer.json()["detail"].endswith("; and 37 more")


CHANGE = {"first": "2024-03-28", "last": "2024-03-28"}


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("forecast", {}, "series: Field required"),
        ("forecast", {"series": []}, "series: List should have at least 1 item"),
        ("forecast", {"series": [{"store_id": "S1"}]}, "series.0.product_id: Field required"),
        ("forecast", {"series": [ONE | {"sku": "P001"}]}, "series.0.sku: Extra inputs are not permitted"),
        ("forecast", {"series": [ONE], "horizon": 0}, "horizon: Input should be greater than or equal to 1"),
        ("forecast", {"series": [ONE], "horizon": 29}, "horizon: 29 is beyond what is published; ask for 1 to 28"),
        ("forecast", {"series": [ONE], "quantiles": [0.95]}, "quantiles: 0.95 is not published; choose from 0.1, 0.2"),
        (
            "forecast",
            {"series": [{"store_id": "North", "product_id": "new", "attributes": {"department": "D9"}}]},
            "attributes.department: no product has D9; known are D0, D1",
        ),
        ("what_if", {"series": [ONE], "changes": [CHANGE | {"last": "2024-03-01"}]}, "changes.0: last: 2024-03-01 is"),
        (
            "what_if",
            {"series": [ONE], "changes": [CHANGE | {"covariates": {"weather": 1}}]},
            "changes.0.covariates: weather is not among what is planned; known are promo, open, event",
        ),
        (
            "what_if",
            {"series": [ONE], "changes": [CHANGE | {"covariates": {"event": "easter"}}]},
            "changes: event: easter is not known; known are fair, match",
        ),
        ("what_if", {"series": [ONE], "changes": [CHANGE | {"covariates": {"promo": 3}}]}, "changes.0.covariates.pro"),
        ("reorder", {"series": [ONE | {"service_level": 1}]}, "series.0.service_level: Input should be less than"),
    ],
)
def test_an_invalid_request_is_422_and_says_where(
    client: httpx.Client, path: str, body: dict[str, Any], named: str
) -> None:
    answer = post(client, path, **body)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(named)
    assert client.get("/v1/series", params={"limit": 0}).json()["errors"] == [
        {"at": "limit", "what": "Input should be greater than or equal to 1"}
    ]


def test_a_body_that_is_not_json_is_told_so(client: httpx.Client) -> None:
    json_type = {"Content-Type": "application/json"}
    broken = client.post("/v1/forecast", content='{"series": [', headers=json_type)
    assert (broken.status_code, broken.json()["detail"][:20]) == (400, "the body is not JSON")
    form = client.post("/v1/forecast", content="{}", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert (form.status_code, form.json()["detail"]) == (
        415,
        "send the body as JSON: -H 'Content-Type: application/json'",
    )


def test_what_is_not_there_is_a_problem_too(client: httpx.Client) -> None:
    assert client.get("/v2/forecast").status_code == 404
    method = client.get("/v1/forecast")
    assert (method.status_code, method.headers["allow"]) == (405, "POST")
    assert method.json().keys() == PROBLEM


def test_the_pages_and_the_description_are_answered(client: httpx.Client) -> None:
    described = client.get("/openapi.json").json()
    assert {*described["paths"]} == {
        f"/v1/{name}" for name in ("forecast", "what_if", "reorder", "series", "history", "plan", "kinds", "model")
    }
    assert client.get("/docs").headers["cache-control"] == "no-cache"
    files = ("docs/swagger-ui-bundle.js", "docs/swagger-ui.css", "page/planner.js", "page/vendor/uPlot.iife.min.js")
    assert [client.get(f"/{name}").status_code for name in files] == [200] * 4
    assert [client.get(path).status_code for path in ("/page/../api.py", "/page/%2e%2e/api.py", "/page/")] == [404] * 3


def test_no_request_is_a_traceback(client: httpx.Client, place: Path) -> None:
    assert client.get("/v1/model").status_code == 200
    assert client.post("/v1/forecast", content="[").status_code == 400
    assert "Traceback" not in (place / "log").read_text()


def test_without_a_champion_every_request_says_what_to_run(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    with serve_in_process(tmp_path) as running:
        said = [running.client.get("/v1/model"), post(running.client, "forecast", series=[ONE])]
    assert [answer.status_code for answer in said] == [503, 503]
    assert all("run `demand-forecast run`" in answer.text for answer in said)
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_configuration_that_cannot_be_used_is_told_by_every_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from demand_forecast.service.service import DemandForecast

    (tmp_path / "config.yaml").write_text(CONFIG + "horizn: 7\n")
    with serve_in_process(tmp_path) as running:
        said = post(running.client, "forecast", series=[ONE])
    assert said.status_code == 503
    assert "horizn" in said.text
    service = cast(Any, DemandForecast).inner
    monkeypatch.setattr(service, "worker", running.worker, raising=False)
    with pytest.raises(HTTPException, match="horizn") as refused:  # what BentoML's /readyz says
        service.__is_ready__(object.__new__(service))
    assert refused.value.status_code == 503


def test_the_service_is_imported_light_and_with_any_configuration(tmp_path: Path) -> None:
    """What the supervisor of the workers, and a build of the Bento, load."""
    (tmp_path / "config.yaml").write_text(CONFIG + "horizn: 7\n")
    heavy = ["mlflow", "dagster", "deltalake", "sklearn", "lightgbm", "evidently", "pandas", "pyarrow", "matplotlib"]
    script = f"import sys, demand_forecast.service.service; print([name for name in {heavy} if name in sys.modules])"
    variables = os.environ | {"DEMAND_FORECAST_CONFIG": str(tmp_path / "config.yaml")}
    done = subprocess.run([sys.executable, "-c", script], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
