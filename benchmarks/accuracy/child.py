"""One contender at one origin, in its own process: `python -m benchmarks.accuracy.child MODULE:FUNCTION TASK OUT`.

Counted: CPU time of the call, from tables in memory to a forecast in memory. Not counted: starting Python, importing
the recipe's libraries, reading the tables. The peak of memory is that of the whole process.
"""

import importlib
import json
import sys
import time
from pathlib import Path

from benchmarks.accuracy.task import Task
from benchmarks.process import cpu_seconds, peak_mb


def main(recipe: str, folder: str, out: str) -> None:
    module, function = recipe.split(":")
    forecast = getattr(importlib.import_module(module), function)
    read = importlib.import_module(module).read
    task = Task.load(Path(folder))
    tables = [read(task)]
    cpu, clock = cpu_seconds(), time.perf_counter()
    made = forecast(tables.pop(), task)  # the recipe holds the only reference: it may free what it does not need
    cost = {"cpu_seconds": cpu_seconds() - cpu, "wall_seconds": time.perf_counter() - clock, "peak_mb": peak_mb()}
    made.to_parquet(out) if hasattr(made, "to_parquet") else made.write_parquet(out)
    print(json.dumps(cost))


if __name__ == "__main__":
    main(*sys.argv[1:])
