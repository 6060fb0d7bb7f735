"""One way to read identifiers and numbers from text, for sales, products, stores, plan and stock alike."""

from collections.abc import Callable, Hashable, Mapping
from typing import Literal, TypeVar

import polars as pl

Option = TypeVar("Option", bound=Hashable)
IdCase = Literal["keep", "upper", "lower"]


def identifier(text: pl.Expr, id_case: IdCase) -> pl.Expr:
    """The identifier (String) without surrounding space, in the configured case; null when nothing is left."""
    trimmed = strip_to_null(text)
    return {"keep": trimmed, "upper": trimmed.str.to_uppercase(), "lower": trimmed.str.to_lowercase()}[id_case]


def strip_to_null(text: pl.Expr) -> pl.Expr:
    """The text without surrounding space; null when nothing is left."""
    trimmed = text.str.strip_chars()
    return pl.when(trimmed != "").then(trimmed)


def number(text: pl.Expr, decimal: str = ".") -> pl.Expr:
    """The number (Float32) in each text, with `decimal` as its decimal mark; null where there is none.

    A thousands separator makes a text unreadable: "1.234" is another number in the next country. "NaN" and "inf", and
    what is too large for a float, come out as they are: not finite.
    """
    trimmed = text.str.strip_chars()
    if decimal == ",":
        trimmed = pl.when(~trimmed.str.contains(".", literal=True)).then(trimmed.str.replace(",", ".", literal=True))
    return trimmed.cast(pl.Float64, strict=False).cast(pl.Float32)


def by_source(read: Callable[[Option], pl.Expr], options: Mapping[str, Option], default: Option) -> pl.Expr:
    """`read(option)` of the option that each row's `source` has; `default` for a source without one."""
    expression = read(default)
    for option in sorted({*options.values()} - {default}, key=str):
        sources = [name for name, value in options.items() if value == option]
        expression = pl.when(pl.col("source").is_in(sources)).then(read(option)).otherwise(expression)
    return expression
