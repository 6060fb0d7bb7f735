"""What the examples of several endpoints share, and those of problems; all of the sample retailer."""

from typing import Any

REQUEST_ID = "f9f85b1f63cc00000401"
SERIES = {"store_id": "S1", "product_id": "B01"}
HEAD = {"request_id": REQUEST_ID, "forecast_origin": "2026-10-04"}
DATES = ["2026-10-05", "2026-10-06", "2026-10-07"]
FORECAST = {
    **SERIES,
    "mean": [92.91502, 90.10442, 92.337036],
    "quantiles": {"0.1": [69.0, 66.0, 68.0], "0.5": [92.0, 89.0, 91.0], "0.9": [119.0, 115.0, 118.0]},
    "model": "ensemble",
    "model_version": "4",
    "arm": "champion",
    "cold_start": False,
}
REDUCED = {"first": "2026-10-06", "last": "2026-10-07", "price": 0.99, "covariates": {"on_promotion": 1}}

DETAILS: dict[int, str] = {
    400: "the body is not JSON: EOF while parsing a value at line 1 column 12",
    401: "a key is needed: send Authorization: Bearer <key>; keys are made by `demand-forecast keys add NAME`",
    404: "no product_id B0 in store_id S1; nearest: B01, B02, B03",
    408: "the request was not done within 10 seconds",
    413: "the body is larger than 1,000,000 bytes; ask for fewer series at once",
    415: "send the body as JSON: -H 'Content-Type: application/json'",
    422: "series.0.product_id: Field required",
    429: "more than 200 requests a second with key planner",
    500: f"an error of the service; its log has it under {REQUEST_ID}",
    503: "no champion is published in .demand_forecast/serving: run `demand-forecast run`",
}
MORE: dict[int, dict[str, Any]] = {
    404: {"unknown": [{"store_id": "S1", "product_id": "B0", "nearest_products": ["B01", "B02", "B03"]}]},
    422: {"errors": [{"at": "series.0.product_id", "what": "Field required"}]},
}
