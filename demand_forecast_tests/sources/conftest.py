"""Settings written as a user writes them, and a real PostgreSQL for as long as the session lasts."""

import glob
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from demand_forecast.settings import Settings, load_settings

Configure = Callable[[dict[str, Any]], Settings]


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """`configure({...})` writes config.yaml into tmp_path and loads it."""

    def write(content: dict[str, Any]) -> Settings:
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        return load_settings(file)

    return write


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
