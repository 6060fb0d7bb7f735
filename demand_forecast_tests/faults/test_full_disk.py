"""A disk that is full while tables are written."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demand_forecast_tests.behaviour.conftest import Shopkeeper
from demand_forecast_tests.faults.kills import a_new_day, completed, differences, inspect

pytestmark = pytest.mark.slow  # whole runs of a retailer in processes

Mount = Callable[[Path], None]


@pytest.fixture
def on_a_small_disk() -> Iterator[Mount]:
    """`on_a_small_disk(folder)` moves the folder to a file system of 64 MB in memory, mounted where it was."""
    mounted: list[Path] = []

    def mount(folder: Path) -> None:
        held = folder.rename(folder.with_name("moved"))
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        shutil.copytree(held, folder, dirs_exist_ok=True)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize(
    ("disk", "spare", "words"),
    [
        ("home/lake", 30_000, ["not written to the lake", "No space left on device", "its last version is untouched"]),
        ("home", 100_000, ["home: the disk is full; free space there and run again"]),
    ],
    ids=["under the tables", "under everything"],
)
def test_a_full_disk_fails_the_night_and_costs_nothing(
    retailer: Shopkeeper, on_a_small_disk: Mount, undisturbed: Shopkeeper, disk: str, spare: int, words: list[str]
) -> None:
    on_a_small_disk(retailer.folder / disk)
    ballast = fill(retailer.folder / disk, spare)
    a_new_day(retailer)
    retailer.run("night").failed_with(*words)
    assert inspect(retailer)[1] == []
    ballast.unlink()
    assert completed(retailer, "night") == []
    assert not any(differences(retailer, undisturbed).values())


def fill(disk: Path, spare: int) -> Path:
    """A file that leaves `spare` bytes."""
    ballast, state = disk / "ballast", os.statvfs(disk)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, state.f_bavail * state.f_bsize - spare)
    return ballast
