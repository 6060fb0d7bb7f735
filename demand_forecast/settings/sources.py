"""Where the data comes from: `source:` or `sources:`."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from demand_forecast.settings.section import Encoding, Pattern, Section


class Constant(Section):
    """A column that the source does not have and that is the same in every row."""

    value: str | float


ColumnMapping = dict[str, str | Constant]


class Input(Section):
    """One input of a source. `files` reads `path`; `sql` reads `table` or `query`."""

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
    """Where one retailer's data comes from: `files`, a `sql` database, or the `m5` folder layout."""

    name: str | None = None
    kind: Literal["files", "sql", "m5"] = "files"
    url: str | None = Field(default=None, repr=False)  # may hold a password
    path: str | None = None  # kind m5: the folder
    sales: Input | None = None
    products: Input | None = None
    stores: Input | None = None
    plan: list[Input] = []
    stock: Input | None = None

    @field_validator("plan", mode="before")
    @classmethod
    def one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, dict) else value

    @model_validator(mode="after")
    def complete(self) -> Self:
        required = {"files": ["sales"], "sql": ["url", "sales"], "m5": ["path"]}[self.kind]
        for key in required:
            if getattr(self, key) is None:
                raise ValueError(f"kind {self.kind} needs {key}:")
        return self
