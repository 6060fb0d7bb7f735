"""The contract that the feature table was written with."""

from demand_forecast.domain.features import FeatureContract
from demand_forecast.lake.tables import Lake


def read_contract(lake: Lake) -> FeatureContract:
    return FeatureContract.from_json(lake.notes("demand_features")["contract"])
