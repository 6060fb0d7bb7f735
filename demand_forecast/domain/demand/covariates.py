"""Every declared covariate is in some input, or an error says which inputs were searched."""

from collections.abc import Mapping, Sequence


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
