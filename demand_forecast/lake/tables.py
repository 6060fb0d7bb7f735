"""Delta tables: read, write whole or not at all, version, time travel."""

import json
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl

KEPT = {"delta.logRetentionDuration": "interval 36500 days"}  # versions stay readable: a model names those it saw
MANY_FILES = 200
FEW_COMMITS = 8  # read before all of them, which takes 0.2 s for 400
MAINTENANCE = {  # commits in which no row changes, as delta-rs and Spark call them
    *("OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES", "UNSET TBLPROPERTIES", "ADD FEATURE"),
    *("ADD CONSTRAINT", "DROP CONSTRAINT", "UPDATE TABLE METADATA", "UPDATE FIELD METADATA"),
}


class LakeError(RuntimeError):
    """A table cannot be read or written; the message names the table, the lake and the repair."""


class Lake:
    """The Delta tables below one folder (or object store URL), each named by its folder.

    Every write is one Delta commit: a process killed at any moment leaves the last whole version.
    """

    def __init__(self, root: str | Path, storage_options: Mapping[str, str] | None = None) -> None:
        self.root = str(root).rstrip("/")
        self.storage_options = dict(storage_options or {})

    def location(self, table: str) -> str:
        return f"{self.root}/{table}"

    def exists(self, table: str) -> bool:
        from deltalake import DeltaTable

        return DeltaTable.is_deltatable(self.location(table), storage_options=self.storage_options)

    def version(self, table: str) -> int | None:
        """The version that wrote the table's current rows; None when it was never written.

        Compacting and vacuuming do not change it: nothing needs to be computed again.
        """
        return self._last_write(table)["version"] if self.exists(table) else None

    def version_at(self, table: str, moment: datetime) -> int | None:
        """The version of the rows that were the table's at `moment` (with time zone); None where it had none yet."""
        written = self._writes(table) if self.exists(table) else []
        past = (commit for commit in written if commit["timestamp"] <= 1000 * moment.timestamp())
        return next((commit["version"] for commit in past), None)

    def keeps(self, table: str, version: int) -> bool:
        """Whether the rows of `version` can still be read: where somebody vacuumed, they may be gone."""
        try:
            self.read(table, version)
        except LakeError:
            return False
        return True

    def written_at(self, table: str) -> datetime:
        """When the table's current rows were written, in UTC. Raises LakeError when there is no table."""
        self._require(table)
        return datetime.fromtimestamp(self._last_write(table)["timestamp"] / 1000, UTC)

    def versions(self, tables: Iterable[str]) -> dict[str, int]:
        """The current versions of those of `tables` that exist."""
        return {table: version for table in tables if (version := self.version(table)) is not None}

    def scan(self, table: str, version: int | None = None) -> pl.LazyFrame:
        """A lazy frame of the table, current or at `version`. Raises LakeError when there is no table."""
        self._require(table)
        state = None if version is None else self._newest_files(table, version)
        return pl.scan_delta(self.location(table), version=state, storage_options=self.storage_options or None)

    def read(self, table: str, version: int | None = None, where: pl.Expr | None = None) -> pl.DataFrame:
        """The table, or its rows `where`, current or at `version`. Raises LakeError when it, or the version, is not
        there."""
        from deltalake.exceptions import DeltaError

        try:
            return self.scan(table, version).filter(True if where is None else where).collect()
        except (DeltaError, OSError, pl.exceptions.PolarsError) as error:
            if version is None:
                raise
            message = f"table {table}: version {version} is gone from the lake {self.root}; restore it from a backup"
            raise LakeError(f"{message}: {error}") from error

    def newest(self, table: str, column: str = "date") -> date | None:
        """The newest day in the table's date `column`; None where there is none. Raises LakeError without a table."""
        return self.scan(table).select(pl.col(column).max()).collect().item()  # type: ignore[no-any-return]

    def notes(self, table: str, version: int | None = None) -> dict[str, str]:
        """The notes written with the table's rows, current or at `version`. Raises LakeError when there is no table."""
        self._require(table)
        return json.loads(self._last_write(table, version).get("notes", "{}"))

    def replace(self, table: str, frame: pl.DataFrame, notes: Mapping[str, str] | None = None) -> int:
        """Replaces the table's content by `frame` and gives its version.

        Equal content with equal `notes` (text stored atomically with the version) keeps the current version. Raises
        LakeError where it cannot be written.
        """
        commit = {"content": _fingerprint(frame), "notes": json.dumps(dict(notes or {}), sort_keys=True)}
        if self.exists(table):
            current = self._last_write(table)
            if commit.items() <= current.items():
                return current["version"]
        self._write(table, frame, mode="overwrite", schema_mode="overwrite", commit=commit)
        return self._last_write(table)["version"]

    def replace_since(
        self, table: str, frame: pl.DataFrame, day: date, column: str = "date", notes: Mapping[str, str] | None = None
    ) -> int:
        """Replaces the table's content from `day` on, by its date `column`; earlier rows stay untouched.

        One commit, as with `replace`: equal rows with equal `notes` keep the version. New columns widen the table.
        Raises LakeError for rows before `day`, and where it cannot be written.
        """
        if frame.height and frame[column].min() < day:  # type: ignore[operator]
            raise LakeError(f"table {table}: rows before {day} among those from {day} on; nothing was written")
        if day == date.min or not self.exists(table):
            return self.replace(table, frame, notes)
        commit = {"since": f"{day} {_fingerprint(frame)}", "notes": json.dumps(dict(notes or {}), sort_keys=True)}
        current = self._last_write(table)
        if commit["notes"] == current.get("notes", "{}"):
            held = self.scan(table).filter(pl.col(column) >= day).collect()
            if held.columns == frame.columns and _fingerprint(held) == _fingerprint(frame):
                return current["version"]
        self._write(table, frame, "overwrite", schema_mode="merge", predicate=f"{column} >= '{day}'", commit=commit)
        self.compact(table)
        return self._last_write(table)["version"]

    def compact(self, table: str) -> None:
        """Merges the table's files once there are over 200 small ones; no row changes.

        Raises LakeError where that cannot be written.
        """
        from deltalake.exceptions import DeltaError

        current = self._open(table)
        if len(current.file_uris()) > MANY_FILES:
            try:
                current.optimize.compact()
            except (DeltaError, OSError) as error:
                raise LakeError(
                    f"table {table}: its many files stay in the lake {self.root}, no row is lost: {error}"
                ) from error

    def forget(self, table: str, older_than: timedelta) -> None:
        """Deletes files that no version newer than `older_than` reads: older versions are not readable afterwards."""
        self._open(table).vacuum(retention_hours=int(older_than.total_seconds() // 3600), dry_run=False)

    def drop_before(self, table: str, day: date, column: str = "date") -> None:
        """Drops the rows before `day`, by the date `column`; no commit where there are none. Raises LakeError."""
        if self.scan(table).filter(pl.col(column) < day).head(1).collect().height:
            _in_turn(lambda: self._open(table).delete(f"{column} < '{day}'"))

    def added_since(self, table: str, version: int) -> pl.LazyFrame | None:
        """The rows appended since `version`; None where that version is gone or rows were replaced since."""
        from deltalake.exceptions import DeltaError

        current = self._open(table)
        before = self._open(table)
        try:
            before.load_as_version(version)
        except (DeltaError, FileNotFoundError):
            return None
        known, files = set(before.file_uris()), current.file_uris()
        if not known <= set(files):
            return None
        new = [file for file in files if file not in known]
        whole = self.scan(table)
        if not new:
            return whole.head(0)
        schema = whole.collect_schema()
        options = self.storage_options or None
        return pl.scan_parquet(new, schema=schema, missing_columns="insert", storage_options=options)

    def first_change(self, table: str, version: int | None, column: str = "date") -> date | None:
        """The first day, by its date `column`, whose rows differ from those at `version`; None where none do.

        `date.min` where that is unknown: the version is gone, or had other columns.
        """
        current = self._open(table).version() if self.exists(table) else None
        if current is None or version is None or version > current:
            return None if current == version else date.min
        later = [commit for commit in self._writes(table) if commit["version"] > version]
        if all("since" in commit for commit in later):
            return min((date.fromisoformat(commit["since"].split()[0]) for commit in later), default=None)
        try:
            before, after = self.read(table, version), self.read(table)
        except LakeError:
            return date.min
        if before.schema != after.schema:
            return date.min
        return _first_difference(_by_day(before, column), _by_day(after, column), column)

    def append(self, table: str, frames: pl.DataFrame | Iterable[pl.DataFrame]) -> int:
        """Adds rows in one commit and gives the number of rows added; new columns are added to the table.

        `frames` of one schema are streamed and may be larger than memory together. Nothing to add to an existing table
        is no commit. Raises LakeError where it cannot be written.
        """
        exists = self.exists(table)
        whole = [frames] if isinstance(frames, pl.DataFrame) else frames
        parts = (frame for frame in whole if not (exists and frame.is_empty()))
        first = next(parts, None)
        if first is None:
            return 0
        counted = _Counted(chain([first], parts))
        self._write(table, _stream(first, counted), mode="append", schema_mode="merge")
        return counted.rows

    def _require(self, table: str) -> None:
        if not self.exists(table):
            raise LakeError(f"table {table}: not in the lake {self.root}; materialise the asset {table} first")

    def _open(self, table: str) -> Any:
        from deltalake import DeltaTable

        return DeltaTable(self.location(table), storage_options=self.storage_options)

    def _writes(self, table: str, newest: int | None = None) -> list[dict[str, Any]]:
        """The commits that changed rows, the newest first; `newest` limits how many commits are looked at."""
        return [commit for commit in self._open(table).history(newest) if commit["operation"] not in MAINTENANCE]

    def _last_write(self, table: str, version: int | None = None) -> dict[str, Any]:
        """The commit that wrote the rows, current or at `version`, with its notes.

        Restored rows have the notes of the version they were restored from.
        """
        if version is None:
            last = (self._writes(table, FEW_COMMITS) or self._writes(table))[0]
        else:
            last = next(commit for commit in self._writes(table) if commit["version"] <= version)
        restored = last["operationParameters"].get("version") if last["operation"] == "RESTORE" else None
        return last if restored is None else self._last_write(table, int(restored)) | {"version": last["version"]}

    def _newest_files(self, table: str, version: int) -> int:
        """The last version with the rows of `version`: files from before a compaction may be gone."""
        later = [commit["version"] for commit in self._writes(table) if commit["version"] > version]
        return min(later) - 1 if later else max(version, self._open(table).version())

    def _write(
        self,
        table: str,
        data: Any,
        mode: Any,
        schema_mode: Any = None,
        predicate: str | None = None,
        commit: dict[str, str] | None = None,
    ) -> None:
        from deltalake import CommitProperties, write_deltalake
        from deltalake.exceptions import DeltaError

        write = partial(
            write_deltalake,
            self.location(table),
            data,
            mode=mode,
            schema_mode=schema_mode,
            predicate=predicate,
            configuration=KEPT,
            storage_options=self.storage_options,
            commit_properties=CommitProperties(custom_metadata=commit or {}),
        )
        try:
            _in_turn(write) if mode == "overwrite" else write()  # what is appended may be a stream, read only once
        except (DeltaError, OSError) as error:
            raise LakeError(
                f"table {table}: not written to the lake {self.root}, its last version is untouched: {error}"
            ) from error


def _in_turn(commit: Callable[[], object]) -> None:
    """Retries a commit that conflicts with another process's, up to five times in about 3 s."""
    from deltalake.exceptions import CommitFailedError

    for pause in (0.1, 0.3, 0.9, 1.8):
        try:
            commit()
            return
        except CommitFailedError:
            time.sleep(pause * random.uniform(0.5, 1))
    commit()


class _Counted:
    """Frames passing through, their rows counted."""

    def __init__(self, frames: Iterable[pl.DataFrame]) -> None:
        self.frames = frames
        self.rows = 0

    def __iter__(self) -> Iterator[pl.DataFrame]:
        for frame in self.frames:
            self.rows += len(frame)
            yield frame


def _stream(first: pl.DataFrame, frames: Iterable[pl.DataFrame]) -> Any:
    import pyarrow as pa

    schema = first.clear().to_arrow(compat_level=pl.CompatLevel.oldest()).schema
    batches = (
        batch
        for frame in frames
        for batch in frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema).to_batches()
    )
    return pa.RecordBatchReader.from_batches(schema, batches)


def _by_day(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    hashed = frame.select(column, rows=frame.hash_rows(seed=17))
    return hashed.group_by(column).agg(pl.len(), pl.col("rows").sum())


def _first_difference(before: pl.DataFrame, after: pl.DataFrame, column: str) -> date | None:
    both = before.join(after, on=column, how="full", coalesce=True, nulls_equal=True)
    same = pl.col("len").eq_missing(pl.col("len_right")) & pl.col("rows").eq_missing(pl.col("rows_right"))
    other = both.filter(~same)
    if other.is_empty():
        return None
    return date.min if other[column].null_count() else other[column].min()  # type: ignore[return-value]


def _fingerprint(frame: pl.DataFrame) -> str:
    """Equal for equal columns and rows in any order; a polars release may change it, which costs one write."""
    rows = frame.hash_rows(seed=17).sum() if frame.width else 0
    return f"{frame.height}:{rows}:{'|'.join(f'{name}={dtype}' for name, dtype in frame.schema.items())}"
