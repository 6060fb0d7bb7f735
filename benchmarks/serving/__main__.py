"""`python -m benchmarks.serving --config F`: our service beside no-op services, its memory, and swaps under load."""

import argparse
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.serving.load import Outcome, answer, at_rate, saturate
from benchmarks.serving.servers import BENTOML, FASTAPI, NOOP, OURS, Contender, Server, bodies, running
from benchmarks.serving.swaps import Swaps, publish, swap
from demand_forecast.publishing.package import Package, read_package
from demand_forecast.settings import load_settings

HERE = Path(__file__).parent
SIZES = (1, 28, 1000)  # series of one request
SHARE = 0.5  # of the most that is borne: the constant rate
AIMED_RATIO, AIMED_P99, AIMED_GROWTH, AIMED_SWAP = 2.0, 10.0, 0.05, 5.0  # times, ms, share, s


@dataclass(frozen=True)
class Effort:
    """How long is measured."""

    rounds: int = 3
    seconds: float = 15  # of each load
    workers: tuple[int, ...] = (1, 2)
    warm: int = 10_000  # requests before memory is looked at
    further: int = 100_000  # requests until it is looked at again; and while packages are swapped
    swaps: int = 20


QUICK = Effort(rounds=1, seconds=1, workers=(1,), warm=1_000, further=3_000, swaps=2)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--config", help="configuration of the retailer; default as for demand-forecast")
    parser.add_argument("--home", help="where its finished run is; default: the configuration's home")
    parser.add_argument("--quick", action="store_true", help="less than a minute, to see that it works")
    parser.add_argument("--out", default=HERE, type=Path, help="folder of the result table")
    asked = parser.parse_args(arguments)
    if shutil.which("wrk") is None:
        parser.exit(1, "wrk is not here: apt-get install wrk\n")
    settings = load_settings(asked.config)
    home = Path(asked.home).resolve() if asked.home else settings.root
    measure(read_package(home / "serving"), QUICK if asked.quick else Effort(), asked.out, settings.name)


def measure(package: Package, effort: Effort, out: Path, name: str) -> list[str]:
    """Measures all, prints it, keeps it as `<out>/<name>.csv` and `.md`; gives what was aimed at and missed."""
    keys = package.forecast.select("store_id", "product_id").unique(maintain_order=True).rows()
    with tempfile.TemporaryDirectory() as work:
        throughput = pl.DataFrame(list(_throughput(package, keys, effort, Path(work))))
        grown, swapped = _endured(package, keys, effort, Path(work))
    table = throughput.group_by("contender", "workers", "series", maintain_order=True).agg(
        pl.all().exclude("round").median()
    )
    out.mkdir(parents=True, exist_ok=True)
    throughput.write_csv(out / f"{name}.csv", float_precision=3)
    aims = _aims(table, grown, swapped)
    text = "\n".join([*_head(package, effort), *_rows(table), "", *(said for said, _ in aims)])
    (out / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    print(f"\n{text}")
    return [said for said, met in aims if not met]


def _throughput(package: Package, keys: list[Any], effort: Effort, work: Path) -> Iterator[dict[str, Any]]:
    """Every contender in turn, round after round, so that a machine that gets slower does so for all."""
    for workers in effort.workers:
        for turn in range(effort.rounds):
            for contender in (BENTOML, FASTAPI, OURS):
                with _started(contender, package, keys, workers, work) as server:
                    for series in SIZES if contender is OURS else (1,):
                        load = server.load(bodies(keys, series) if contender is OURS else NOOP)
                        saturate(load, effort.seconds / 5)
                        most = saturate(load, effort.seconds)
                        half = at_rate(load, most.rate * SHARE, effort.seconds)
                        row = {"contender": contender.name, "workers": workers, "series": series, "round": turn}
                        row |= _figures(most, half)
                        print(row, flush=True)
                        yield row


def _figures(most: Outcome, half: Outcome) -> dict[str, float]:
    return {
        "requests_per_second": most.rate,
        "p50_ms": most.p50,
        "p99_ms": most.p99,
        "half_rate": half.rate,
        "half_p50_ms": half.p50,
        "half_p99_ms": half.p99,
        "failed": most.failed + half.failed,
    }


def _endured(package: Package, keys: list[Any], effort: Effort, work: Path) -> tuple[tuple[float, float], Swaps]:
    """Memory in MB after the warm-up and after many requests more, and swaps, of our service with the most workers."""
    workers = max(effort.workers)
    with _started(OURS, package, keys, workers, work) as server:
        load = server.load(bodies(keys, 1))
        answer(load, effort.warm, effort.seconds)
        before = server.memory_mb()
        answer(load, effort.further, effort.seconds)
        after = server.memory_mb()
        print(f"memory: {before:.0f} MB, then {after:.0f} MB", flush=True)
        folder = work / OURS.name / ".demand_forecast" / "serving"
        return (before, after), swap(server, load, package, folder, workers, effort.swaps, effort.further)


def _started(
    contender: Contender, package: Package, keys: list[Any], workers: int, work: Path
) -> AbstractContextManager[Server]:
    folder, first = work / contender.name, NOOP[0]
    if contender is OURS:
        publish(package, folder / ".demand_forecast" / "serving", package.info.model_version)
        first = bodies(keys, 1)[0]
    return running(contender, workers, folder, first)


def _aims(table: pl.DataFrame, memory: tuple[float, float], swaps: Swaps) -> list[tuple[str, bool]]:
    """What is aimed at, in words with what came of it, and whether it was met."""
    found = []
    for (workers,), rows in table.filter(pl.col("series") == 1).group_by(["workers"], maintain_order=True):
        of = {row["contender"]: row for row in rows.iter_rows(named=True)}
        late = of[OURS.name]["half_p99_ms"]
        ratio = of[OURS.name]["requests_per_second"] / of[BENTOML.name]["requests_per_second"]
        where = f"with {workers} worker{'s' if workers > 1 else ''}, of one series each"
        said = f"{ratio:.2f} times the requests a second of {BENTOML.name} {where}; aim {AIMED_RATIO:g}"
        found.append((said, ratio >= AIMED_RATIO))
        said = f"p99 of {late:.1f} ms at half of the most {where}; aim below {AIMED_P99:g}"
        found.append((said, late < AIMED_P99))
    before, after = memory
    growth = after / before - 1
    said = f"memory with the prediction log on: {before:,.0f} MB after the warm-up, then {after:,.0f} MB, {growth:+.1%}"
    found.append((f"{said}; aim within {AIMED_GROWTH:.0%}", abs(growth) <= AIMED_GROWTH))
    asked, slowest = swaps.asked, max(swaps.seconds)
    said = f"{asked.failed} of {asked.requests:,} requests failed while {len(swaps.seconds)} packages were swapped"
    found.append((f"{said}: {asked.refused} refused, {asked.broken} broken; aim none", asked.failed == 0))
    said = f"a swap is in all workers after {slowest:.1f} s at most; aim below {AIMED_SWAP:g}"
    found.append((said, slowest < AIMED_SWAP))
    return [(f"- {'met' if met else 'MISSED'}: {said}", met) for said, met in found]


def _head(package: Package, effort: Effort) -> list[str]:
    series = package.forecast.select("store_id", "product_id").n_unique()
    titles = ["requests/s", "p50 ms", "p99 ms", "half: requests/s", "p50 ms", "p99 ms", "failed"]
    return [
        f"{series} series; {os.cpu_count()} cores, which the client shares; Python {platform.python_version()}. "
        f"Medians of {effort.rounds} rounds of {effort.seconds:g} s. Half: a constant rate of half of the most.",
        "",
        f"| service | workers | series a request | {' | '.join(titles)} |",
        f"|---|--:|--:|{'--:|' * len(titles)}",
    ]


def _rows(table: pl.DataFrame) -> list[str]:
    lines = []
    for row in table.iter_rows(named=True):
        most = f"{row['requests_per_second']:,.0f} | {row['p50_ms']:.1f} | {row['p99_ms']:.1f}"
        half = f"{row['half_rate']:,.0f} | {row['half_p50_ms']:.1f} | {row['half_p99_ms']:.1f} | {row['failed']:.0f}"
        lines.append(f"| {row['contender']} | {row['workers']} | {row['series']} | {most} | {half} |")
    return lines


if __name__ == "__main__":
    main()
