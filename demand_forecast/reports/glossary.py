"""The measures of a forecast: label, how a value is printed, what is best, and what it means to a planner."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """`distance` is smallest for the best value, None where no value is; `form` is a format specification."""

    label: str
    form: str
    distance: Callable[[float], float] | None
    meaning: str


def _low(value: float) -> float:
    return value


def _high(value: float) -> float:
    return -value


def _near_zero(value: float) -> float:
    return abs(value)


MEASURES = {
    "series": Measure("Series", ",.0f", None, "How many products in stores there are of this kind."),
    "share_of_units": Measure("Share of units", ".1%", None, "Their part of all units sold."),
    "wape": Measure(
        "WAPE",
        ".1%",
        _low,
        "How many units the forecasts missed by, for every 100 units sold. Sum of absolute errors over sum of units, "
        "per series and day: single products in single stores on single days are hard, so 50% is common.",
    ),
    "bias": Measure(
        "Bias",
        "+.1%",
        _near_zero,
        "Whether the forecasts are too high (+) or too low (−) in total. Too high fills the shelves, too low empties "
        "them.",
    ),
    "rmsse": Measure(
        "RMSSE",
        ".3f",
        _low,
        "Size of the errors, large ones weighing more, measured in the series' own ups and downs: 1 is as good as "
        "saying “as much as the day before”. Comparable between fast and slow sellers, weighted by turnover.",
    ),
    "wrmsse": Measure(
        "WRMSSE",
        ".3f",
        _low,
        "RMSSE at every level from single series to the total, weighted by turnover where prices are known: errors "
        "in what matters to the business count most.",
    ),
    "wql": Measure(
        "WQL",
        ".3f",
        _low,
        "Quality of all nine quantiles together: low when the intervals are narrow and still contain what happens. "
        "This is what stock is planned from.",
    ),
    "coverage_80": Measure(
        "Coverage of 80%",
        ".0%",
        None,
        "How often sales stayed inside the 80% interval (q10 to q90). Below 80% the forecast is too sure of itself. "
        "Slow sellers lie above, because units come whole; the calibration error does not have this flaw.",
    ),
    "calibration_error": Measure(
        "Calibration error",
        ".3f",
        _low,
        "The largest gap between how often sales stayed below one of the nine quantiles and what it promises; 0 is "
        "perfect, 0.03 means that a 90% quantile may hold on 87 or 93 days of 100. Fair to slow sellers too: a day "
        "whose sales hit the quantile exactly, as whole units often do, counts in parts.",
    ),
    "fva_wape": Measure(
        "FVA (WAPE)",
        "+.1%",
        _high,
        "Forecast value added: by how much the error is smaller than that of seasonal naive, which repeats the last "
        "season. Below 0 the model makes things worse. Here for WAPE.",
    ),
    "fva_wrmsse": Measure("FVA (WRMSSE)", "+.1%", _high, "Forecast value added for WRMSSE."),
    "fva_wql": Measure("FVA (WQL)", "+.1%", _high, "Forecast value added for WQL."),
}
