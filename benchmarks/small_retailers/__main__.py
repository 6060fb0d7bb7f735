"""`python -m benchmarks.small_retailers --out DIR`: first runs of retailers that the product has never met."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import polars as pl

from benchmarks.small_retailers.retailers import Small, land, make
from demand_forecast.settings import ENV_PREFIX, load_settings

RESULTS = Path(__file__).parent / "results"


@click.command()
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the runs.")
@click.option("--count", default=200, show_default=True)
@click.option("--first", default=1, show_default=True, help="Seed of the first.")
@click.option("--jobs", default=2, show_default=True, help="Runs side by side, one thread each.")
@click.option("--keep", is_flag=True, help="Keep homes that are as they should be.")
def main(out: Path, count: int, first: int, jobs: int, keep: bool) -> None:
    """Runs the product on `count` small retailers, with defaults, and writes what came of it."""
    until = datetime.now(tz=UTC).date() - timedelta(days=1)
    with ThreadPoolExecutor(jobs) as pool:
        rows = list(pool.map(lambda seed: _tried(make(seed, until), out, keep), range(first, first + count)))
    found = pl.DataFrame(rows, infer_schema_length=None)
    RESULTS.mkdir(exist_ok=True)
    found.write_csv(RESULTS / "small_retailers.csv", float_precision=3)
    text = _report(found)
    (RESULTS / "small_retailers.md").write_text(text, encoding="utf-8")
    click.echo(text)


def _tried(small: Small, out: Path, keep: bool) -> dict[str, Any]:
    folder = out / f"{small.seed:03d}"
    config = land(small, folder)
    started, log = time.monotonic(), folder / "run.log"
    own = {key: value for key, value in os.environ.items() if not key.startswith(ENV_PREFIX)}
    own |= {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    command = [sys.executable, "-m", "demand_forecast.cli", "run", "--config", str(config)]
    with log.open("w", encoding="utf-8") as file:
        status = subprocess.run(command, env=own, stdout=file, stderr=subprocess.STDOUT, check=False).returncode  # noqa: S603
    known = {"seed": small.seed, "frequency": small.frequency, "label": small.label, "periods": small.periods}
    known |= {"series": small.series, "status": status, "seconds": round(time.monotonic() - started)}
    row = known | (_made(small, config) if status == 0 else _nothing())
    click.echo(f"{small.seed:03d} {small.label}, {small.periods} periods, {small.series} series: {row['verdict']}")
    if row["verdict"] == "good" and not keep:
        subprocess.run(["rm", "-rf", str(folder)], check=False)  # noqa: S603, S607
    return row


def _nothing() -> dict[str, Any]:
    figures = dict.fromkeys(("model", "reservations", "fva_wql", "fva_wrmsse"))
    return {"verdict": "no forecast", **figures}


def _made(small: Small, config: Path) -> dict[str, Any]:
    """What the run made: whether the forecast has the retailer's own dates, who serves, and what it adds."""
    lake = load_settings(config).root / "lake"
    forecast = pl.read_delta(str(lake / "demand_forecast"))
    horizon = load_settings(config).horizon
    wanted = [small.calendar.ahead(small.newest, ahead) for ahead in range(1, horizon + 1)]
    model = forecast["model"][0]
    metrics = pl.read_delta(str(lake / "backtest_metrics")) if (lake / "backtest_metrics").is_dir() else None
    figures = _added(metrics, model) if metrics is not None else {}
    decision = pl.read_delta(str(lake / "promotion_ledger")).sort("decided_at").row(-1, named=True)
    said = decision.get("reservations")
    return {
        "verdict": _verdict(small, forecast, wanted),
        "model": model,
        "reservations": said,
        "fva_wql": figures.get("wql"),
        "fva_wrmsse": figures.get("wrmsse"),
    }


def _verdict(small: Small, forecast: pl.DataFrame, wanted: list[date]) -> str:
    dates = forecast["date"].unique().sort().to_list()
    if dates != wanted:
        return f"dates {dates[0]} to {dates[-1]}, not {wanted[0]} to {wanted[-1]}"
    sold = small.sales.filter(pl.col("units") > 0).select("store_id", "product_id").unique()
    if forecast.select("store_id", "product_id").n_unique() < len(sold):
        return "a series without a forecast"
    return "good" if forecast["mean"].is_finite().all() and (forecast["mean"] >= 0).all() else "a mean that is none"


def _added(metrics: pl.DataFrame, model: str) -> dict[str, float]:
    """By metric, the share of seasonal naive's error that is gone, over all origins."""
    from demand_forecast.domain.evaluation.scoring import summary_table

    rows = {row["model"]: row for row in summary_table(metrics).iter_rows(named=True)}
    ours, naive = rows.get(model, {}), rows.get("seasonal_naive", {})
    return {name: 1 - ours[name] / naive[name] for name in ("wql", "wrmsse") if ours.get(name) and naive.get(name)}


def _report(found: pl.DataFrame) -> str:
    lines = [
        "# First runs of small retailers",
        "",
        "`python -m benchmarks.small_retailers --out DIR`: default settings, one thread, "
        f"{len(found)} retailers of 1 to 50 series and 20 weeks to 5 years.",
        "",
        "| rows | retailers | forecast under their own dates | with reservations | seasonal naive serves | "
        "WQL added over seasonal naive: median, lowest |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    kinds = found.with_columns(kind=pl.col("label").str.replace(" from .*", "").str.replace(" dated .*| iso| text", ""))
    for (kind,), part in sorted(kinds.group_by("kind"), key=str):
        added = part["fva_wql"].cast(pl.Float64).drop_nulls()
        least = ", ".join(f"{share:+.0%}" for share in (added.median(), added.min()) if isinstance(share, float))
        held = int((part["reservations"].cast(pl.String).fill_null("") != "").sum())
        naive = int((part["model"] == "seasonal_naive").sum())
        good = int((part["verdict"] == "good").sum())
        lines.append(f"| {kind} | {len(part)} | {good} | {held} | {naive} | {least} |")
    bad = found.filter(pl.col("verdict") != "good").select("seed", "label", "periods", "series", "status", "verdict")
    lines += ["", *(f"- {row}" for row in bad.to_dicts()), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
