"""`python -m benchmarks.replenishment`: the reorder plan proven by simulation."""

import time
from datetime import timedelta
from pathlib import Path

import click
import polars as pl

from benchmarks.replenishment.curve import equal_service, promises, trade_off
from benchmarks.replenishment.forecasts import Window, make_forecasts
from benchmarks.replenishment.picture import trade_off_picture
from benchmarks.replenishment.policies import Targets, by_normal_error, by_reorder_plan
from benchmarks.replenishment.report import write_report
from demand_forecast.domain.tables import series_key
from demand_forecast.settings import Settings, load_settings

BASELINE = "seasonal_naive"
LEVEL_DAYS = 28  # before the start, whose mean is the starting stock of the lead time


@click.command()
@click.option(
    "--config", type=click.Path(path_type=Path), help="Configuration of a finished run; its home has the tables."
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("benchmarks/replenishment/results"))
@click.option("--model", default="lightgbm", help="The candidate that stands for the product.")
@click.option("--cycles", default=12, help="Weekly orders.")
@click.option(
    "--demand",
    "truth",
    type=click.Path(path_type=Path),
    help="Parquet with store_id, product_id, date, demand: the true demand, where sales were cut by stock-outs.",
)
@click.option("--unmet", type=click.Choice(["lost", "backordered"]), default="lost")
@click.option("--sold-within", type=int, help="Only series that sold in so many days before the start.")
@click.option("--name", help="Of the result files; the configuration's name by default.")
def main(
    config: Path | None,
    out: Path,
    model: str,
    cycles: int,
    truth: Path | None,
    unmet: str,
    sold_within: int | None,
    name: str | None,
) -> None:
    """Simulates 12 weeks of held-back days under weekly orders and writes tables and a picture."""
    started, settings = time.time(), load_settings(config)
    lake, policy = settings.root / "lake", settings.replenishment
    daily = pl.scan_delta(str(lake / "daily_demand"))
    last_day = daily.select(pl.col("date").max()).collect().item()
    window = Window.until(last_day, policy.review_period, policy.lead_time, cycles)
    forecasts, backtest = make_forecasts(lake, settings, window, [model, BASELINE], sold_within)
    click.echo(f"forecasts of {cycles} reviews from {window.start} in {time.time() - started:.0f} s")
    since = window.start - timedelta(days=LEVEL_DAYS)
    demand = daily.filter(pl.col("date") > since).select(*series_key(), "date", "units", "price").collect()
    demand = demand.join(forecasts.select(series_key()).unique(), on=series_key(), how="semi")
    stock = starting_stock(demand.filter(pl.col("date") <= window.start), policy.lead_time)
    demand = true_demand(demand, truth) if truth else demand
    policies = all_policies(forecasts, backtest, model, settings)
    curve = trade_off(policies, demand, stock, policy.lead_time, unmet)  # type: ignore[arg-type]
    kept = promises(policies[model], demand, stock, policy.lead_time, window.protection)
    table, name = equal_service(curve, model), name or settings.name
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.png").write_bytes(trade_off_picture(curve, table, name))
    click.echo(write_report(out, name, window, stock, curve, table, kept))
    click.echo(f"{time.time() - started:.0f} s; written to {out}")


def starting_stock(demand: pl.DataFrame, lead_time: int) -> pl.DataFrame:
    """`store_id, product_id, on_hand`: what sells during one lead time, so that no policy starts with stock it would
    not have bought, and nothing is missing before its first order arrives.
    """
    return demand.group_by(series_key()).agg(on_hand=(pl.col("units").mean() * lead_time).round())


def true_demand(demand: pl.DataFrame, truth: Path) -> pl.DataFrame:
    """`demand` with what customers asked for in place of what was sold."""
    known = pl.read_parquet(truth).select(*series_key(), "date", asked=pl.col("demand").cast(pl.Float32))
    joined = demand.join(known, on=[*series_key(), "date"], how="left", maintain_order="left")
    return joined.with_columns(units=pl.coalesce("asked", "units")).drop("asked")


def all_policies(forecasts: pl.DataFrame, backtest: pl.DataFrame, model: str, settings: Settings) -> dict[str, Targets]:
    """Ours first; every other with the same model's or the naive forecast, and the backtest of that forecast."""
    found: dict[str, Targets] = {}
    for name in (model, BASELINE):
        own, past = (frame.filter(pl.col("model") == name) for frame in (forecasts, backtest))
        found[name] = by_reorder_plan(own, settings.replenishment)
        found[f"{name}, normal error"] = by_normal_error(own, past, settings.replenishment)
    return found


if __name__ == "__main__":
    main()
