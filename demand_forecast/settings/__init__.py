"""Every setting, typed: `config.yaml`, overridden by `DEMAND_FORECAST_*` variables. One section of it a file."""

from demand_forecast.settings.alerts import Alerts, Channel
from demand_forecast.settings.automation import Automation
from demand_forecast.settings.cleaning import Cancellation, Cleaning, Match
from demand_forecast.settings.covariates import Covariates
from demand_forecast.settings.load import config_path, explain, load_serving, load_settings
from demand_forecast.settings.monitoring import Monitoring, Retraining, Rollback
from demand_forecast.settings.periods import Month, Week
from demand_forecast.settings.promotion import Promotion
from demand_forecast.settings.replenishment import Replenishment
from demand_forecast.settings.section import ConfigError, Section, unknown
from demand_forecast.settings.serving import LiveTrial, Serving
from demand_forecast.settings.settings import DEFAULT_CONFIG, ENV_PREFIX, Settings
from demand_forecast.settings.sources import ColumnMapping, Constant, Input, Source
from demand_forecast.settings.training import Backtest, Training

# fmt: off
__all__ = [
    "DEFAULT_CONFIG", "ENV_PREFIX", "Alerts", "Automation", "Backtest", "Cancellation", "Channel",
    "Cleaning", "ColumnMapping", "ConfigError", "Constant", "Covariates", "Input", "LiveTrial", "Match",
    "Monitoring", "Month", "Promotion", "Replenishment", "Retraining", "Rollback", "Section", "Serving", "Settings",
    "Source", "Training", "Week", "config_path", "explain", "load_serving", "load_settings", "unknown",
]
# fmt: on
