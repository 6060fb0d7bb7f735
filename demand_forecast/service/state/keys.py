"""API keys: shown once, stored as hashes, rotated and revoked while the server runs."""

import hashlib
import json
import secrets
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from demand_forecast.domain.tables import now
from demand_forecast.settings import Serving
from demand_forecast.workspace.atomic_write import replace_text
from demand_forecast.workspace.file_lock import file_lock

PREFIX = "df_"


class KeyFileError(ValueError):
    """The key file cannot be used; the message names it and the repair."""


class Key(BaseModel):
    """A key as it is stored: the SHA-256 of 32 random bytes, which needs no salt."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    sha256: str
    created: datetime
    expires: datetime | None = None

    def holds(self, moment: datetime) -> bool:
        return self.expires is None or moment < self.expires


_FILE = TypeAdapter(list[Key])


def read_keys(file: Path) -> list[Key]:
    """The keys in `file`; none if it does not exist. Raises KeyFileError."""
    try:
        return _FILE.validate_json(file.read_bytes())
    except FileNotFoundError:
        return []
    except (ValidationError, OSError) as error:
        raise KeyFileError(f"{file}: not readable as a list of keys: {error}; restore it, or delete it") from None


def add_key(file: Path, name: str, days: int | None = None) -> str:
    """Adds a key called `name`, perhaps beside others of that name, valid for `days` or for ever; returns its text.

    Raises KeyFileError.
    """
    text = PREFIX + secrets.token_urlsafe(32)
    moment = now()
    expires = None if days is None else moment + timedelta(days=days)
    with file_lock(_lock(file)):
        _write(file, [*read_keys(file), Key(name=name, sha256=hashed(text), created=moment, expires=expires)])
    return text


def rotate_keys(file: Path, name: str, days: int | None = None, grace: timedelta = timedelta(0)) -> str:
    """Adds a key called `name` and returns its text; the older ones of that name expire after `grace`.

    Raises KeyFileError.
    """
    end = now() + grace
    with file_lock(_lock(file)):
        keys = [_ending(key, end) if key.name == name else key for key in read_keys(file)]
        _write(file, [key for key in keys if key.holds(now())])
    return add_key(file, name, days)


def revoke_keys(file: Path, name: str) -> int:
    """Deletes every key called `name`; returns how many. Raises KeyFileError."""
    with file_lock(_lock(file)):
        keys = read_keys(file)
        kept = [key for key in keys if key.name != name]
        if len(kept) < len(keys):
            _write(file, kept)
    return len(keys) - len(kept)


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def key_file(settings: Serving, home: Path) -> Path:
    """The key file: that of `serving: keys_file:`, else `keys.json` in home."""
    return home / (settings.keys_file or "keys.json")


def _ending(key: Key, end: datetime) -> Key:
    return key.model_copy(update={"expires": min(key.expires or end, end)})


def _lock(file: Path) -> Path:
    return file.with_name(f".{file.name}.lock")


def _write(file: Path, keys: list[Key]) -> None:
    replace_text(file, json.dumps([key.model_dump(mode="json") for key in keys], indent=2) + "\n")
    file.chmod(0o600)


class KeyRing:
    """The keys that a running server accepts; `look` reads the file again if it has changed."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self.trouble: str | None = None
        self._keys: dict[str, Key] = {}
        self._seen: tuple[int, int] | None = None
        self.look()

    def __len__(self) -> int:
        return len(self._keys)

    def look(self) -> None:
        """Reads the file again if it has changed. If it is not readable, the keys stay and `trouble` has the reason."""
        if self.file is None:
            return
        try:
            found = self.file.stat()
            seen = (found.st_mtime_ns, found.st_ino)
        except OSError:
            seen = None
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._keys = {key.sha256: key for key in read_keys(self.file)}
            self.trouble = None
        except KeyFileError as error:
            self.trouble = str(error)

    def name_of(self, text: str) -> str | None:
        """The name of the key with that text; None if it is not known or has expired."""
        key = self._keys.get(hashed(text))
        return key.name if key and key.holds(now()) else None
