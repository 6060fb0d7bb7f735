"""`cleaning:`, which rows count."""

from typing import Literal

from demand_forecast.settings.section import Pattern, Section


class Match(Section):
    """Rows whose `column` matches the regular expression `pattern`."""

    column: str
    pattern: Pattern


class Cancellation(Match):
    """How a line that undoes an earlier sale is known, and which columns the two share."""

    same: list[str] = ["store_id", "product_id"]


class Cleaning(Section):
    id_case: Literal["keep", "upper", "lower"] = "keep"
    duplicates: Literal["reject", "keep"] = "reject"  # lines equal in every column of one report
    max_units: float = 1_000_000  # a line above is absurd whatever the series
    absurd_ratio: float = 200  # a line above this many times its series' usual large ones (and 100 units) is absurd
    require_price: bool = True  # a mapped price must be above zero
    non_product: Match | None = None
    cancellation: Cancellation | None = None
    extract: str | None = None  # column that names the extract: on a day in two extracts the later one counts
