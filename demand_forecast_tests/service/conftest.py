from demand_forecast_tests.served_night import night, serve

__all__ = ["night", "serve"]
