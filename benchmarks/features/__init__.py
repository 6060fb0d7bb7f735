"""Speed and memory of feature building: the same features by us, mlforecast, pandas and polars' own expressions."""
