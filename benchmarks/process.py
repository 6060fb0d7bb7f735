"""A contender's own process: one thread, its CPU time and its memory."""

import os
import resource
import subprocess
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
ENVIRONMENTS = Path(__file__).parent / ".venv"
LIBRARIES = ("OMP", "OPENBLAS", "MKL", "NUMBA", "NUMEXPR")
ONE_THREAD = {
    **{f"{library}_NUM_THREADS": "1" for library in LIBRARIES},
    "POLARS_MAX_THREADS": "1",
    "LOKY_MAX_CPU_COUNT": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}


def run_alone(python: Path, module: str, arguments: Sequence[str]) -> str:
    """Runs `module` in a process of one thread and returns the last line it printed.

    Raises FileNotFoundError where `python` is not there, RuntimeError where the module fails.
    """
    if not python.exists():
        raise FileNotFoundError(f"{python}: no such environment; make it: make peers")
    process = subprocess.run(  # noqa: S603 - our own modules
        [str(python), "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        said = process.stderr.strip() or f"killed by signal {-process.returncode}"
        raise RuntimeError(f"{module} {' '.join(arguments)}\n{said[-3000:]}")
    return process.stdout.strip().splitlines()[-1]


def cpu_seconds() -> float:
    """CPU time of this process and of the children it waited for, user and system."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def peak_mb() -> float:
    """The most memory that this process held at once, in MB (2^20 bytes).

    Not `ru_maxrss`: on Linux it starts from what the process held that started this one.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes
    peak = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 1024
