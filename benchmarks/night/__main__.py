"""`python -m benchmarks.night --config F`: what nights cost against the first full run, and after twice the history."""

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from benchmarks.night.history import land
from demand_forecast.settings import Settings, load_settings

HERE = Path(__file__).parent
KEPT = ("frequency", "horizon", "missing_day", "covariates", "cleaning", "training", "backtest", "seed")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.night", description=__doc__)
    parser.add_argument("--config", help="configuration of the retailer; default as for demand-forecast")
    parser.add_argument("--home", help="where its finished run is; default: the configuration's home")
    parser.add_argument("--nights", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("night-benchmark"), help="an empty folder to work in")
    parser.add_argument("--out", default=HERE, type=Path, help="folder of the result table")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    settings = load_settings(asked.config)
    lake = (Path(asked.home).resolve() if asked.home else settings.root) / "lake"
    histories = {"history": False, "history doubled": True}
    folders = {label: (asked.work / label.replace(" ", "-")).resolve() for label in histories}
    results, arriving = [], {}
    for label, folder in folders.items():
        # in a process of its own: a child's `ru_maxrss` starts from what its parent held
        with ProcessPoolExecutor(1, get_context("spawn")) as aside:
            arriving[label] = aside.submit(land, lake, folder, asked.nights, doubled=histories[label]).result()
        write_config(settings, folder)
        results.append({"history": label, "what": "first full run", **measure(folder, "run")})
        print(results[-1], flush=True)
    for nights in zip(*arriving.values(), strict=True):  # in turn: a machine that gets slower does so for both
        for (label, folder), (day, rows) in zip(folders.items(), nights, strict=True):
            rows.write_csv(folder / "sales" / f"{day}.csv")
            results.append({"history": label, "what": f"night of {day}", **measure(folder, "night")})
            print(results[-1], flush=True)
    table = pl.DataFrame(results).sort("history", maintain_order=True)
    table.write_csv(asked.out / f"{settings.name}.csv", float_precision=2)
    text = to_markdown(table)
    (asked.out / f"{settings.name}.md").write_text(text + "\n", encoding="utf-8")
    print(f"\n{text}")


def write_config(settings: Settings, folder: Path) -> None:
    files = {name: {"path": f"{name}.csv"} for name in ("products", "stores")}
    price = {"price": "price"}
    source = {"sales": {"path": "sales/*", "columns": price}, "plan": {"path": "plan.parquet", "columns": price}}
    kept = settings.model_dump(mode="json", include=set(KEPT))
    content = {"home": "home", "name": settings.name, "source": {"kind": "files", **source, **files}, **kept}
    (folder / "config.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


def measure(folder: Path, command: str) -> dict[str, Any]:
    """Wall and CPU seconds of one command, its process and all."""
    arguments = [sys.executable, "-m", "demand_forecast.cli", command, "--config", str(folder / "config.yaml")]
    log = os.open(folder / f"{command}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    started = time.monotonic()
    actions = [(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
    child = os.posix_spawn(sys.executable, arguments, os.environ, file_actions=actions)
    _, status, used = os.wait4(child, 0)
    os.close(log)
    if status:
        raise SystemExit(f"{command} failed: {folder / f'{command}.log'}")
    cpu = used.ru_utime + used.ru_stime
    return {"seconds": time.monotonic() - started, "cpu_seconds": cpu, "peak_mb": used.ru_maxrss / 1024}


def to_markdown(table: pl.DataFrame) -> str:
    lines = ["| history | | wall s | CPU-s | share of the first run's CPU | peak MB |", "|---|---|--:|--:|--:|--:|"]
    first = {
        row["history"]: row["cpu_seconds"] for row in table.iter_rows(named=True) if row["what"] == "first full run"
    }
    for row in table.iter_rows(named=True):
        share = row["cpu_seconds"] / first[row["history"]]
        figures = f"{row['seconds']:.1f} | {row['cpu_seconds']:.1f} | {share:.1%} | {row['peak_mb']:,.0f}"
        lines.append(f"| {row['history']} | {row['what']} | {figures} |")
    nights = table.filter(pl.col("what") != "first full run").group_by("history").agg(pl.col("cpu_seconds").median())
    cost = dict(nights.iter_rows())
    ratio = cost["history doubled"] / cost["history"]
    return "\n".join([*lines, "", f"A night after doubling the history costs {ratio:.2f} times the CPU of one before."])


if __name__ == "__main__":
    main()
