"""What every section of the configuration is made of."""

import codecs
import difflib
import re
from collections.abc import Iterable
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class ConfigError(ValueError):
    """The configuration cannot be used; the message names the key, the file and the repair."""


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression ({error})") from None
    return text


def _encoding(name: str) -> str:
    try:
        codecs.lookup(name)
    except LookupError:
        raise ValueError(f"no encoding {name!r}; write for instance utf-8, cp1252, latin-1 or utf-16") from None
    return name


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        raise ValueError(f"no time zone {name!r}; write area and city, for instance Europe/Paris") from None
    return name


Pattern = Annotated[str, AfterValidator(_pattern)]
Encoding = Annotated[str, AfterValidator(_encoding)]
Timezone = Annotated[str, AfterValidator(_timezone)]
Cron = Annotated[str, Field(pattern=r"^\S+( \S+){4}$")]  # five fields; Dagster reads what is in them
Owner = Annotated[str, Field(pattern=r"^(team:.+|[^@\s]+@[^@\s]+)$")]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def at_most(section: Any, part: str, whole: str) -> Any:
    if getattr(section, part) > getattr(section, whole):
        raise ValueError(f"{part}: {getattr(section, part)} of {whole}: {getattr(section, whole)} can never be")
    return section


def unknown(what: str, name: object, known: Iterable[str], place: str = "") -> str:
    """The words for a name, at `place`, that nothing knows, with the nearest one that there is."""
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0)
    return (
        f"unknown {what} {place}{name}; did you mean {near[0] if near else 'nothing'}? Known here: {', '.join(names)}"
    )
