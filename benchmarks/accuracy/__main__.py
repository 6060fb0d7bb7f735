"""`python -m benchmarks.accuracy --config F`: us and the peers on the same data and origins, one table."""

import argparse
import json
import sys
from datetime import date
from pathlib import Path

import polars as pl

from benchmarks.accuracy.contenders import CONTENDERS, Contender
from benchmarks.accuracy.results import COSTS, as_backtest, score, to_markdown
from benchmarks.accuracy.retailer import Retailer
from benchmarks.accuracy.task import Task
from benchmarks.process import ENVIRONMENTS, run_alone
from demand_forecast.settings import load_settings

HERE = Path(__file__).parent
OWN = Path(sys.executable)


def main() -> None:
    asked = _arguments()
    settings = load_settings(asked.config)
    home = Path(asked.home).resolve() if asked.home else settings.root
    retailer = Retailer(settings, home / "lake")
    cache = Path(asked.cache or home / "benchmarks" / "accuracy").resolve()
    shared = asked.origins or [retailer.newest_origin()]
    parts: list[pl.DataFrame] = []
    absent: dict[str, str] = {}
    for origin in sorted({*shared, *asked.own_origins}, reverse=True):
        retailer.require_known(origin)
        task = retailer.task(origin, cache)
        costs, failed = _run_all([c for c in CONTENDERS if c.ours or origin in shared], task, asked)
        absent |= failed
        if costs:
            parts.append(_scored(retailer, task, costs))
    if not parts:
        raise SystemExit(f"no contender ran: {absent or asked.only}")
    rows = pl.concat(parts).sort("origin", "WRMSSE", descending=[True, False])
    asked.out.mkdir(parents=True, exist_ok=True)
    _keep(rows, shared, absent, asked.out / settings.name)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--config", help="configuration of the retailer; default as for demand-forecast")
    parser.add_argument("--home", help="where its finished run is; default: the configuration's home")
    parser.add_argument(
        "--origins", type=_dates, default=[], help="origins for everybody, 2016-04-24,…; default: the newest"
    )
    parser.add_argument("--own-origins", type=_dates, default=[], help="further origins, for the product alone")
    parser.add_argument("--only", default="", help="contenders whose name contains this")
    parser.add_argument("--fresh", nargs="*", default=[], help="contenders to run again though they are in the cache")
    parser.add_argument("--environments", default=ENVIRONMENTS, type=Path, help="folder of the peers' environments")
    parser.add_argument("--cache", help="folder of tables and forecasts; default: benchmarks/accuracy in the home")
    parser.add_argument("--out", default=HERE, type=Path, help="folder of the result tables")
    return parser.parse_args()


def _dates(text: str) -> list[date]:
    return [date.fromisoformat(part) for part in text.split(",")]


def _run_all(
    contenders: list[Contender], task: Task, asked: argparse.Namespace
) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """What each contender's forecast cost, and why some have none."""
    costs, absent = {}, {}
    for contender in contenders:
        _, cost = _files(contender, task)
        wanted = asked.only in contender.name
        if wanted and (not cost.is_file() or contender.name in asked.fresh):
            print(f"{task.origin} {contender.name} …", flush=True)
            try:
                _run(contender, task, asked.environments)
            except (RuntimeError, FileNotFoundError) as problem:
                absent[contender.name] = str(problem).splitlines()[-1][:200]
                print(problem, flush=True)
        if cost.is_file():
            costs[contender.name] = json.loads(cost.read_text(encoding="utf-8"))
            print(f"{task.origin} {contender.name}: {costs[contender.name]['cpu_seconds']:.0f} CPU-s", flush=True)
    return costs, absent


def _files(contender: Contender, task: Task) -> tuple[Path, Path]:
    """Where a contender's forecast is kept, and beside it what it cost."""
    name = "".join(letter if letter.isalnum() else "_" for letter in contender.name)
    stem = task.folder / f"{name}-{contender.version()}"
    return stem.with_suffix(".parquet"), stem.with_suffix(".json")


def _run(contender: Contender, task: Task, environments: Path) -> None:
    forecast, cost = _files(contender, task)
    cost.unlink(missing_ok=True)
    python = environments.resolve() / contender.environment / "bin" / "python" if contender.environment else OWN
    printed = run_alone(python, "benchmarks.accuracy.child", [contender.recipe, str(task.folder), str(forecast)])
    cost.write_text(printed, encoding="utf-8")


def _scored(retailer: Retailer, task: Task, costs: dict[str, dict[str, float]]) -> pl.DataFrame:
    """The figures and costs of every contender that forecast at the task's origin."""
    series, outcome = pl.read_parquet(task.folder / "series.parquet"), retailer.outcome(task.origin)
    named = {contender.name: contender for contender in CONTENDERS}
    backtest = pl.concat(
        as_backtest(pl.read_parquet(_files(named[name], task)[0]), series, outcome, name) for name in costs
    )
    products, stores = retailer.tables["clean_products"], retailer.tables["clean_stores"]
    figures = score(backtest, retailer.demand, retailer.levels, products, stores, retailer.settings.frequency)
    spent = [(name, cost["cpu_seconds"], cost["peak_mb"]) for name, cost in costs.items()]
    return figures.join(pl.DataFrame(spent, schema=["contender", *COSTS], orient="row"), on="contender")


def _keep(rows: pl.DataFrame, shared: list[date], absent: dict[str, str], stem: Path) -> None:
    rows.write_csv(stem.with_suffix(".csv"), float_precision=5)
    text = to_markdown(rows, shared)
    missing = "".join(f"\nDid not run: {name}: {reason}\n" for name, reason in absent.items())
    stem.with_suffix(".md").write_text(f"{text}\n{missing}", encoding="utf-8")
    print(f"\n{text}\n{missing}")


if __name__ == "__main__":
    main()
