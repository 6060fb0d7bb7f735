"""From targets to the trade-off curve: what stock buys what service, and how much of it equal service needs."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import polars as pl

from benchmarks.replenishment.policies import Targets
from benchmarks.replenishment.stock_simulation import Unmet, service_figures, simulate_stock
from demand_forecast.domain.replenishment.policy import PLAN_KEY
from demand_forecast.domain.tables import series_key

# What users ask for is 0.80 to 0.995; the ends are there so that every curve reaches the service that is compared.
LEVELS = (0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.995, 0.9995)
ACHIEVED = {"fill_rate": (0.90, 0.95, 0.98), "cycle_service": (0.90, 0.95, 0.98)}
SPEEDS = (0.1, 0.2, 0.5, 1, 3, 10)  # expected units a day


def trade_off(
    policies: Mapping[str, Targets], demand: pl.DataFrame, stock: pl.DataFrame, lead_time: int, unmet: Unmet
) -> pl.DataFrame:
    """A row per policy and asked service level: `policy, asked`, and the figures of what came of it.

    `demand`: `store_id, product_id, date, units, price`; `stock`: the same starting stock for all.
    """
    prices = demand.sort("date").group_by(series_key()).agg(pl.col("price").last())
    rows = []
    for name, targets in policies.items():
        for level in LEVELS:
            simulated = simulate_stock(targets(level), demand, stock, lead_time=lead_time, unmet=unmet)
            rows.append({"policy": name, "asked": level, **asdict(service_figures(simulated, prices))})
    return pl.DataFrame(rows)


def equal_service(curve: pl.DataFrame, ours: str) -> pl.DataFrame:
    """Stock at equal achieved service, by interpolation along each policy's curve.

    `service, achieved, policy, stock_units, stock_value, cover_days, saving_units, saving_value`: what `ours` saves
    against the policy, as a share; null where a curve does not reach that service.
    """
    rows = [
        {"service": service, "achieved": achieved, "policy": name, **_stock_at(own, service, achieved)}
        for service, several in ACHIEVED.items()
        for achieved in several
        for (name,), own in curve.group_by("policy", maintain_order=True)
    ]
    table = pl.DataFrame(rows, infer_schema_length=None)
    own = table.filter(pl.col("policy") == ours).select("service", "achieved", pl.col("stock_units", "stock_value"))
    joined = table.join(own, on=["service", "achieved"], suffix="_ours", maintain_order="left")
    saved = [
        (1 - pl.col(f"stock_{of}_ours") / pl.col(f"stock_{of}")).alias(f"saving_{of}") for of in ("units", "value")
    ]
    return joined.with_columns(saved).drop("stock_units_ours", "stock_value_ours")


def _stock_at(own: pl.DataFrame, service: str, achieved: float) -> dict[str, float | None]:
    own = own.sort("asked")
    reached, stocks = own[service].cum_max().to_numpy(), ("stock_units", "stock_value", "cover_days")
    if not reached[0] <= achieved <= reached[-1]:
        return dict.fromkeys(stocks)
    return {name: float(np.interp(achieved, reached, own[name].to_numpy())) for name in stocks}


def promises(targets: Targets, demand: pl.DataFrame, stock: pl.DataFrame, lead_time: int, days: int) -> pl.DataFrame:
    """Service promised and kept by the reorder plan: `asked, speed, series_reviews, promised, kept, cycle_service`.

    `promised` is the plan's own `service_level`, which whole units lift above what was asked; `kept` the share of
    protection periods of `days` days whose demand was within the target; `cycle_service` comes from the simulation.
    """
    parts = []
    for level in (0.8, 0.9, 0.95, 0.98, 0.99):
        plan = targets(level)
        simulated = simulate_stock(plan, demand, stock, lead_time=lead_time)
        parts.append(_kept(plan, demand, simulated, days).with_columns(asked=pl.lit(level)))
    judged = pl.concat(parts)
    figures = {
        "series_reviews": pl.len(),
        "promised": pl.col("service_level").mean(),
        "kept": pl.col("kept").mean(),
        "cycle_service": pl.col("full").mean(),
        "sold_to_expected": pl.col("needed").sum() / pl.col("expected_demand").sum(),
    }
    by_speed = judged.group_by("asked", "speed").agg(**figures)
    total = judged.group_by("asked").agg(**figures).with_columns(speed=pl.lit("all"))
    return pl.concat([total.select(by_speed.columns), by_speed]).sort("asked", _rank())


def _rank() -> pl.Expr:
    return pl.col("speed").replace_strict(["all", *speed_names()], list(range(len(SPEEDS) + 2)))


def speed_names() -> list[str]:
    inner = [f"{low:g} to {high:g}" for low, high in pairwise(SPEEDS)]
    return [f"below {SPEEDS[0]:g}", *inner, f"{SPEEDS[-1]:g} or more"]


def _kept(plan: pl.DataFrame, demand: pl.DataFrame, simulated: pl.DataFrame, days: int) -> pl.DataFrame:
    needed = pl.concat(_needed(plan, demand, days))
    missing = (pl.col("units") - pl.col("served")).sum()
    full = simulated.filter(pl.col("cycle") > 0).group_by(*series_key(), "cycle").agg(full=missing < 1e-4)
    reviews = plan["forecast_origin"].unique().sort().to_frame().with_row_index("cycle", offset=1)
    speed = (pl.col("expected_demand") / days).cast(pl.Float64)
    place = pl.sum_horizontal(speed >= edge for edge in SPEEDS)
    return (
        plan.join(needed, on=PLAN_KEY)
        .join(reviews.with_columns(pl.col("cycle").cast(pl.Int32)), on="forecast_origin")
        .join(full, on=[*series_key(), "cycle"])
        .select(
            "service_level",
            "expected_demand",
            "needed",
            "full",
            kept=pl.col("needed") <= pl.col("order_quantity"),
            speed=place.replace_strict(list(range(len(SPEEDS) + 1)), speed_names()),
        )
    )


def _needed(plan: pl.DataFrame, demand: pl.DataFrame, days: int) -> Iterator[pl.DataFrame]:
    for review in plan["forecast_origin"].unique().sort():
        ahead = (pl.col("date") - review).dt.total_days()
        period = demand.filter(ahead.is_between(1, days)).group_by(series_key()).agg(needed=pl.col("units").sum())
        yield period.with_columns(forecast_origin=pl.lit(review))
