"""What the model expects of products that never sold."""

from collections.abc import Sequence
from typing import Any

from demand_forecast.domain.features import lay_launch_price
from demand_forecast.service.contract.problems import Problem
from demand_forecast.service.contract.schema import AskedSeries
from demand_forecast.service.state.published_forecast import LEVELS, numbers_of
from demand_forecast.service.state.served import Served

SHOWN = 20  # values that an answer names


def cold_start(
    served: Served, asked: Sequence[AskedSeries], horizon: int, levels: Sequence[float]
) -> list[dict[str, Any]]:
    """The content of a SeriesForecast for each new product of `asked`, if it is launched on the first day ahead.

    Raises Problem 404 for an unknown store, 422 for attributes that no product has.
    """
    return [_as_new(served, item, horizon, levels) for item in asked]


def _as_new(served: Served, item: AskedSeries, horizon: int, levels: Sequence[float]) -> dict[str, Any]:
    contract, published = served.model.contract, served.published
    key = (item.store_id, _kind(served, item))
    features, plan = served.rows_of("new_products", [key]), served.rows_of("planned", [key])
    if item.price is not None:
        features, _ = lay_launch_price(features, plan, item.price, contract)
    block = numbers_of(served.model.forecast(features), 1)[0]
    return {
        **published.named(item.store_id, item.product_id),
        "mean": block[0, :horizon],
        "quantiles": {str(level): block[LEVELS[level], :horizon] for level in levels},
        "cold_start": True,
    }


def _kind(served: Served, item: AskedSeries) -> str:
    """The product_id under which new products like `item` are packed: the most common kind with its attributes.

    Raises Problem 404, 422.
    """
    if item.store_id not in served.new_product_stores:
        raise served.published.unknown([item])
    fitting = served.kinds
    for name, value in (item.attributes or {}).items():
        known = {kind.attributes[name] for kind in served.kinds if name in kind.attributes}
        if value not in known:
            choice = f"known are {', '.join(sorted(map(str, known))[:SHOWN])}" if known else _attributes(served)
            raise Problem(422, f"attributes.{name}: no product has {value}; {choice}")
        fitting = [kind for kind in fitting if kind.attributes[name] == value]
        if not fitting:
            raise Problem(422, f"attributes: no product has {name} {value} with the attributes before it")
    return fitting[0].product_id


def _attributes(served: Served) -> str:
    return f"products have the attributes {', '.join(served.product_attributes) or 'none'}"
