"""Forecasts of groups of series, and how far the series' forecasts are moved towards them."""

from demand_forecast.domain.alignment.align import align, aligned_error, learn_weights
from demand_forecast.domain.alignment.group_forecast import forecast_groups
from demand_forecast.domain.alignment.groups import alignment_level, membership

__all__ = ["align", "aligned_error", "alignment_level", "forecast_groups", "learn_weights", "membership"]
