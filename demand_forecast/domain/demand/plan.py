"""The plan laid over the panel: covariates hold for their date, a price holds until the next one."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import polars as pl

from demand_forecast.domain.demand.calendar import Calendar, by_day
from demand_forecast.domain.demand.covariates import require_covariates
from demand_forecast.domain.demand.precedence import Keys, by_key
from demand_forecast.settings import Covariates

NUMBERS = ("store", "product")  # that stand for ids


@dataclass(frozen=True)
class PlanColumns:
    """The declared columns of a plan, by how they are read."""

    price: bool = False
    open: bool = False
    category: tuple[str, ...] = ()
    number: tuple[str, ...] = ()
    binary: tuple[str, ...] = ()

    @property
    def covariates(self) -> tuple[str, ...]:
        return self.category + self.number + self.binary


def plan_columns(plan: pl.DataFrame, covariates: Covariates) -> PlanColumns:
    """The columns of `plan` that are declared. Raises MissingCovariateError where a declared one is missing."""
    declared = [name for name in covariates.known_future if name not in ("price", "open")]
    require_covariates(declared, "known_future", {"clean_plan": plan.columns})
    text = [name for name in declared if plan.schema[name] == pl.String]
    numbers = [name for name in declared if name not in text]
    binary = [name for name in numbers if set(plan[name].drop_nulls().unique()) in ({0}, {1}, {0, 1})]
    return PlanColumns(
        price="price" in plan.columns and plan["price"].count() > 0,
        open=plan_opens(plan),
        category=tuple(text),
        number=tuple(name for name in numbers if name not in binary),
        binary=tuple(binary),
    )


def plan_opens(plan: pl.DataFrame) -> bool:
    """Whether the plan says of any day that a shop is open or closed."""
    return "open" in plan.columns and plan["open"].count() > 0


def spread_plan(
    panel: pl.DataFrame,
    plan: pl.DataFrame,
    columns: PlanColumns,
    series: pl.DataFrame,
    calendar: Calendar,
) -> pl.DataFrame:
    """`panel` with the plan's covariates, `open_planned`, where the plan has prices `price_planned` (null before a
    series' first), and `price` carried on from where it is known; in the same order.

    `panel` has `series`, `store`, `product` (numbers), `date`, `price` (null after the forecast origin and before the
    first sale); `series` says which `store_id` and `product_id` the numbers are.
    """
    plan = _numbered(by_day(plan, calendar), series).sort("date", maintain_order=True)
    plan = plan.with_columns(calendar.dated(pl.col("date")), days=calendar.days(pl.col("date")))
    values = _covariate_values(plan, columns)
    within = plan.filter(pl.col("date") >= panel["date"].min())  # a plan may hold years, a night needs one
    panel = _lay(panel, within, {**values, **_opening(columns)})
    if not columns.price:
        return panel.with_columns(pl.col("price").forward_fill().over("series"))
    panel = _planned_price(panel, plan.drop_nulls("price"))
    known = pl.coalesce("price", "price_planned").forward_fill()
    return panel.with_columns(pl.coalesce(known, pl.col("price_planned").backward_fill()).over("series").alias("price"))


def _planned_price(panel: pl.DataFrame, plan: pl.DataFrame) -> pl.DataFrame:
    """`panel` with `price_planned`: the newest price of the most particular key, by the plan alone."""
    began = panel.group_by("series").agg(pl.col(*NUMBERS).first(), began=pl.col("date").min())
    names = []
    for keys, rows in by_key(plan, NUMBERS):
        if len(rows):
            names.append(f"price@{','.join(keys)}")
            asked = _asked(rows, keys, began).rename({"price": names[-1]})
            panel = panel.join(asked, on=["series", "date"], how="left", maintain_order="left")
    held = (pl.col(name).forward_fill().over("series") for name in names)
    price = pl.coalesce(*held) if names else pl.lit(None, pl.Float32)
    return panel.with_columns(price_planned=price).drop(names)


def _asked(rows: pl.DataFrame, keys: Keys, began: pl.DataFrame) -> pl.DataFrame:
    """`series, date, price` of the days on which another price begins for a series; the first of its days has the one
    that holds then.
    """
    prices = rows.select(*keys, "date", pl.col("price").cast(pl.Float32))
    each = prices.join(began, on=list(keys), maintain_order="left") if keys else prices.join(began, how="cross")
    days = each.select("series", "price", date=pl.max_horizontal("date", "began"))
    return days.group_by("series", "date", maintain_order=True).last()


def _numbered(plan: pl.DataFrame, series: pl.DataFrame) -> pl.DataFrame:
    """`plan` with `store` and `product` numbers (null: every one), without shops and products that never sold."""
    for number in ("store", "product"):
        name = f"{number}_id"
        if name not in plan.columns:
            plan = plan.with_columns(pl.lit(None, pl.String).alias(name))
        plan = plan.join(series.select(name, number).unique(), on=name, how="left")
        plan = plan.filter(pl.col(name).is_null() | pl.col(number).is_not_null())
    return plan


def _covariate_values(plan: pl.DataFrame, columns: PlanColumns) -> dict[str, pl.Expr]:
    """How each covariate's value of a period comes from the rows of its days."""
    values = {}
    for name in columns.category:
        known = plan[name].drop_nulls().unique().sort()
        values[name] = pl.col(name).drop_nulls().first().cast(pl.Enum(known))
    for name in columns.number:
        values[name] = pl.col(name).mean().cast(pl.Float32)
    for name in columns.binary:
        share = pl.col(name).sum() / pl.col("days").first()
        values[name] = pl.when(pl.col(name).count() > 0).then(share).cast(pl.Float32)
    return values


def _opening(columns: PlanColumns) -> dict[str, pl.Expr]:
    """Share of the period's days that the plan does not close; null where it says nothing."""
    if not columns.open:
        return {"open_planned": pl.lit(None, pl.Float32)}
    closed = (1 - pl.col("open")).sum() / pl.col("days").first()
    return {"open_planned": pl.when(pl.col("open").count() > 0).then(1 - closed).cast(pl.Float32)}


def open_planned() -> pl.Expr:
    """`open_planned` of a period: whatever the plan says of the shop, a product that is not on sale yet is closed."""
    return pl.when(pl.col("age") < 0).then(0).otherwise("open_planned").alias("open_planned")


def _lay(panel: pl.DataFrame, plan: pl.DataFrame, values: dict[str, pl.Expr]) -> pl.DataFrame:
    laid: dict[str, list[str]] = {name: [] for name in values}
    for keys, rows in by_key(plan, NUMBERS):
        part = rows.group_by(*keys, "date").agg(**values)
        part = part.filter(~pl.all_horizontal(pl.col(*values).is_null()))
        renamed = {name: f"{name}@{','.join(keys)}" for name in values if part[name].count()}
        if renamed:
            part = part.select(*keys, "date", *renamed).rename(renamed)
            panel = panel.join(part, on=[*keys, "date"], how="left", maintain_order="left")
            for name, column in renamed.items():
                laid[name].append(column)
    return panel.with_columns(_first_known(laid, values, plan)).drop(*chain(*laid.values()))


def _first_known(laid: dict[str, list[str]], values: dict[str, pl.Expr], plan: pl.DataFrame) -> Iterator[pl.Expr]:
    schema = plan.clear().select(**values).schema
    for name, columns in laid.items():
        yield (pl.coalesce(columns) if columns else pl.lit(None, schema[name])).alias(name)
