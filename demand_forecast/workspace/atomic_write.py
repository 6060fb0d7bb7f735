"""Files that are replaced whole: a reader, or a process killed at any moment, finds the old content or the new."""

import os
from pathlib import Path


def replace_text(file: Path, text: str) -> None:
    """Makes `text` the content of `file` in one step: a process killed at any moment leaves the old one or the new."""
    temporary = file.with_name(f".{file.name}-{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(file)
