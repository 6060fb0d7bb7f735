"""Every answer as a line of JSON in segment files, written by a thread of its own.

A segment is written by one process, which holds a lock on it meanwhile; in a file without a lock only the last line can
be cut off. A crash loses at most what was queued within the last second.
"""

import fcntl
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from demand_forecast.publishing.answers import CLOSED, OPEN

INTERVAL = 0.5  # seconds between writes
SEGMENT_BYTES = 64 << 20
SEGMENT_SECONDS = 900
QUEUED_BYTES = 32 << 20  # more is dropped: a disk that hangs must not fill the memory
UNMADE_BYTES = 2_000  # counted for a line that is yet to be made

Line = bytes | Callable[[], bytes]

logger = logging.getLogger("bentoml.demand_forecast")


class PredictionLog:
    """The log of one process in `folder`, or none; `lost` counts dropped lines, `reason` says why there is no log."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.lost = 0
        self.reason: str | None = None if folder else "not configured: no home folder"
        self._queue: deque[Line] = deque()
        self._queued = 0
        self._segment: _Segment | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)

    def start(self) -> None:
        if self.folder:
            self._thread.start()

    def stop(self) -> None:
        """Writes what is queued and closes the segment."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def put(self, line: Line) -> None:
        """Queues a line without its newline, or a function that makes it in the writing thread; never blocks."""
        if self.folder is None:
            return
        if self._queued > QUEUED_BYTES:
            self.lost += 1
            return
        self._queued += _size(line)
        self._queue.append(line)

    def _run(self) -> None:
        while not self._stopped.wait(INTERVAL):
            self._write()
        self._write()
        self._close()

    def _write(self) -> None:
        queued = [self._queue.popleft() for _ in range(len(self._queue))]
        self._queued -= sum(map(_size, queued))
        lines = [made for line in queued if (made := self._made(line))]
        try:
            if lines:
                self._segment = self._segment or _Segment(self.folder)  # type: ignore[arg-type]
                self._segment.append(b"\n".join(lines) + b"\n")
            if self._segment and self._segment.is_full():
                self._close()
        except OSError as error:
            self._failed(len(lines), error)
        else:
            self._mended(bool(lines))

    def _made(self, line: Line) -> bytes | None:
        try:
            return line() if callable(line) else line
        except Exception:  # one line that cannot be made must not end the thread that writes all others
            logger.exception("an answer could not be written down")
            self.lost += 1
            return None

    def _failed(self, lines: int, error: OSError) -> None:
        self.lost += lines
        if self.reason is None:
            logger.warning("answers are given and not logged, in %s: %s", self.folder, error.strerror)
        self.reason = f"not written since {datetime.now(UTC):%Y-%m-%d %H:%M} UTC: {error.strerror}"
        self._close()

    def _mended(self, wrote: bool) -> None:
        if self.reason and wrote:
            logger.warning("answers are logged again; %d were not", self.lost)
            self.reason = None

    def _close(self) -> None:
        if self._segment:
            segment, self._segment = self._segment, None
            try:
                segment.close()
            except OSError as error:
                logger.warning("segment %s stays open: %s", segment.path, error.strerror)


def _size(line: Line) -> int:
    return len(line) if isinstance(line, bytes) else UNMADE_BYTES


class _Segment:
    """A file that is being written."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        moment = datetime.now(UTC)
        self.path = folder / f"{moment:%Y%m%dT%H%M%S%f}-{os.getpid()}{OPEN}"
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._size = 0
        self._since = time.monotonic()

    def append(self, block: bytes) -> None:
        """Writes `block` to the disk, or leaves the file as it was and raises OSError."""
        try:
            written = 0
            while written < len(block):
                written += os.write(self._file, block[written:])
            os.fdatasync(self._file)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(block)

    def is_full(self) -> bool:
        return self._size > SEGMENT_BYTES or time.monotonic() - self._since > SEGMENT_SECONDS

    def close(self) -> None:
        try:
            if self._size:
                self.path.rename(self.path.with_suffix(CLOSED))
            else:
                self.path.unlink()
        finally:
            os.close(self._file)
