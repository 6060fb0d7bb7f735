"""Every feature, declared once: the matrix, the contract and the documentation derive from this list."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import polars as pl

from demand_forecast.domain.demand.calendar import Calendar, Frequency, calendar_of
from demand_forecast.domain.demand.demand_classes import MIN_IN_STOCK
from demand_forecast.domain.features.launches import drawn, with_trust
from demand_forecast.domain.features.trailing import trailing_column, with_trailing

Kind = Literal["static", "known_future", "past_only"]
ReadAt = Literal["row", "series", "origin", "last_same_season", "target", "last_year"]

MIN_LEVEL = 0.01
MANY_MISSED = 50.0  # sales: exp(-50) is no chance
SHRINK_PERIODS = 10  # a response is trusted half when it was seen on as many periods


@dataclass(frozen=True, eq=False)
class Feature:
    """One number (or category) about a target day, known at the forecast origin.

    `read_at` says from which day of the series' history `expression` is read: the `origin`; the `last_same_season`
    day that is not after the origin; the `target` itself (known-future columns only); the same day `last_year`, if
    it is not after the origin. `series` reads the series' static columns, `row` the requested row itself. The
    `expression` of past columns looks back, never ahead; it sees the rows of its own series alone. `relative_to` names
    a value of the same row to divide by, `otherwise` one that counts where this one is not known.
    """

    name: str
    kind: Kind
    read_at: ReadAt
    expression: pl.Expr
    reason: str
    relative_to: str | None = None
    otherwise: str | None = None
    ahead: int = 0  # periods added to last_year: half a window, to centre it
    category: bool = False
    model_input: bool = True  # False: read by models beside the matrix


@dataclass(frozen=True)
class PanelInputs:
    """Which columns a retailer's history has, by the way features treat them."""

    frequency: Frequency
    price: Literal["none", "past_only", "known_future"] = "none"
    several_stores: bool = False
    static_category: tuple[str, ...] = ()
    static_number: tuple[str, ...] = ()
    future_category: tuple[str, ...] = ()
    future_number: tuple[str, ...] = ()
    future_binary: tuple[str, ...] = ()
    future_dense: tuple[str, ...] = ()  # binaries that the plan says of every period; others are 0 where it does not
    past_only: tuple[str, ...] = ()

    @property
    def future(self) -> tuple[str, ...]:
        return self.future_category + self.future_number + self.future_binary

    @property
    def static(self) -> tuple[str, ...]:
        return self.static_category + self.static_number


@lru_cache
def declare(inputs: PanelInputs) -> tuple[Feature, ...]:
    """The features of a panel with `inputs`, in the order of the matrix."""
    calendar = calendar_of(inputs.frequency)
    return (
        *_support(calendar),
        *_levels(calendar),
        *_last_year(calendar),
        *_rhythm(calendar),
        *(_elsewhere(calendar) if inputs.several_stores else ()),
        *_prices(calendar, inputs.price),
        *_dates(calendar),
        *_covariates(calendar, inputs),
        *_statics(inputs),
    )


def mean(window: int, column: str = "sellable", stride: int = 1) -> pl.Expr:
    """Trailing mean over the periods that count, `stride` apart; as much of the window as there is. Of what was sold it
    is the rate: units over the time in which they could be sold."""
    return pl.col(trailing_column(column, window, stride))


def with_levels(panel: pl.DataFrame, names: Iterable[str], calendar: Calendar) -> pl.DataFrame:
    """`panel` with the trailing means among `names` and with what `base_level` and `drawn` read.

    `panel`: `series, sellable, evidence, similar` and the columns to average, in float64.
    """
    windows = [mean(window) for window in calendar.level_windows]
    size = pl.col("sellable")
    panel = panel.with_columns(
        _mostly_on_sale(value.cast(pl.Float64)).alias(name)
        for name, value in (("any_sale", size > 0), ("units_shown", size), ("squares_shown", size**2))
    )
    panel = with_trailing(panel, [*names, *(window.meta.output_name() for window in windows)])
    panel = panel.with_columns(own_level=pl.mean_horizontal(windows).forward_fill().over("series"))
    return with_trust(panel, calendar.cycle)


def _mostly_on_sale(value: pl.Expr) -> pl.Expr:
    """`value` of the periods that show how a series sells: those with goods for half of the time; null of others."""
    return pl.when(pl.col("evidence") >= MIN_IN_STOCK).then(value)


def base_level() -> pl.Expr:
    """Average of a short, a middle and a long trailing mean: the scale that models work in. Always above zero.

    Of a new series, drawn towards what similar ones sold.
    """
    return drawn(pl.col("own_level")).fill_null(0).clip(lower_bound=MIN_LEVEL)


def _support(calendar: Calendar) -> Iterator[Feature]:
    step = pl.col("units") - pl.col("units").shift(calendar.season)
    scale = (step**2).rolling_mean(calendar.year, min_samples=1).sqrt()
    usual: ReadAt = "last_same_season" if calendar.cycle > 1 else "origin"
    for name, kind, read_at, expression, reason in (
        ("base_level", "past_only", "origin", base_level(), "mean of short, middle and long trailing means"),
        ("last_units", "past_only", "origin", _last_known(), "units at the origin, or the last known before"),
        ("last_season_units", "past_only", "last_same_season", _of_season(calendar), "the seasonal naive forecast"),
        ("season_scale", "past_only", "origin", scale, "root mean squared difference over a season"),
        ("open_usual", "past_only", usual, pl.col("open_usual"), "share of such days on which the shop was open"),
        (
            "open_planned",
            "known_future",
            "target",
            pl.col("open_planned"),
            "the plan says the shop is open (1) or not (0)",
        ),
    ):
        yield Feature(name, kind, read_at, expression, reason, model_input=False)  # type: ignore[arg-type]


def _last_known() -> pl.Expr:
    return pl.col("units").forward_fill().fill_null(0)


def _of_season(calendar: Calendar) -> pl.Expr:
    """Units of the day, or where nothing is known of it those of the last such day that is known."""
    earlier = calendar.open_windows[0] if calendar.cycle > 1 else 0
    return pl.coalesce(pl.col("units").shift(calendar.season * back) for back in range(earlier + 1))


def _past(name: str, expression: pl.Expr, reason: str, relative_to: str | None = None) -> Feature:
    return Feature(name, "past_only", "origin", expression, reason, relative_to=relative_to)


def _levels(calendar: Calendar) -> Iterator[Feature]:
    for window in calendar.trailing_windows:
        yield _past(f"mean_{window}", drawn(mean(window)), f"level over {window} periods", "base_level")
    for life in calendar.half_lives:
        sold, could = (pl.col(name).ewm_mean(half_life=life, ignore_nulls=True) for name in ("sellable", "evidence"))
        recent = (sold / could).forward_fill()
        yield _past(f"recent_{life}", drawn(recent), f"level, half of it from the last {life} periods", "base_level")
    for occurrences in calendar.cycle_windows:
        yield Feature(
            f"weekday_mean_{occurrences}",
            "past_only",
            "last_same_season",
            drawn(mean(occurrences, stride=calendar.cycle), "_cycle"),
            f"level of the last {occurrences} days with the target's weekday",
            relative_to="base_level",
        )
    short, middle, _ = calendar.level_windows
    yield _past("trend_short", mean(short) / mean(middle), "is demand rising within a quarter")
    yield _past("trend_long", mean(middle) / mean(calendar.year), "is demand rising within a year")
    yield _past("log_level", base_level().log(), "size of the series")
    yield _past("similar_level", pl.col("similar"), "what similar products sold when they were new", "base_level")


def _last_year(calendar: Calendar) -> Iterator[Feature]:
    narrow = calendar.year_windows[0]
    for window in calendar.year_windows:
        yield Feature(
            f"last_year_{window}",
            "past_only",
            "last_year",
            mean(window),
            f"level around the same day last year, {window} periods wide",
            relative_to="base_level",
            ahead=window // 2,
        )
    yield Feature(
        "level_year_ago",
        "past_only",
        "origin",
        mean(calendar.level_windows[0]).shift(calendar.year) + MIN_LEVEL,
        "level a year before the origin",
        model_input=False,
    )
    yield Feature(
        "last_year_change",
        "past_only",
        "last_year",
        mean(narrow),
        "how demand moved last year from the origin's day to the target's",
        relative_to="level_year_ago",
        ahead=narrow // 2,
    )


def _rhythm(calendar: Calendar) -> Iterator[Feature]:
    window = calendar.spread_window
    position = pl.col("units").is_not_null().cum_sum().cast(pl.Int64)
    last_sale = pl.when(pl.col("units") > 0).then(position).forward_fill()
    full = _mostly_on_sale(pl.col("sellable") / pl.col("evidence"))
    spread = full.rolling_var(window, min_samples=2) / (mean(window) + MIN_LEVEL)
    yield _past("variance_to_mean", spread.clip(0, 1000), f"how irregular demand was over {window} periods")
    for periods in (calendar.level_windows[0], calendar.level_windows[2]):
        yield _past(
            f"selling_share_{periods}", mean(periods, "any_sale"), f"share of the last {periods} periods with a sale"
        )
    yield from _kind(calendar)
    since = (position - last_sale).fill_null(pl.col("age").clip(0)).clip(0, calendar.year)
    yield _past("since_sale", since, "known periods since the last sale, or on sale without one, up to a year")
    missed = _missed_sales(calendar.level_windows[2])
    yield _past("missed_sales", missed, "selling periods that the silence would have had at the rate before it")
    yield _past("age", pl.col("age"), "periods on sale, up to a year; below zero: periods until it is")
    then = pl.col("age").clip(0, window)
    yield Feature("age_then", "known_future", "target", then, f"periods on sale on the day, up to {window}")


def _kind(calendar: Calendar) -> Iterator[Feature]:
    """What tells the classes of demand apart, of Syntetos, Boylan & Croston (2005): see `demand_classes`."""
    share = mean(calendar.year, "any_sale")
    variation = mean(calendar.year, "squares_shown") * share / mean(calendar.year, "units_shown") ** 2 - 1
    for name, expression, reason in (
        ("selling_share_year", share, "share of the periods of a year with a sale"),
        ("size_variation", variation, "squared coefficient of variation of what is sold in a period with a sale"),
    ):
        yield Feature(name, "past_only", "origin", expression, reason, model_input=False)


def _missed_sales(window: int) -> pl.Expr:
    """Time in stock and open since the last sale, in periods, times the share of such periods with a sale until then.

    exp(-missed) is how often a product that still sells would be silent for as long by chance.
    """
    counted, sold = (pl.col(name).fill_null(0).cum_sum() for name in ("evidence", "any_sale"))
    silent = counted - pl.when(pl.col("units") > 0).then(counted).forward_fill()
    selling, known = (total - total.shift(window, fill_value=0) for total in (sold, counted))
    missed = silent * selling / (known - silent).clip(lower_bound=1)
    never = pl.when(pl.col("age") >= window).then(MANY_MISSED).otherwise(silent / (silent + 1))  # but at its first sale
    return pl.when(selling > 0).then(missed.clip(0, MANY_MISSED)).otherwise(never)


def _elsewhere(calendar: Calendar) -> Iterator[Feature]:
    short, _, long = calendar.level_windows
    level = mean(short, "product_units")
    yield _past("product_level", level, "the product's level, mean of its shops", "base_level")
    yield _past("product_trend", level / mean(long, "product_units"), "is the product rising in all shops")


def _prices(calendar: Calendar, price: str) -> Iterator[Feature]:
    if price == "none":
        return
    year, quarter = calendar.year, calendar.spread_window
    highest = pl.col("price").rolling_max(year, min_samples=1)
    yield Feature(
        "price_usual", "past_only", "origin", mean(quarter, "price"), "mean price of a quarter", model_input=False
    )
    yield Feature("price_highest", "past_only", "origin", highest, "highest price of a year", model_input=False)
    kind: Kind
    day: ReadAt
    if price == "known_future":
        kind, day, now, last = "known_future", "target", pl.col("price_planned"), "price_last"
        yield Feature("price_last", "past_only", "origin", pl.col("price"), "price at the origin", model_input=False)
    else:
        kind, day, now, last = "past_only", "origin", pl.col("price"), None
    for name, relative_to, reason in (
        ("price", None, "price asked"),
        ("price_to_usual", "price_usual", "price against its quarter's mean"),
        ("price_to_highest", "price_highest", "price against its year's highest"),
    ):
        yield Feature(name, kind, day, now, reason, relative_to=relative_to, otherwise=last)


def _dates(calendar: Calendar) -> Iterator[Feature]:
    day = pl.col("date").dt
    yield Feature("horizon", "known_future", "row", pl.col("horizon"), "periods ahead")
    if calendar.cycle > 1:
        yield Feature("weekday", "known_future", "target", day.weekday(), "day of the week, Monday is 1")
    yield Feature("day_of_month", "known_future", "target", day.day(), "pay days")
    yield Feature("day_of_year", "known_future", "target", day.ordinal_day(), "season")


def _covariates(calendar: Calendar, inputs: PanelInputs) -> Iterator[Feature]:
    for name in inputs.future_category:
        yield Feature(name, "known_future", "target", pl.col(name), f"{name} on the day", category=True)
        yield from _distances(name, calendar.event_reach)
    for name in inputs.future_number:
        yield Feature(name, "known_future", "target", pl.col(name), f"{name} on the day")
    for name in inputs.future_binary:
        on_the_day = pl.col(name) if name in inputs.future_dense else pl.col(name).fill_null(0)
        yield Feature(name, "known_future", "target", on_the_day, f"{name} on the day")
        yield _past(
            f"{name}_response", _response(name, calendar.year), f"the series' own demand with {name} against without"
        )
    for name in inputs.past_only:
        short, long = mean(calendar.level_windows[0], name), mean(calendar.year, name)
        yield _past(f"{name}_level", short, f"mean {name} of late")
        yield _past(f"{name}_trend", short / long, f"is {name} rising within a year")


def _distances(name: str, reach: int) -> Iterator[Feature]:
    position = pl.int_range(pl.len(), dtype=pl.Int64)
    marked = pl.when(pl.col(name).is_not_null()).then(position)
    for label, distance, reason in (
        (
            f"{name}_until",
            marked.backward_fill() - position,
            f"periods until the next {name}, none within {reach}: {reach}",
        ),
        (
            f"{name}_since",
            position - marked.forward_fill(),
            f"periods since the last {name}, none within {reach}: {reach}",
        ),
    ):
        yield Feature(label, "known_future", "target", distance.fill_null(reach).clip(0, reach), reason)


def _response(name: str, window: int) -> pl.Expr:
    """Mean demand on periods with `name` over mean demand without, drawn towards 1 where it was rarely seen."""
    on = pl.col(name).fill_null(0) > 0.5
    sums = {
        (name, special): pl.when(on if special else ~on).then(name).rolling_sum(window, min_samples=1)
        for name in ("sellable", "evidence")
        for special in (True, False)
    }
    usual = sums["sellable", False] / sums["evidence", False]
    total, seen = sums["sellable", True].fill_null(0), sums["evidence", True].fill_null(0)
    return (total + SHRINK_PERIODS * usual) / (seen + SHRINK_PERIODS) / (usual + MIN_LEVEL)


def _statics(inputs: PanelInputs) -> Iterator[Feature]:
    yield Feature("store", "static", "series", pl.col("store_id"), "the shop", category=True)
    for name in inputs.static_category:
        yield Feature(name, "static", "series", pl.col(name), f"{name} of the series", category=True)
    for name in inputs.static_number:
        yield Feature(name, "static", "series", pl.col(name), f"{name} of the series")
