"""Every declared covariate is in some input, or an error says which inputs were searched; reading one as a kind."""

from collections.abc import Mapping, Sequence

import polars as pl

TRUTH = {"true": "1", "false": "0"}


class MissingCovariateError(ValueError):
    """A covariate is declared that no input has; the message names it, the inputs searched and their columns."""


def require_covariates(
    declared: Sequence[str], kind: str, searched: Mapping[str, Sequence[str]], unmapped: Sequence[str] = ()
) -> None:
    """Raises MissingCovariateError for a name in `declared` that none of the inputs has.

    `kind`: static, known_future or past_only; `searched`: the mapped columns by input; `unmapped`: the columns seen
    that nothing maps, for the message.
    """
    found = {column for columns in searched.values() for column in columns}
    missing = [name for name in declared if name not in found]
    if missing:
        places = "; ".join(f"{table} has {', '.join(columns) or 'nothing'}" for table, columns in searched.items())
        raise MissingCovariateError(
            f"covariates.{kind}: no input has {', '.join(missing)}; map it under the columns of "
            f"{' or '.join(searched)}, or take it out. {places}; not mapped: {', '.join(unmapped) or 'nothing'}"
        )


def as_number(column: pl.Series) -> pl.Series:
    """The column as Float32, true and false as 1 and 0; null where its text is no number."""
    if column.dtype == pl.String:
        column = column.str.strip_chars().str.to_lowercase().replace(TRUTH)
    number = column.cast(pl.Float32, strict=False)
    return number.set(~number.is_finite().fill_null(True), None)


def as_text(column: pl.Series) -> pl.Series:
    """The column as text; a whole number without decimals, as it was written."""
    if not column.dtype.is_float():
        return column.cast(pl.String)
    whole = column.cast(pl.Int64, strict=False)
    return whole.cast(pl.String).zip_with((whole == column).fill_null(False), column.cast(pl.String))
