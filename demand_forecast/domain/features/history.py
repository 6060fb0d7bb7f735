"""The history of every series as one table without gaps, extended over the periods to forecast."""

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import polars as pl

from demand_forecast.domain.demand.calendar import Calendar, Frequency, calendar_of
from demand_forecast.domain.demand.covariates import require_covariates
from demand_forecast.domain.demand.exposure import exposure, units_of_demand
from demand_forecast.domain.demand.plan import PlanColumns, open_planned, plan_columns, plan_opens, spread_plan
from demand_forecast.domain.features.contract import ContractError
from demand_forecast.domain.features.declaration import PanelInputs
from demand_forecast.domain.features.launches import (
    product_groups,
    similar_level,
    unsold_launches,
    waiting_days,
    with_launches,
)
from demand_forecast.domain.features.new_products import with_new_products
from demand_forecast.domain.features.plan_ends import dense_columns
from demand_forecast.domain.tables import series_key
from demand_forecast.settings import Covariates


@dataclass(frozen=True)
class History:
    """What is known about every series, past and planned.

    `panel`: one row per series and period, sorted by `series` (u32) and `date`, without holes, each series from its
    first period to `horizon` (and a little more) after `last_day`. `series`: one row per series: its key, `start` (its
    first row in `panel`), `first` (its first period in `panel`), `rows`, static columns.
    """

    panel: pl.DataFrame
    series: pl.DataFrame
    last_day: date
    horizon: int
    inputs: PanelInputs

    @property
    def calendar(self) -> Calendar:
        return calendar_of(self.inputs.frequency)

    def only(self, series: pl.Series) -> "History":
        """The same history of the `series` (u32 numbers) alone."""
        kept = self.series.filter(pl.col("series").is_in(series.unique().implode()))
        panel = self.panel.filter(pl.col("series").is_in(kept["series"].implode()))
        starts = pl.col("rows").cum_sum() - pl.col("rows")
        return replace(self, panel=panel, series=kept.with_columns(start=starts))


def build_history(
    demand: pl.DataFrame,
    plan: pl.DataFrame,
    products: pl.DataFrame,
    stores: pl.DataFrame,
    stock: pl.DataFrame | None = None,
    *,
    covariates: Covariates,
    frequency: Frequency,
    horizon: int,
    since: date | None = None,
    started: pl.DataFrame | None = None,
    new_products: bool = False,
    inputs: PanelInputs | None = None,
) -> History:
    """The history in `demand` (`daily_demand`), with the clean tables `plan`, `products`, `stores`, `stock` beside it.

    Series that never sold but are announced have a history too, with nothing in it. The last period of `demand` is the
    forecast origin. Periods before `since` are left out: features look back `Calendar.lookback` periods from an origin.
    Where `demand` begins later than the sales did, `started` (`store_id, product_id, first_sale`) says when each series
    did. With `new_products` those that nobody sells yet have a history after all others'. `inputs`: those that models
    know, where the tables are `as_trained`; else they are what the tables look like.
    Raises MissingCovariateError where a declared covariate is in no table, ContractError where `demand` has holes.
    """
    calendar, groups = calendar_of(frequency), product_groups(products, covariates.static)
    planned = plan_columns(plan, covariates) if inputs is None else _trained_columns(plan, inputs)
    demand = _numbered(demand)
    last_day = _last_day(demand)
    sold = _sold(demand, started)
    _without_holes(sold, calendar, last_day)
    series = with_launches(sold.drop("first"), plan, stock, last_day, calendar.ahead(last_day, horizon), calendar)
    if new_products:
        tomorrow = calendar.ahead(last_day, 1)
        series, products = with_new_products(series, products, covariates.static, groups, tomorrow)
    series = _described(series, products, stores, covariates)
    unsold = _in_groups(unsold_launches(sold, plan, stock, last_day, calendar), products, groups, series)
    panel = _panel(demand, series, calendar, last_day, horizon, since, covariates.past_only)
    panel = similar_level(panel, demand, series, unsold, groups, calendar)
    panel = spread_plan(panel, plan, planned, series, calendar).with_columns(open_planned())
    panel = _shop_opening(_product_units(panel, calendar), calendar).drop("store", "product")
    series = _places(series, panel)
    found = replace(inputs, frequency=frequency) if inputs else _inputs(series, planned, covariates, frequency)
    if inputs is None:
        found = replace(found, future_dense=dense_columns(panel, planned.binary, calendar, last_day))
    return History(panel, series, last_day, horizon, found)


def _numbered(demand: pl.DataFrame) -> pl.DataFrame:
    """`demand` sorted, with `exposure` and the number of its `series`."""
    demand = demand.sort("store_id", "product_id", "date")
    return demand.with_columns(exposure=exposure(), series=pl.struct(series_key()).rle_id())


def _in_groups(unsold: pl.DataFrame, products: pl.DataFrame, groups: list[str], series: pl.DataFrame) -> pl.DataFrame:
    """`unsold` (`store_id, product_id` …) with the number of the `store` and the product's `groups`."""
    unsold = unsold.join(products.select("product_id", *groups), on="product_id", how="left")
    return unsold.join(series.select("store_id", "store").unique(), on="store_id")


def _trained_columns(plan: pl.DataFrame, inputs: PanelInputs) -> PlanColumns:
    return PlanColumns(
        price=inputs.price == "known_future",
        open=plan_opens(plan),
        category=inputs.future_category,
        number=inputs.future_number,
        binary=inputs.future_binary,
    )


def _last_day(demand: pl.DataFrame) -> date:
    last = demand["date"].max()
    if not isinstance(last, date):
        raise ContractError("daily_demand is empty: nothing to forecast from; check clean_sales and rejected_sales")
    return last


def _sold(demand: pl.DataFrame, started: pl.DataFrame | None) -> pl.DataFrame:
    found = demand.group_by("series", *series_key(), maintain_order=True).agg(
        first=pl.col("date").min(), last=pl.col("date").max(), periods=pl.len()
    )
    if started is None:
        return found.with_columns(first_sale="first")
    return found.join(started.select(*series_key(), "first_sale"), on=series_key(), how="left", maintain_order="left")


def _described(
    series: pl.DataFrame, products: pl.DataFrame, stores: pl.DataFrame, covariates: Covariates
) -> pl.DataFrame:
    series = series.with_columns(
        store=pl.col("store_id").rank("dense").cast(pl.UInt32),
        product=pl.col("product_id").rank("dense").cast(pl.UInt32),
    )
    for table, key in ((products, "product_id"), (stores, "store_id")):
        known = [name for name in covariates.static if name in table.columns and name not in series.columns]
        if known:
            series = series.join(table.select(key, *known), on=key, how="left", maintain_order="left")
    require_covariates(
        covariates.static, "static", {"clean_products": products.columns, "clean_stores": stores.columns}
    )
    return series


def _without_holes(series: pl.DataFrame, calendar: Calendar, last_day: date) -> None:
    expected = calendar.between(pl.col("first"), pl.lit(last_day)) + 1
    broken = series.filter((pl.col("periods") != expected) | (pl.col("last") != last_day))
    if len(broken):
        store, product = broken.select(series_key()).row(0)
        raise ContractError(
            f"daily_demand: {len(broken)} series are not complete to {last_day}, the first is {product} in {store}; "
            "materialize daily_demand again"
        )


def _panel(
    demand: pl.DataFrame,
    series: pl.DataFrame,
    calendar: Calendar,
    last_day: date,
    horizon: int,
    since: date | None,
    past_only: list[str],
) -> pl.DataFrame:
    require_covariates(past_only, "past_only", {"daily_demand": demand.columns})
    past = demand.filter(pl.col("date") >= (since or date.min)).select(
        "series",
        "date",
        units_of_demand().cast(pl.Float32),
        "exposure",
        pl.col("price").cast(pl.Float32),
        "open",
        *(pl.col(name).cast(pl.Float32) for name in past_only),
    )
    days = [calendar.ahead(last_day, h) for h in range(1, horizon + calendar.event_reach + 1)]
    future = series.select("series").join(pl.DataFrame({"date": days}), how="cross")
    waiting = waiting_days(series, demand, last_day, horizon + calendar.cycle, calendar)
    waiting = waiting.filter(pl.col("date") >= (since or date.min))
    panel = pl.concat([past, waiting, future], how="diagonal").sort("series", "date")
    about = series.select("series", "store", "product", "first_sale", "on_sale")
    panel = panel.join(about, on="series", maintain_order="left")
    age = calendar.between(pl.col("on_sale"), pl.col("date"))
    counted = _enters_levels(series["first_sale"].min())
    return panel.with_columns(
        age=age.clip(-horizon, calendar.year).cast(pl.Float32),
        sellable=pl.when(counted).then("units"),
        evidence=pl.when(counted).then(pl.col("exposure") * calendar.length(pl.col("date")).cast(pl.Float32)),
    ).drop("first_sale", "on_sale")


def _enters_levels(began: object) -> pl.Expr:
    """Whether a period enters levels, which are sum(sellable) / sum(evidence): there was something to sell, and it is
    after the first sale, which sold by definition. A series that sold on the first day of the history was there before.
    """
    first = pl.col("first_sale")
    return (pl.col("exposure") > 0) & ((pl.col("date") > first) | (first == began))


def _product_units(panel: pl.DataFrame, calendar: Calendar) -> pl.DataFrame:
    """`panel` with `product_units` and `product_evidence`: what the product's shops sold in the period and for how long
    they could, as means of the shops in which it counts.
    """
    if panel["store"].n_unique() == 1:
        return panel.with_columns(
            pl.lit(None, pl.Float32).alias(name) for name in ("product_units", "product_evidence")
        )
    # counted in place, no group_by and no join: a product's oldest series has all of its periods, so cells are no more
    # than rows
    product = panel["product"].to_numpy()
    period = panel.select(calendar.between(pl.col("date").min().over("product"), pl.col("date"))).to_series().to_numpy()
    periods = np.zeros(int(product.max()) + 1, np.int64)
    np.maximum.at(periods, product, period + 1)
    cell = (periods.cumsum() - periods)[product] + period
    shops = np.bincount(cell, panel["sellable"].is_not_null().to_numpy())
    means = []
    for name, column in (("product_units", "sellable"), ("product_evidence", "evidence")):
        total = np.bincount(cell, panel[column].fill_null(0).to_numpy())
        mean = np.divide(total, shops, out=np.full(len(total), np.nan), where=shops > 0).astype(np.float32)
        means.append(pl.Series(name, mean[cell], nan_to_null=True))
    return panel.with_columns(means)


def _shop_opening(panel: pl.DataFrame, calendar: Calendar) -> pl.DataFrame:
    """`open_usual`: 0 where the shop stayed closed on all the last such weekdays, else the share of them it was open.

    The larger of the share lately and the share of a year: a new opening day counts at once, a closed fortnight
    does not for long.
    """
    lately, usually = calendar.open_windows
    weekday = pl.col("date").dt.weekday() if calendar.cycle > 1 else pl.lit(0)
    known = panel.drop_nulls("open")
    shops = known.group_by("store", "date").agg(pl.col("open").any().cast(pl.Float64)).sort("date")
    recent, long = (
        pl.col("open").rolling_mean(window, min_samples=1).over("store", weekday) for window in (lately, usually)
    )
    share = pl.when(recent > 0).then(pl.max_horizontal(recent, long)).otherwise(0).cast(pl.Float32)
    shops = shops.select("store", "date", open_usual=share)
    last = known["date"].max()
    unheard = panel.filter(pl.col("open").is_null(), pl.col("date") <= last).select("store", "date").unique()
    unheard = unheard.join(shops, on=["store", "date"], how="anti").with_columns(open_usual=pl.lit(None, pl.Float32))
    if len(unheard):  # as it was on such a weekday before
        held = pl.col("open_usual").forward_fill().over("store", weekday)
        shops = pl.concat([shops, unheard]).sort("store", "date").with_columns(held)
    return panel.join(shops, on=["store", "date"], how="left", maintain_order="left")


def _places(series: pl.DataFrame, panel: pl.DataFrame) -> pl.DataFrame:
    counts = panel.group_by("series").agg(rows=pl.len().cast(pl.Int64), first=pl.col("date").min()).sort("series")
    placed = series.join(counts, on="series", maintain_order="left")
    return placed.with_columns(start=pl.col("rows").cum_sum() - pl.col("rows")).drop(
        "last", "periods", "store", "product"
    )


def _inputs(series: pl.DataFrame, planned: PlanColumns, covariates: Covariates, frequency: Frequency) -> PanelInputs:
    text = [name for name in covariates.static if series.schema[name] == pl.String]
    return PanelInputs(
        frequency=frequency,
        price="known_future" if planned.price else "past_only",
        several_stores=series["store_id"].n_unique() > 1,
        static_category=tuple(text),
        static_number=tuple(name for name in covariates.static if name not in text),
        future_category=planned.category,
        future_number=planned.number,
        future_binary=planned.binary,
        past_only=tuple(covariates.past_only),
    )
