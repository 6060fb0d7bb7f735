"""Groups of series: which level of the hierarchy they are, and their demand and plan as if each were one series."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from demand_forecast.domain.demand.covariates import as_text
from demand_forecast.domain.demand.exposure import exposure, units_of_demand
from demand_forecast.domain.demand.hierarchy import TOTAL, Level, attach_static, hierarchy_levels
from demand_forecast.domain.demand.precedence import Keys, by_key
from demand_forecast.domain.features.plan_ends import DENSE
from demand_forecast.domain.tables import SERIES
from demand_forecast.settings import Covariates

SERIES_PER_GROUP = 10  # in a smaller group a single series' noise is the group's
USUAL = 56  # periods over which it is judged what a series usually sells
GROUP = ["store_group", "product_group"]
ALL = "all"
LEVEL, NODE = "group_level", "group_node"  # static columns of the groups


@dataclass(frozen=True)
class GroupTables:
    """The tables of a retailer whose series are groups; `demand`, `plan`, `products` and `stores` have the columns of
    daily_demand and of the clean tables, a group's `store_id` and `product_id` are its GROUP columns. `members`:
    `store_id, product_id` of every series with the GROUP columns of each group that it belongs to.
    """

    demand: pl.DataFrame
    plan: pl.DataFrame
    products: pl.DataFrame
    stores: pl.DataFrame
    covariates: Covariates
    members: pl.DataFrame

    def plan_of(self, plan: pl.DataFrame) -> pl.DataFrame:
        """Another clean_plan of the same series as that of the groups."""
        return _group_plan(plan, self.members, self.covariates.known_future)

    @property
    def for_features(self) -> tuple[pl.DataFrame, ...]:
        """As features are built from them."""
        return self.demand, self.plan, self.products, self.stores


def alignment_level(series: pl.DataFrame, products: pl.DataFrame, stores: pl.DataFrame, static: Sequence[str]) -> Level:
    """The finest level above products whose groups hold ten series or more on average; the total if none does."""
    return max(_levels(series, products, stores, static), key=lambda item: item[1])[0]


def membership(series: pl.DataFrame, level: Level, products: pl.DataFrame, stores: pl.DataFrame) -> pl.DataFrame:
    """`series` (`store_id, product_id`) with `store_group` and `product_group`, the group of `level` they belong to. A
    column of `level` that no table has any more is unknown, numbers in one are their text.
    """
    known = attach_static(series.select(SERIES).unique(maintain_order=True), products, stores)
    gone = [name for name in level.columns if name not in known.columns]
    known = known.with_columns(pl.lit(None, pl.String).alias(name) for name in gone)
    known = known.with_columns(as_text(known[name]) for name in level.columns)
    on_shops = [name for name in level.columns if name in stores.columns or name == "store_id"]
    on_products = [name for name in level.columns if name not in on_shops]
    sides = [_label(names).alias(group) for names, group in zip((on_shops, on_products), GROUP, strict=True)]
    return known.select(*SERIES, *sides)


def group_tables(
    demand: pl.DataFrame,
    series: pl.DataFrame,
    plan: pl.DataFrame,
    products: pl.DataFrame,
    stores: pl.DataFrame,
    covariates: Covariates,
    level: Level = TOTAL,
) -> GroupTables:
    """Every group of every level above products, as one series each: units summed, open where any of it is, and in
    stock for the share of what it usually sells (`_usual`). `series`: those of `demand` (`store_id, product_id`).
    `level` is among them, whatever tonight's series are.

    Covariates of the plan are averaged over a group's shops and series; texts are kept where they hold for all.
    """
    tonight = [each for each, _ in _levels(series, products, stores, covariates.static)]
    levels = tonight if level in tonight else [*tonight, level]
    members = pl.concat(_named(membership(series, level, products, stores), level) for level in levels)
    groups = members.select(GROUP).unique().sort(GROUP)
    known_future = [name for name in covariates.known_future if name in plan.columns and name not in ("price", "open")]
    return GroupTables(
        demand=_group_demand(demand, members),
        plan=_group_plan(plan, members, known_future),
        products=groups.select(
            pl.col("product_group").alias("product_id"),
            pl.col("product_group").str.split(":").list.first().alias(LEVEL),
            pl.col("product_group").alias(NODE),
        ).unique(),
        stores=groups.select(store_id="store_group").unique(),
        covariates=Covariates(static=[LEVEL, NODE], known_future=known_future),
        members=members,
    )


def _levels(
    series: pl.DataFrame, products: pl.DataFrame, stores: pl.DataFrame, static: Sequence[str]
) -> list[tuple[Level, int]]:
    """Levels above products with their number of groups; of levels with as many groups only the finest named."""
    known = attach_static(series.select(SERIES).unique(), products, stores)
    sized = {}
    for level in hierarchy_levels(products, stores, static, max_levels=1000):
        groups = known.select(level.columns).n_unique() if level.columns else 1
        if "product_id" not in level.columns and groups * SERIES_PER_GROUP <= len(known):
            sized[groups] = level
    return [(level, groups) for groups, level in sized.items()] or [(TOTAL, 1)]


def _label(names: list[str]) -> pl.Expr:
    if not names:
        return pl.lit(ALL)
    values = pl.concat_str([pl.col(name).cast(pl.String).fill_null("unknown") for name in names], separator=" / ")
    return pl.lit(" x ".join(names) + ":") + values


def _named(members: pl.DataFrame, level: Level) -> pl.DataFrame:
    return members.with_columns(level=pl.lit(level.name))


def _group_demand(demand: pl.DataFrame, members: pl.DataFrame) -> pl.DataFrame:
    """daily_demand of the groups: first the cells that no level cuts, then each level's groups from the cells."""
    cells = members.group_by(SERIES).agg(cell=pl.struct("level", *GROUP).sort_by("level"))
    numbers = cells.select("cell").unique().with_row_index("number")
    numbered = cells.join(numbers, on="cell").select(*SERIES, "number")
    sums = [pl.col("units", "usual", "usual_in_stock").sum(), pl.col("open").fill_null(value=True).any()]
    small = (
        demand.lazy()
        .select(*SERIES, "date", units_of_demand().cast(pl.Float64), "open", *_usual(demand))
        .join(numbered.lazy(), on=SERIES)
        .group_by("number", "date")
        .agg(sums)
        .collect()
    )
    wide = small.join(numbers, on="number").explode("cell").unnest("cell")
    summed = wide.group_by(*GROUP, "date").agg(sums)
    share = pl.when(pl.col("usual") > 0).then(pl.col("usual_in_stock") / pl.col("usual")).otherwise(1.0)
    groups = summed.select(*GROUP, "date", pl.col("units").cast(pl.Float32), "open", in_stock=share.cast(pl.Float32))
    return _complete(groups).with_columns(price=pl.lit(None, pl.Float32))


def _usual(demand: pl.DataFrame) -> list[pl.Expr]:
    """`usual`, what each series sells a period (over the USUAL periods before, of as many as there are), and
    `usual_in_stock`, the part of it that goods were there for.

    A group's share in stock is the ratio of their sums: units / share is then its demand, whatever of it was missing,
    be it out of stock or unknown. A closed shop misses nothing. Where all was in stock nothing needs to be known.
    """
    missed, opened = exposure() < 1, pl.col("open").fill_null(value=True)
    if not demand.select((missed & opened).any()).item():
        return [pl.lit(0.0).alias("usual"), pl.lit(0.0).alias("usual_in_stock")]
    could = exposure().cast(pl.Float64)
    sold = pl.when(could > 0).then(pl.col("units").cast(pl.Float64)).otherwise(0.0)
    before = [value.rolling_sum(USUAL, min_samples=1).shift(1) for value in (sold, could)]
    usual = (before[0] / before[1]).fill_nan(None).forward_fill().over(SERIES, order_by="date").fill_null(0.0)
    there = pl.when(opened).then(could).otherwise(1.0)
    return [usual.alias("usual"), (usual * there).alias("usual_in_stock")]


def _complete(groups: pl.DataFrame) -> pl.DataFrame:
    """Without holes to the last date of all, under the names of series; a date that no series has is closed."""
    dates = groups.select("date").unique()
    first = groups.group_by(GROUP).agg(first=pl.col("date").min())
    every = first.join(dates, how="cross").filter(pl.col("date") >= pl.col("first")).drop("first")
    filled = every.join(groups, on=[*GROUP, "date"], how="left")
    named = filled.rename(dict(zip(GROUP, SERIES, strict=True)))
    return named.with_columns(
        pl.col("units").fill_null(0), pl.col("open").fill_null(value=False), pl.col("in_stock").fill_null(1)
    ).sort(*SERIES, "date")


def _group_plan(plan: pl.DataFrame, members: pl.DataFrame, covariates: Sequence[str]) -> pl.DataFrame:
    """clean_plan of the groups: rows for all stay, those of shops and products become rows of their groups."""
    names = [name for name in covariates if name in plan.columns]
    for key in SERIES:
        if key not in plan.columns:
            plan = plan.with_columns(pl.lit(None, pl.String).alias(key))
    plan = plan.select(*SERIES, "date", *names).filter(~pl.all_horizontal(pl.col(names).is_null()) if names else False)
    parts = [
        _to_groups(rows, members, keys) if keys else rows.cast(dict.fromkeys(_numbers(plan), pl.Float64))
        for keys, rows in by_key(plan)
    ]
    return pl.concat(reversed(parts))


def _numbers(plan: pl.DataFrame) -> list[str]:
    return [name for name in plan.columns if plan.schema[name].is_numeric()]


def _members(total: pl.DataFrame, name: str) -> pl.Expr:
    """By how many members the sum of a number is divided: all, or those stated where others are unknown."""
    known = pl.col(f"known_{name}")
    stated = total.select(known.sum() / pl.col("size").sum()).item()
    return pl.when(known > 0).then(known) if (stated or 0.0) >= DENSE else pl.col("size")


def _to_groups(part: pl.DataFrame, members: pl.DataFrame, keys: Keys) -> pl.DataFrame:
    """Numbers as the mean over a group's shops (products, series), a missing one as 0, or as unknown where nearly all
    are stated; texts as the most frequent.

    `part`: rows of the plan that name exactly `keys`.
    """
    numbers = _numbers(part)
    texts = [name for name in part.columns if name not in (*SERIES, "date", *numbers)]
    belongs = members.select(*keys, *GROUP).unique()
    size = belongs.group_by(GROUP).agg(size=pl.len())
    stated = part.group_by(*keys, "date").agg(
        pl.col(numbers).cast(pl.Float64).mean(), *(pl.col(name).drop_nulls().first() for name in texts)
    )
    usual = (pl.col(name).drop_nulls().mode().sort().first() for name in texts)
    of_groups = stated.join(belongs, on=keys).group_by(*GROUP, "date")
    known = (pl.col(name).count().alias(f"known_{name}") for name in numbers)
    total = of_groups.agg(pl.col(numbers).sum(), *known, *usual).join(size, on=GROUP)
    mean = total.with_columns(pl.col(name) / _members(total, name) for name in numbers)
    return mean.rename(dict(zip(GROUP, SERIES, strict=True))).select(part.columns)
