"""`week:` and `month:`, how weeks and months are cut and dated where the data do not say."""

from typing import Literal

from demand_forecast.settings.section import Section


class Month(Section):
    dated_by: Literal["first", "last"] | None = None  # day of the period that is its date; None: recognised


class Week(Month):
    starts: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] | None = None
