"""Examples of the API's documentation, of the sample retailer."""

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

ASKED: dict[str, dict[str, Any]] = {
    "forecast": {
        "The next three days of a product": {"series": [SERIES], "horizon": 3, "quantiles": [0.1, 0.5, 0.9]},
        "A product that nobody sells yet": {
            "series": [{"store_id": "S1", "product_id": "B99", "attributes": {"department": "Bakery"}, "price": 2.49}]
        },
    },
    "what_if": {
        "Two days at a lower price, promoted": {"series": [SERIES], "horizon": 3, "changes": [REDUCED]},
        "A day that is closed": {
            "series": [SERIES],
            "changes": [{"first": "2026-10-07", "last": "2026-10-07", "covariates": {"open": 0}}],
        },
    },
    "reorder": {
        "As planned by night": {"series": [SERIES]},
        "With a stock and a policy of one's own": {
            "series": [
                {**SERIES, "on_hand": 735, "on_order": 0, "lead_time": 3, "review_period": 7, "service_level": 0.95}
            ]
        },
        "For two days at a lower price, promoted": {"series": [SERIES], "changes": [REDUCED]},
    },
}
"""Of each path that is posted to: what is asked, by what it shows."""

ANSWERED: dict[str, dict[str, Any]] = {
    "forecast": {**HEAD, "dates": DATES, "forecasts": [FORECAST]},
    "what_if": {
        **HEAD,
        "dates": DATES,
        "forecasts": [
            {
                **FORECAST,
                "mean": [92.91502, 138.91975, 141.45976],
                "quantiles": {"0.1": [69.0, 104.0, 106.0], "0.5": [92.0, 137.0, 140.0], "0.9": [119.0, 176.0, 179.0]},
                "published_mean": FORECAST["mean"],
            }
        ],
    },
    "reorder": {
        **HEAD,
        "orders": [
            {
                **SERIES,
                "why": "An order now has to last 10 days: 3 until it arrives and 7 until the next one. 959.2 units are "
                "expected to sell in that time; 1,064 are enough in 95% of cases. With 735 on hand, 329 are to be "
                "ordered.",
                "on_hand": 735.0,
                "on_order": 0.0,
                "stock_known": True,
                "lead_time": 3,
                "review_period": 7,
                "protection_days": 10,
                "protection_cut": False,
                "expected_demand": 959.2474,
                "target_stock": 1064.0,
                "order_quantity": 329.0,
                "expected_stock": 104.7526,
                "service_level": 0.9514657,
            }
        ],
    },
    "series": {
        **HEAD,
        "total": 28,
        "offset": 0,
        "series": [
            {
                "store_id": "S2",
                "product_id": "V01",
                "department": "Produce",
                "category": "Fruit",
                "region": "Auvergne-Rhône-Alpes",
                "format": "Hyper",
                "forecast_origin": "2026-10-04",
                "level": 26.17857,
                "level_before": 28.43575,
                "expected_total": 1138.523,
                "on_hand": 126.0,
                "on_order": 0.0,
                "stock_known": True,
                "lead_time": 3.0,
                "review_period": 7.0,
                "service_level_asked": 0.95,
                "protection_days": 10,
                "protection_cut": False,
                "expected_demand": 426.1576,
                "target_stock": 487.0,
                "order_quantity": 361.0,
                "expected_stock": 60.84242,
                "service_level": 0.9512587,
                "stock_out_risk": 0.780966,
                "pairs": None,
                "wape": None,
                "bias": None,
                "error_ratio": None,
                "drift_ratio": 0.9317551,
                "drift_z": -0.4201396,
                "reasons": ["stock_out"],
                "attention": ["may run out before an order arrives: 78%"],
                "urgency": 31.75528,
            }
        ],
    },
    "history": {
        **HEAD,
        **SERIES,
        "dates": ["2026-10-02", "2026-10-03", "2026-10-04"],
        "units": [58.0, 116.0, 88.0],
        "price": [1.1, 1.1, 1.1],
        "in_stock": [1.0, 1.0, 1.0],
        "open": [True, True, True],
    },
    "plan": {
        **HEAD,
        **SERIES,
        "dates": ["2026-10-05", "2026-10-06", "2026-10-07"],
        "price": [1.1, 1.1, 0.9],
        "numbers": {"on_promotion": [0.0, 0.0, 1.0], "school_holiday": [0.0, 0.0, 0.0], "open": [None, None, None]},
        "events": {"holiday": [None, None, None]},
        "expected_open": [1.0, 1.0, 1.0],
    },
    "kinds": {
        **HEAD,
        "stores": ["S1", "S2", "S3"],
        "kinds": [
            {"attributes": {"category": "Vegetables", "department": "Produce"}, "series": 40},
            {"attributes": {"category": "Bread", "department": "Bakery"}, "series": 30},
        ],
    },
    "model": {
        "model": "ensemble",
        "model_version": "4",
        "forecast_origin": "2026-10-04",
        "trained_at": "2026-10-05T03:04:57.636000Z",
        "data_versions": {"daily_demand": 412, "clean_plan": 412},
        "metrics": {"wape": 0.2931, "bias": 0.0086, "wrmsse": 0.3986, "coverage_80": 0.8864},
        "promotion": {"decision": "promoted", "metric": "wrmsse", "challenger_value": "0.3986"},
        "frequency": "daily",
        "error_correlation": 0.0,
        "package": "4-96730187",
        "horizon": 28,
        "series": 360,
        "planned": {
            "price": True,
            "numbers": ["on_promotion", "school_holiday", "open"],
            "binary": ["on_promotion", "school_holiday", "open"],
            "events": {"holiday": ["Christmas", "New Year"]},
        },
        "attributes": ["category", "department"],
        "prediction_log": {"written": True, "lost": 0, "reason": None},
        "refused": None,
        "trial": None,
    },
}

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
