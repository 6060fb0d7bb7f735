"""`source:` or `sources:`, where the data comes from; what only one kind asks for, `sources/kinds` knows."""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator

from demand_forecast.settings.section import Encoding, Pattern, Section, Timezone


class Constant(Section):
    """A column that the source does not have and that is the same in every row."""

    value: str | float


ColumnMapping = dict[str, str | Constant]


class Input(Section):
    """One input of a source. `files` reads `path`; `sql` reads `table` or `query`.

    Its repr is hashed into `file_hash`: with another one every known file would be read again.
    """

    model_config = ConfigDict(extra="allow")

    path: str | None = None
    table: str | None = None
    query: str | None = None
    columns: ColumnMapping = {}
    delimiter: str = Field(",", pattern=r"^[\x01-\x7f]$")
    encoding: Encoding = "utf-8"
    fallback_encoding: Encoding = "cp1252"  # for a file that is not valid in `encoding`
    date_format: str | None = None  # strptime format; None: the unambiguous formats are recognised
    decimal: Literal[".", ","] = "."
    report: Pattern | None = None  # on the file name: files with one match are versions of one report


class Source(Section):
    """Where one retailer's data comes from. Other keys than these are for its kind to know."""

    model_config = ConfigDict(extra="allow")

    name: str | None = None
    renamed_from: str | None = None  # a source that this one took the place of: its days replace the other's
    kind: str = "files"
    timezone: Timezone | dict[str, Timezone] | None = None  # of moments with a zone; by store_id; None: automation's
    sales: Input | None = None
    products: Input | None = None
    stores: Input | None = None
    plan: list[Input] = []
    stock: Input | None = None

    @field_validator("plan", mode="before")
    @classmethod
    def one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, dict) else value

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Without the kind's own keys as long as it has not read them: any may hold a password."""
        return [(key, value) for key, value in super().__repr_args__() if key not in (self.model_extra or {})]
