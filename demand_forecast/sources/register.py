"""The register of sources: by which name raw_sales has each, whatever the configuration calls it today."""

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import count
from typing import NamedTuple

import polars as pl

from demand_forecast.domain.cleaning.dates import DateReading
from demand_forecast.settings import Settings
from demand_forecast.sources.configured import NamedInput, named_inputs
from demand_forecast.sources.kind import date_reading


class KnownSource(NamedTuple):
    """One source of sales, of today or of once.

    `source`: its name in raw_sales, which never changes; `name` and `place`: what the configuration last called it and
    where it said that the sales lie; `replaces`: the source that it took the place of; then how its texts are read.
    """

    source: str
    name: str
    place: str
    replaces: str | None
    date_format: str | None
    decimal: str


Register = Sequence[KnownSource]
REGISTER = dict.fromkeys(KnownSource._fields, pl.String())


class Standing(NamedTuple):
    """How the sources in raw_sales stand to each other.

    `families`: sources that are one, the first of a family counting on each day that it has; `orphans`: those that are
    not configured any more, nor is another of their family; `withdrawn`: those of them that do not count.
    """

    families: tuple[tuple[str, ...], ...]
    orphans: tuple[str, ...]
    withdrawn: tuple[str, ...]

    @property
    def counting(self) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
        """What decides which rows count."""
        return self.families, self.withdrawn


def recognised(settings: Settings, register: Register) -> dict[str, str]:
    """By configured name, the name in raw_sales of each source that reads a place that is known, whatever it is called.

    Of several that read one place, those whose name is known too come first.
    """
    free, found = {one.source: one for one in register}, {}
    inputs = named_inputs(settings, "sales")
    alike: tuple[Callable[[KnownSource, NamedInput], bool], ...] = (
        lambda known, one: (known.name, known.place) == (one.name, place_of(one)),
        lambda known, one: known.place == place_of(one),
    )
    for same in alike:
        for one in inputs:
            known = next((known for known in free.values() if one.name not in found and same(known, one)), None)
            if known:
                found[one.name] = free.pop(known.source).source
    return found


def place_of(one: NamedInput) -> str:
    return one.source.place(one.given)


def as_held(settings: Settings, register: Register) -> Settings:
    """`settings` with every source under the name that raw_sales has it by. One at a place that is not known goes by
    the name that raw_sales has for what was called like it, else by a free one, until it is settled what it is.
    """
    found = recognised(settings, register)
    replaced = {one.replaces for one in register}
    called = {one.name: one.source for one in register if one.source not in (*found.values(), *replaced)}
    taken, names = {one.source for one in register}, []
    for one in named_inputs(settings, "sales"):
        names.append(found.get(one.name) or called.get(one.name) or free_name(one.name, taken))
        taken.add(names[-1])
    sources = [
        source.model_copy(update={"name": name}) for source, name in zip(settings.all_sources, names, strict=True)
    ]
    return settings.model_copy(update={"source": sources[0]} if settings.source else {"sources": sources})


def free_name(name: str, taken: Collection[str]) -> str:
    return next(one for number in count(1) if (one := name if number == 1 else f"{name}-{number}") not in taken)


def standing(settings: Settings, register: Register) -> Standing:
    """How the registered sources stand to each other, as these settings have them."""
    configured = {*recognised(settings, register).values()}
    families = [*_families(register)]
    orphans = [name for family in families if configured.isdisjoint(family) for name in family]
    names = {one.source: one.name for one in register}
    asked = settings.removed_sources
    withdrawn = [name for name in orphans if "withdrawn" in (asked.get(name), asked.get(names[name]))]
    ranked = [tuple(sorted(family, key=lambda name: name not in configured)) for family in families if len(family) > 1]
    return Standing(tuple(ranked), tuple(orphans), tuple(withdrawn))


def _families(register: Register) -> Iterator[list[str]]:
    """The sources that replaced each other, the newest first."""
    family = {one.source: {one.source} for one in register}
    for one in register:
        if one.replaces in family:
            merged = family[one.source] | family[one.replaces]
            family |= dict.fromkeys(merged, merged)
    for names in {id(members): members for members in family.values()}.values():
        yield [one.source for one in reversed(register) if one.source in names]


def readings(settings: Settings, register: Register) -> tuple[dict[str, DateReading], dict[str, str]]:
    """How dates and decimal marks are read, by name in raw_sales; of a source that is gone, as it was read last."""
    held = named_inputs(as_held(settings, register), "sales")
    now = {one.name: (one.source.dates(settings, one.given), one.given.decimal) for one in held}
    gone = {one.source: (date_reading(settings, one.date_format, None), one.decimal) for one in register}
    read = gone | now
    return {name: how[0] for name, how in read.items()}, {name: how[1] for name, how in read.items()}
