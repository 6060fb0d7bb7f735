"""`python -m benchmarks.features --config F`: rows per CPU-second and peak memory of building the same features."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.features.declared import COMPARED, COUNT
from benchmarks.process import ENVIRONMENTS, run_alone
from demand_forecast.settings import load_settings

HERE = Path(__file__).parent
CONTENDERS = {"ours": None, "mlforecast": "peers", "polars_over": None, "pandas": "peers"}
SHARES = (4, 2, 1)  # every 4th, every 2nd, every series
TOLERANCE = 1e-5  # of float32 sums


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.features", description=__doc__)
    parser.add_argument("--config", help="configuration of the retailer; default as for demand-forecast")
    parser.add_argument("--home", help="where its finished run is; default: the configuration's home")
    parser.add_argument("--environments", default=ENVIRONMENTS, type=Path, help="of the peers")
    parser.add_argument("--cache", type=Path, help="folder of the panel; default: benchmarks/features in the home")
    parser.add_argument("--out", default=HERE, type=Path, help="folder of the result tables")
    asked = parser.parse_args()
    settings = load_settings(asked.config)
    home = Path(asked.home).resolve() if asked.home else settings.root
    cache = (asked.cache or home / "benchmarks" / "features").resolve()
    panels = write_panels(pl.read_delta(str(home / "lake" / "daily_demand")), cache)
    results = []
    for name, environment in CONTENDERS.items():
        python = asked.environments.resolve() / environment / "bin" / "python" if environment else Path(sys.executable)
        for share, path in panels.items():
            results.append({"builder": name, "share": share, **_measure(python, name, path)})
            print({key: value for key, value in results[-1].items() if key != "check"}, flush=True)
    require_same(results)
    table = pl.DataFrame([{key: value for key, value in row.items() if key != "check"} for row in results])
    table = table.with_columns(rows_per_second=pl.col("rows") / pl.col("cpu_seconds"))
    table.write_csv(asked.out / f"{settings.name}.csv", float_precision=2)
    text = to_markdown(table)
    (asked.out / f"{settings.name}.md").write_text(text + "\n", encoding="utf-8")
    print(f"\n{text}")


def write_panels(demand: pl.DataFrame, cache: Path) -> dict[int, Path]:
    """The complete panel (every series on every day, zero before its first sale), and smaller shares of its series."""
    days = demand.select(pl.col("date").unique().sort())
    series = demand.select("store_id", "product_id").unique().sort("store_id", "product_id").with_row_index("series")
    sold = demand.join(series, on=["store_id", "product_id"]).select("series", "date", "units")
    cache.mkdir(parents=True, exist_ok=True)
    panel = series.select("series").join(days, how="cross").join(sold, on=["series", "date"], how="left")
    panel = panel.with_columns(pl.col("units").fill_null(0)).sort("series", "date")
    paths = {share: cache / f"panel-{share}.parquet" for share in SHARES}
    for share, path in paths.items():
        panel.filter(pl.col("series") % share == 0).write_parquet(path)
    return paths


def _measure(python: Path, name: str, path: Path) -> dict[str, Any]:
    return json.loads(run_alone(python, "benchmarks.features.child", [name, str(path)]))


def require_same(results: list[dict[str, Any]]) -> None:
    """Raises ValueError where two builders did not build the same features."""
    reference = {row["share"]: row["check"] for row in results if row["builder"] == "ours"}
    for row in results:
        for column in COMPARED:
            ours, theirs = reference[row["share"]][column], row["check"][column]
            if abs(ours - theirs) > TOLERANCE * max(abs(ours), 1):
                raise ValueError(f"{column}: {row['builder']} sums to {theirs}, ours to {ours}")


def to_markdown(table: pl.DataFrame) -> str:
    """A line per builder: speed and memory on the whole panel, and how its time grows with the rows."""
    whole = table.filter(pl.col("share") == 1).sort("rows_per_second", descending=True)
    rows = int(whole["rows"].max())  # type: ignore[arg-type]
    lines = [
        f"{COUNT} features of each of {rows:,} rows, one thread:",
        "",
        "| builder | million rows per CPU-s | CPU-s | peak MB | CPU-s at a quarter, half, all of the series |",
        "|---|--:|--:|--:|---|",
    ]
    for row in whole.iter_rows(named=True):
        own = table.filter(pl.col("builder") == row["builder"]).sort("share", descending=True)
        growth = ", ".join(f"{seconds:.1f}" for seconds in own["cpu_seconds"])
        speed, cpu, peak = row["rows_per_second"] / 1e6, row["cpu_seconds"], row["peak_mb"]
        lines.append(f"| {row['builder']} | {speed:.2f} | {cpu:.1f} | {peak:,.0f} | {growth} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
