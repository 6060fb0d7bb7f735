"""`promotion:`, when a challenger becomes champion."""

from typing import Literal

from pydantic import Field

from demand_forecast.settings.section import Section


class Promotion(Section):
    metric: Literal["wrmsse", "wape", "wql", "rmsse"] = "wrmsse"
    margin: float = Field(0.01, ge=0)  # share by which the challenger must be better, beside more than by chance
    max_bias: float = 0.10  # |bias| at total level over all origins, beside what chance adds
    max_calibration_error: float = 0.05  # in probability, of any quantile, beside what chance adds
