"""The sources of a configuration, each read as its kind is, under the names that their rows carry."""

import pkgutil
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from demand_forecast.settings import ConfigError, Input, Settings, Source, explain, unknown
from demand_forecast.sources import kinds
from demand_forecast.sources.errors import NoFileError, SourceError
from demand_forecast.sources.kind import KINDS, SourceKind

if TYPE_CHECKING:
    from demand_forecast.domain.cleaning.dates import DateReading
    from demand_forecast.sources.delivery import Delivery, Table
    from demand_forecast.sources.landing import Landing


class NamedInput(NamedTuple):
    """One input of a table: the name its rows carry, its source, and what is configured for it."""

    name: str
    source: SourceKind
    given: Input


def read_sources(settings: Settings) -> list[SourceKind]:
    """The configured sources, read by their kinds.

    Raises ConfigError with the key, the file and the nearest known key or kind.
    """
    return [
        _read(settings, f"sources.{number}" if settings.sources else "source", source)
        for number, source in enumerate(settings.all_sources)
    ]


def _read(settings: Settings, place: str, source: Source) -> SourceKind:
    kind = _kind_of(settings, place, source.kind)
    try:
        return kind.model_validate(source.model_dump(exclude_none=True), extra="forbid")
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(item, settings, place, source.kind) for item in error.errors())) from None


def _explain(error: Any, settings: Settings, place: str, kind: str) -> str:
    if error["type"] != "missing":
        return explain(error, settings.path, KINDS[kind], place)
    return f"{settings.path}: {place}: kind {kind} needs {'.'.join(map(str, error['loc']))}:"


def _kind_of(settings: Settings, place: str, name: str) -> type[SourceKind]:
    if name not in KINDS:
        for folder in pkgutil.iter_modules(kinds.__path__):
            import_module(f"{kinds.__name__}.{folder.name}")
    if name not in KINDS:
        raise ConfigError(f"{settings.path}: {place}.kind: {unknown('kind of source', name, KINDS)}")
    return KINDS[name]


def named_sources(settings: Settings) -> list[tuple[str, SourceKind]]:
    """The sources with the names their rows carry: `name`, else the kind, numbered from the second.

    Raises ConfigError for a source that its kind cannot read, SourceError where two have one name.
    """
    named: dict[str, SourceKind] = {}
    for source in read_sources(settings):
        before = sum(other.kind == source.kind and other.name is None for other in named.values())
        name = source.name or (source.kind if not before else f"{source.kind}-{before + 1}")
        if name in named:
            raise SourceError(f"{settings.path}: two sources are named {name}; give each its own name:")
        named[name] = source
    return list(named.items())


def named_inputs(settings: Settings, table: "Table") -> list[NamedInput]:
    """Every input of `table` with the name its rows carry; a source's second input is `name#2`.

    Raises ConfigError and SourceError, as `named_sources` does.
    """
    return [
        NamedInput(name if number == 1 else f"{name}#{number}", source, given)
        for name, source in named_sources(settings)
        for number, given in enumerate(source.inputs(table), start=1)
    ]


def deliveries(
    settings: Settings,
    table: "Table",
    landing: "Landing",
    held: Collection[str] = (),
    inputs: Iterable[NamedInput] | None = None,
) -> "Iterator[Delivery]":
    """Every file and table of `table` (of these `inputs` of it); none is opened.

    Raises NoFileError where a source has no file, unless it is among those `held`: owners empty their folders. Raises
    SourceError where the configuration cannot be followed.
    """
    for name, source, given in named_inputs(settings, table) if inputs is None else inputs:
        try:
            found = source.deliveries(settings, name, table, given, landing)
            yield from (replace(one, dates=source.dates(settings, given)) for one in found)
        except NoFileError as error:
            if name not in held:
                raise
            landing.left[name] = str(error)


def date_readings(settings: Settings, table: "Table" = "sales") -> dict[str, "DateReading"]:
    """For each name in the `source` column of raw_<table> how its dates are read."""
    return {name: source.dates(settings, given) for name, source, given in named_inputs(settings, table)}


def decimals(settings: Settings, table: "Table" = "sales") -> dict[str, str]:
    """For each name in the `source` column of raw_<table> the decimal mark, `.` or `,`."""
    return {name: given.decimal for name, _, given in named_inputs(settings, table)}
