"""What was learned about files: their hashes by size and time of change, and what each says about which day."""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from demand_forecast.sources.delivery import Delivery
from demand_forecast.sources.errors import DamagedError, SourceError, UnfinishedError

Signature = tuple[int, int]  # size in bytes, time of last change in ns


def signature(found: os.stat_result) -> Signature:
    return found.st_size, found.st_mtime_ns


def unreadable(file: Path, error: OSError) -> SourceError:
    """The error to raise: UnfinishedError where the file is gone, else one that says what the account lacks."""
    if isinstance(error, FileNotFoundError):
        return UnfinishedError(f"{file}: cannot be read: it is gone; bring it again if it is still wanted")
    return SourceError(
        f"{file}: cannot be read: {error.strerror or error}; give the account that runs this the right to read it"
    )


class Contents(NamedTuple):
    """What a file held when it was read: the content hash of each day, or why it could not be read.

    `fixed_on`: the day of the scan, where some rows are counted on a day that follows from it (their own date is
    impossible or unreadable); None where none is.
    """

    days: dict[date, str]
    fixed_on: date | None = None
    fault: str | None = None
    damaged: bool = False


class Landing:
    """What was learned about files, kept at `path` (None: nowhere). Saves opening a file whose size and time of change
    are known, and decides nothing else: it may be lost, damaged or written by two processes at once.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.left: dict[str, str] = {}  # by file, why this scan left it
        self._hashes: dict[str, tuple[int, int, str]] = {}
        self._contents: dict[str, Contents] = {}
        self._used: set[str] = set()
        self._changed = False
        if path is not None:
            with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
                self._load(json.loads(path.read_text(encoding="utf-8")))

    def leave(self, file: str, error: UnfinishedError) -> None:
        self.left[file] = str(error)

    def knows(self, *files: Path) -> bool:
        """Whether the hashes of the files, as they are now, are known without opening them."""
        try:
            return all(self._hashes.get(str(file), ())[:2] == signature(file.stat()) for file in files)
        except OSError:
            return False

    def file_hash(self, file: Path, *how: object) -> str:
        """SHA-256 of the file, and behind the dash that of how it is read: with another mapping it is read again.

        Raises UnfinishedError where the file is gone, SourceError where it cannot be opened.
        """
        return f"{self._sha(file)}-{hashlib.sha256(repr(how).encode()).hexdigest()[:8]}"

    def _sha(self, file: Path) -> str:
        name = str(file)
        self._used.add(name)
        try:
            current = signature(file.stat())
            known = self._hashes.get(name)
            if known is None or known[:2] != current:
                with file.open("rb") as stream:
                    known = (*current, hashlib.file_digest(stream, "sha256").hexdigest())
                self._hashes[name], self._changed = known, True
        except OSError as error:
            raise unreadable(file, error) from error
        return known[2]

    def contents(self, delivery: Delivery, today: date) -> Contents | None:
        """What the file is known to say, None where it has to be read. Opens the file where its hash is not known.

        Raises UnfinishedError where it is gone, SourceError where it cannot be opened.
        """
        found = self._contents.get(delivery.file_hash)
        self._used.add(delivery.file_hash)
        return found if found is not None and found.fixed_on in (None, today) else None

    def note(self, delivery: Delivery, contents: Contents) -> None:
        if delivery.file_hash:
            self._used.add(delivery.file_hash)
            self._contents[delivery.file_hash], self._changed = contents, True

    def note_fault(self, delivery: Delivery, error: SourceError) -> None:
        """Note that the file cannot be read as it is. One that is still changing, or gone, may be readable later."""
        if not isinstance(error, UnfinishedError) or isinstance(error, DamagedError):
            self.note(delivery, Contents({}, None, str(error), isinstance(error, DamagedError)))

    def save(self) -> None:
        """Writes what this scan used and what is known of other files that still exist, if there is anything new."""
        if self.path is None or not self._changed:
            return
        hashes = {name: one for name, one in self._hashes.items() if name in self._used or os.path.exists(name)}
        there = {sha for *_, sha in hashes.values()}
        contents = {
            name: _as_json(found)
            for name, found in self._contents.items()
            if name in self._used or name.partition("-")[0] in there
        }
        content = {"hashes": hashes, "contents": contents}
        written = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(json.dumps(content), encoding="utf-8")
        written.replace(self.path)
        self._changed = False

    def _load(self, content: Mapping[str, Any]) -> None:
        hashes = {name: (int(size), int(time), str(sha)) for name, (size, time, sha) in content["hashes"].items()}
        contents = {name: _from_json(*found) for name, found in content["contents"].items()}
        self._hashes, self._contents = hashes, contents


def _as_json(found: Contents) -> list[Any]:
    days = {day.isoformat(): content for day, content in found.days.items()}
    return [days, found.fixed_on and found.fixed_on.isoformat(), found.fault, found.damaged]


def _from_json(days: Mapping[str, str], fixed_on: str | None, fault: str | None, damaged: bool) -> Contents:
    by_day = {date.fromisoformat(day): str(content) for day, content in days.items()}
    return Contents(by_day, date.fromisoformat(fixed_on) if fixed_on else None, fault, bool(damaged))
