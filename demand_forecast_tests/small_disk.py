"""A small file system in memory under a folder, and what fills it."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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


def fill(disk: Path, spare: int) -> Path:
    """A file that leaves `spare` bytes."""
    ballast, state = disk / "ballast", os.statvfs(disk)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, state.f_bavail * state.f_bsize - spare)
    return ballast
