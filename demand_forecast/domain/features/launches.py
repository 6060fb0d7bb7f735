"""New products: when they came on sale, and what products like them sold in their first weeks."""

from collections.abc import Sequence
from datetime import date, timedelta

import polars as pl

from demand_forecast.domain.demand.calendar import Calendar
from demand_forecast.domain.tables import series_key

LAUNCH_DAYS = 56  # a product is new for its first eight weeks
GROUP_LAUNCHES = 2  # a group is trusted half when it has seen as many launches; 1 to 10 are alike on three retailers
CELL = ("cell", "date")


def with_launches(
    sold: pl.DataFrame, plan: pl.DataFrame, stock: pl.DataFrame | None, last_day: date, until: date, calendar: Calendar
) -> pl.DataFrame:
    """`sold` (`series, store_id, product_id, first_sale` …), and after it the series announced that never sold.

    Adds `on_sale`, the first day on which customers could buy it as far as is known, and `listed`, whether an input
    says so: a series is listed from the first day on which the plan names it or, failing that, the stock report has it
    on hand, if that is at most eight weeks before its first sale. A series without a sale is announced if it was listed
    in the eight weeks to `last_day`, or will be by `until`. A plan row without a store lists a product in every shop
    unless it sold somewhere before. What the first day of a plan names was there before: it says nothing.
    """
    listings = _listings(sold, plan, stock, calendar)
    found = sold.join(listings, on=series_key(), how="left", maintain_order="left")
    gap = (pl.col("first_sale") - pl.col("listing")).dt.total_days()
    listed = gap.is_between(0, LAUNCH_DAYS).fill_null(False)
    found = found.with_columns(
        listed=listed, on_sale=pl.when(listed).then("listing").otherwise("first_sale"), announced=False
    )
    recent = pl.col("listing").is_between(last_day - timedelta(days=LAUNCH_DAYS), until, closed="right")
    announced = listings.filter(recent).join(sold, on=series_key(), how="anti").sort(series_key())
    announced = announced.with_columns(
        series=pl.int_range(pl.len(), dtype=pl.UInt32) + len(sold), on_sale="listing", listed=True, announced=True
    )
    return pl.concat([found, announced], how="diagonal").drop("listing")


def unsold_launches(
    sold: pl.DataFrame, plan: pl.DataFrame, stock: pl.DataFrame | None, last_day: date, calendar: Calendar
) -> pl.DataFrame:
    """`store_id, product_id, on_sale` of the series that were listed more than eight weeks ago, as `with_launches`
    says, and never sold: launches too.
    """
    listings = _listings(sold, plan, stock, calendar).join(sold, on=series_key(), how="anti")
    long_ago = pl.col("listing") <= last_day - timedelta(days=LAUNCH_DAYS)
    return listings.filter(long_ago).select(*series_key(), on_sale="listing")


def _listings(sold: pl.DataFrame, plan: pl.DataFrame, stock: pl.DataFrame | None, calendar: Calendar) -> pl.DataFrame:
    """`store_id, product_id, listing` of every series that the plan or else the stock report names."""
    listings = _planned(sold, plan)
    if stock is not None and not stock.is_empty():
        held = stock.filter(pl.col("on_hand") > 0).group_by(series_key()).agg(listing=pl.col("date").min())
        listings = pl.concat([listings, held.join(listings, on=series_key(), how="anti")])
    return listings.with_columns(calendar.dated(pl.col("listing")))


def _planned(sold: pl.DataFrame, plan: pl.DataFrame) -> pl.DataFrame:
    if "product_id" not in plan.columns:
        return pl.DataFrame(schema={"store_id": pl.String, "product_id": pl.String, "listing": pl.Date})
    priced = "price" in plan.columns and plan["price"].count() > 0
    named = plan.filter(pl.col("product_id").is_not_null(), pl.col("price").is_not_null() if priced else True)
    if "store_id" not in named.columns:
        named = named.with_columns(store_id=pl.lit(None, pl.String))
    named = named.select(*series_key(), "date", began=pl.col("date").min())
    firsts = named.group_by(series_key()).agg(listing=pl.col("date").min(), began=pl.col("began").first())
    firsts = firsts.filter(pl.col("listing") > pl.col("began")).drop("began")
    launched = sold.group_by("product_id").agg(sold_on=pl.col("first_sale").min())
    everywhere = firsts.filter(pl.col("store_id").is_null()).join(launched, on="product_id", how="left")
    everywhere = everywhere.filter(~(pl.col("sold_on") < pl.col("listing")).fill_null(False))
    everywhere = everywhere.drop("store_id", "sold_on").join(sold.select("store_id").unique(), how="cross")
    both = pl.concat([firsts.drop_nulls("store_id"), everywhere.select(firsts.columns)])
    return both.group_by(series_key()).agg(pl.col("listing").min())


def waiting_days(
    series: pl.DataFrame, demand: pl.DataFrame, last_day: date, lead: int, calendar: Calendar
) -> pl.DataFrame:
    """`series, date, units, exposure, open` of listed series: from `lead` periods before listing to first sale.

    Nothing is known until the listing (null); from then on nothing was sold while the shop was open.
    They count as outcomes of a forecast, not towards the level: the goods may have come after the listing.
    """
    end = pl.col("first_sale").fill_null(calendar.ahead(last_day, 1))
    numbers = pl.int_ranges(calendar.number(pl.col("on_sale")) - lead, calendar.number(end))
    waiting = series.filter("listed").select("series", "store_id", "on_sale", number=numbers)
    waiting = waiting.explode("number", empty_as_null=False).with_columns(date=calendar.date_of(pl.col("number")))
    opened = demand.group_by("store_id", "date").agg(pl.col("open").max())  # null where nothing is known
    waiting = waiting.join(opened, on=["store_id", "date"], how="left", maintain_order="left")
    zero = pl.when(pl.col("date") >= pl.col("on_sale")).then(pl.lit(0, pl.Float32))
    exposure = pl.when(zero.is_not_null()).then(pl.col("open").fill_null(value=False).cast(pl.Float32))
    return waiting.select("series", "date", units=zero, exposure=exposure, open="open")


def similar_level(
    panel: pl.DataFrame,
    demand: pl.DataFrame,
    series: pl.DataFrame,
    unsold: pl.DataFrame,
    groups: Sequence[str],
    calendar: Calendar,
) -> pl.DataFrame:
    """`panel` with `similar`: units a period that launches like this one brought, as known on the day; else null.

    Known for series that came on sale within the long level window, not for those that sold when the history began.
    Launches of a year, in their first eight weeks: of those that were listed all days from then on, whether they ever
    sold (`unsold`: `store_id, on_sale, store`, groups) or not; of others the days after the first sale, which sold by
    definition. Their mean in the shop is drawn towards that of all shops, that of each of `groups` (coarse to fine) in
    the shop towards the one before: one launch says little. Before any launch, the mean of the shop's finest group.
    """
    began = series["first_sale"].min() + timedelta(days=LAUNCH_DAYS)  # type: ignore[operator]
    series = series.with_columns(cell=pl.struct("store", *groups).rank("dense"))
    new = series.filter((pl.col("on_sale") > began) | pl.col("announced"))
    if new.is_empty():
        return panel.with_columns(similar=pl.lit(None, pl.Float32))
    by_cell = demand.select("date", "units", "exposure", cell=series["cell"].gather(demand["series"]), series="series")
    launched = _launch_days(by_cell, demand, new, unsold, groups, calendar)
    young = (pl.col("age") < calendar.level_windows[-1]) & pl.col("series").is_in(new["series"].implode())
    rows = panel.lazy().filter(young, pl.col("date") <= demand["date"].max()).select("series", "date")
    days = rows.join(new.lazy().select("series", "cell"), on="series").select(CELL).unique().collect()
    cells = days.join(new.select("cell", "store", *groups).unique(), on="cell").sort("date")
    known = _chained(cells, launched, _cell_mean(by_cell, calendar), groups, calendar)
    cell = pl.col("series").replace_strict(new["series"], new["cell"], default=None, return_dtype=pl.UInt32)
    panel = panel.with_columns(cell=pl.when(young).then(cell))
    return panel.join(known, on=CELL, how="left", maintain_order="left").drop("cell")


def _launch_days(
    sold: pl.DataFrame,
    demand: pl.DataFrame,
    new: pl.DataFrame,
    unsold: pl.DataFrame,
    groups: Sequence[str],
    calendar: Calendar,
) -> pl.DataFrame:
    """`date, units, exposure, store` and groups of the days on which launches are judged."""
    never = unsold.with_columns(
        series=pl.int_range(pl.len(), dtype=pl.UInt32) + new["series"].max() + 1,
        first_sale=pl.lit(None, pl.Date),
        listed=pl.lit(value=True),
    )
    known = ["series", "store_id", "on_sale", "listed", "first_sale", "store", *groups]
    launches = pl.concat([new.select(known), never.select(known)], how="vertical_relaxed")
    waited = waiting_days(launches, demand, demand["date"].max(), 0, calendar)  # type: ignore[arg-type]
    days = pl.concat([frame.select("series", "date", "units", "exposure") for frame in (sold, waited)])
    within = pl.col("date") <= pl.col("on_sale") + timedelta(days=LAUNCH_DAYS)
    judged = days.join(launches, on="series").filter(within, pl.col("listed") | (pl.col("date") > pl.col("first_sale")))
    return judged.select("date", "units", "exposure", "store", *groups)


def _cell_mean(by_cell: pl.DataFrame, calendar: Calendar) -> pl.DataFrame:
    """Mean units per series and period of a cell, over the short level window."""
    daily = by_cell.group_by(CELL).agg(_units_and_days())
    return _trailing(daily, ["cell"], calendar.level_windows[0] * calendar.step)


def _units_and_days() -> list[pl.Expr]:
    sold = pl.when(pl.col("exposure") > 0).then("units")
    return [sold.sum().alias("units"), pl.col("exposure").sum().alias("days")]


def _trailing(daily: pl.DataFrame, keys: list[str], days: int) -> pl.DataFrame:
    sums = pl.col("units", "days").cast(pl.Float64).rolling_sum_by("date", window_size=f"{days}d")
    return daily.sort(*keys, "date").with_columns(sums.over(keys) if keys else sums).sort("date")


def _chained(
    cells: pl.DataFrame, launched: pl.DataFrame, usual: pl.DataFrame, groups: Sequence[str], calendar: Calendar
) -> pl.DataFrame:
    """`cell, date, similar` of `cells` (`cell, date, store`, groups)."""
    mean = pl.col("units") / pl.col("days")
    cells = (
        cells.join_asof(usual, on="date", by="cell", check_sortedness=False)
        .with_columns(similar=mean)
        .drop("units", "days")
    )
    prior = GROUP_LAUNCHES * calendar.periods(LAUNCH_DAYS)
    for keys in ([], *(["store", *groups[:number]] for number in range(len(groups) + 1))):
        daily = launched.group_by(*keys, "date").agg(_units_and_days())
        trailing = _trailing(daily, keys, calendar.year * calendar.step)
        cells = cells.join_asof(trailing, on="date", by=keys or None, check_sortedness=False)
        units, seen = pl.col("units").fill_null(0), pl.col("days").fill_null(0)
        drawn = (units + prior * pl.col("similar")) / (seen + prior)
        cells = cells.with_columns(similar=pl.when(seen > 0).then(drawn if keys else mean).otherwise("similar")).drop(
            "units", "days"
        )
    return cells.select(*CELL, pl.col("similar").cast(pl.Float32))


def product_groups(products: pl.DataFrame, static: Sequence[str]) -> list[str]:
    """The declared text columns of products, coarsest first."""
    text = [name for name in static if name in products.columns and products.schema[name] == pl.String]
    return sorted(text, key=lambda name: (products[name].n_unique(), name))


def with_trust(panel: pl.DataFrame, cycle: int) -> pl.DataFrame:
    """`panel` with how far a series' own levels are trusted: `trust`, and `trust_cycle` for those of one weekday.

    `pull` is the rest of the way to `similar`.

    n periods against one period and the time in which one unit is expected: the credibility n / (n + k) of Bühlmann
    (1967), with k right for units that vary as their mean and a mean as uncertain as itself.
    """
    similar = pl.col("similar").cast(pl.Float64)
    seen = pl.col("evidence").cast(pl.Float64).fill_null(0).cum_sum().over("series")
    weight = 1 + 1 / similar.clip(lower_bound=1e-3)
    own, own_cycle = seen / (seen + weight), seen / (seen + cycle * weight)
    return panel.with_columns(
        similar=similar,
        trust=own.fill_null(1.0),
        trust_cycle=own_cycle.fill_null(1.0),
        pull=((1 - own) * similar).fill_null(0.0),
        pull_cycle=((1 - own_cycle) * similar).fill_null(0.0),
    )


def drawn(level: pl.Expr, per: str = "") -> pl.Expr:
    """`level`, drawn towards what similar products sold as long as the series is new; `per`: "" or "_cycle"."""
    return (level * pl.col(f"trust{per}") + pl.col(f"pull{per}")).fill_null(pl.col("similar"))
