"""What holds for every test process, set by `-p` in pyproject.toml before any library is imported.

Test processes share few cores: with threads of their own in every library they spend a sixth of their time
on switching between them, and OpenMP's, which spin while they wait, far more.
"""

import gc
import os

for threads in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS", "TOKIO_WORKER_THREADS"):
    os.environ.setdefault(threads, "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # where a test asks for two: spinning, a fit of 1 s takes 40

gc.set_threshold(100_000, 50, 100)  # imports leave little to collect, and looking for it is a third of their time


def pytest_collection_finish() -> None:
    gc.freeze()  # what is imported by then stays
