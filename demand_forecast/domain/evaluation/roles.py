"""The roles of model versions: in the tables of backtest and published forecasts, and as aliases of the registry."""

from typing import Literal

Role = Literal["champion", "previous", "baseline", "challenger"]
CHAMPION: Role = "champion"  # it serves
PREVIOUS: Role = "previous"  # the champion before it
BASELINE: Role = "baseline"  # the newest seasonal naive
CHALLENGER: Role = "challenger"  # tried out
