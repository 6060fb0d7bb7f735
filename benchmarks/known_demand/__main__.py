"""`python -m benchmarks.known_demand --out DIR`: forecasts and orders against a demand that is known."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
import polars as pl

from benchmarks.known_demand.landing import CONFIG_FILE, land
from benchmarks.known_demand.measures import forecast_figures, service_figures, verdict
from benchmarks.known_demand.report import write_report
from benchmarks.known_demand.sellers import SHOPS, Retailer, open_retailer
from benchmarks.known_demand.shelf import Sales, Scenario
from demand_forecast.settings import ENV_PREFIX, load_settings

SCENARIOS = ("none", "supply-10", "supply-20", "supply-30", "sold_out-10", "sold_out-20", "mixed-30")
HORIZON = 28


@click.command()
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the runs and of the results.")
@click.option("--scenario", "scenarios", multiple=True, default=SCENARIOS, show_default=True, help="May be repeated.")
@click.option("--products", default=80, show_default=True, help="In each of three shops.")
@click.option("--days", default=728, show_default=True, help="Of sales.")
@click.option("--seed", default=7, show_default=True)
@click.option("--finished", is_flag=True, help="Measure the runs that are in --out, and run nothing.")
@click.option("--name", default="known_demand", show_default=True, help="Of the result files.")
def main(out: Path, scenarios: tuple[str, ...], products: int, days: int, seed: int, finished: bool, name: str) -> None:
    """Runs the product on a retailer whose demand is known, once a scenario, and compares."""
    chosen = [Scenario.of(one) for one in scenarios]
    retailer = open_retailer(products, days, HORIZON, seed)
    what = f"{SHOPS} shops, {products} products, {days} days of sales, seed {seed}."
    found: list[list[pl.DataFrame]] = []
    for scenario in chosen:
        click.echo(f"{scenario.name} …")
        sales, folder = scenario.sell(retailer, seed), out / scenario.name
        if not finished:
            run_product(land(retailer, sales, folder))
        found.append([frame.select(named(scenario), pl.all()) for frame in measure(retailer, sales, folder, seed)])
        text = write_report(out, name, what, *(pl.concat(parts) for parts in zip(*found, strict=True)))
    click.echo(text)


def named(scenario: Scenario) -> pl.Expr:
    return pl.lit(scenario.name).alias("scenario")


def run_product(config: Path) -> None:
    """`demand-forecast run`, as a user starts it. Raises ClickException where it fails."""
    shutil.rmtree(config.parent / "home", ignore_errors=True)
    started, log = time.monotonic(), config.parent / "run.log"
    command = [sys.executable, "-m", "demand_forecast.cli", "run", "--config", str(config.resolve())]
    own = {key: value for key, value in os.environ.items() if not key.startswith(ENV_PREFIX)}
    with log.open("w", encoding="utf-8") as file:
        run = subprocess.run(command, env=own, stdout=file, stderr=subprocess.STDOUT, check=False)  # noqa: S603
    if run.returncode:
        raise click.ClickException(f"the product failed with status {run.returncode}: {log} says why")
    click.echo(f"{time.monotonic() - started:.0f} s")


def measure(retailer: Retailer, sales: Sales, folder: Path, seed: int) -> list[pl.DataFrame]:
    """The figures of the forecasts and of the service of the run in `folder`, and the verdict on it."""
    settings = load_settings(folder / CONFIG_FILE)
    lake = settings.root / "lake"
    return [
        forecast_figures(retailer, sales, lake, settings),
        service_figures(retailer, lake, settings, seed),
        pl.DataFrame([verdict(lake)]),
    ]


if __name__ == "__main__":
    main()
