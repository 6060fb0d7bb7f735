"""A real PostgreSQL for as long as the session lasts; files that a test has just written need not settle."""

import glob
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("DEMAND_FORECAST_AUTOMATION__SETTLE_SECONDS", "0")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a PostgreSQL of our own, on the loopback and a free port; skipped where it is not installed."""
    binaries = [shutil.which("pg_ctl"), *sorted(glob.glob("/usr/lib/postgresql/*/bin/pg_ctl"), reverse=True)]
    pg_ctl = next((Path(found) for found in binaries if found), None)
    if pg_ctl is None:
        pytest.skip("PostgreSQL (initdb, pg_ctl) is not installed")
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        if user:
            shutil.chown(folder, "postgres")
        data = f"{folder}/data"
        _run(
            *user,
            str(pg_ctl.with_name("initdb")),
            "-D",
            data,
            "-U",
            "planner",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
        )
        port = _free_port()
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
        _run(*user, str(pg_ctl), "-D", data, "-w", "-l", f"{folder}/log", "-o", options, "start")
        try:
            yield f"postgresql+psycopg2://planner:sesame@127.0.0.1:{port}/postgres"
        finally:
            _run(*user, str(pg_ctl), "-D", data, "-m", "immediate", "stop")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
