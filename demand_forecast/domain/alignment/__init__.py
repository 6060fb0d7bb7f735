"""Forecasts of groups of series, and how far the series' forecasts are moved towards them."""
