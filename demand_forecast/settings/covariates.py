"""`covariates:`, by when their values are known."""

from demand_forecast.settings.section import Section


class Covariates(Section):
    static: list[str] = []
    known_future: list[str] = []
    past_only: list[str] = []
