"""Nightly demand forecasting for retailers: from raw sales to a proven, served forecast, as Dagster assets."""
