"""What models read: declared once, built in one way, kept in a contract."""

from demand_forecast.domain.features.as_trained import as_trained, obstacle, plan_as_trained, undeclared_then
from demand_forecast.domain.features.build import build_features
from demand_forecast.domain.features.contract import Column, ContractError, FeatureContract
from demand_forecast.domain.features.declaration import Feature, PanelInputs, declare
from demand_forecast.domain.features.history import History, build_history
from demand_forecast.domain.features.new_products import is_new_product, kind_of, new_product_id
from demand_forecast.domain.features.replan import lay_launch_price, planned_days, read_plan_again
from demand_forecast.domain.features.rows import (
    ForecastFeatures,
    Vintage,
    build_demand_features,
    build_forecast_features,
    looked_back,
)

__all__ = [
    "Column",
    "ContractError",
    "Feature",
    "FeatureContract",
    "ForecastFeatures",
    "History",
    "PanelInputs",
    "Vintage",
    "as_trained",
    "build_demand_features",
    "build_features",
    "build_forecast_features",
    "build_history",
    "declare",
    "is_new_product",
    "kind_of",
    "lay_launch_price",
    "looked_back",
    "new_product_id",
    "obstacle",
    "plan_as_trained",
    "planned_days",
    "read_plan_again",
    "undeclared_then",
]
