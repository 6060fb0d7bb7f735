"""One builder on one panel, in its own process: `python -m benchmarks.features.child BUILDER PANEL`.

Counted: CPU time of the call, from the panel in memory to the features in memory; the peak of the whole process's
memory. Libraries are imported, and their compiled parts warm, before the clock starts. Quick builders run up to five
times and the fastest counts: a busy machine makes all of them slower, by chance.
"""

import json
import sys
from typing import Any

import polars as pl

from benchmarks.features import builders
from benchmarks.features.declared import COMPARED
from benchmarks.process import cpu_seconds, peak_mb

REPEATS = 5
ENOUGH = 10.0  # CPU-seconds


def main(name: str, path: str) -> None:
    build = getattr(builders, name)
    panel = pl.read_parquet(path)
    build(panel.head(20_000))
    times = [_timed(build, panel)]
    while len(times) < REPEATS and sum(times) < ENOUGH:
        times.append(_timed(build, panel))
    cost = {"rows": len(panel), "cpu_seconds": min(times), "peak_mb": peak_mb()}
    features = build(panel)
    print(json.dumps({**cost, "check": {column: _sum(features[column]) for column in COMPARED}}))


def _timed(build: Any, panel: pl.DataFrame) -> float:
    started = cpu_seconds()
    features = build(panel)
    spent = cpu_seconds() - started
    del features
    return spent


def _sum(column: Any) -> float:
    """Of what is known, in float64; so that contenders can be seen to have built the same."""
    values = pl.Series(column).cast(pl.Float64).fill_nan(None)
    return float(values.sum())


if __name__ == "__main__":
    main(*sys.argv[1:])
