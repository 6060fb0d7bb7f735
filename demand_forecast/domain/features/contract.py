"""What a model may expect of a feature frame, kept beside every model and checked at fit and at predict."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
import polars as pl

from demand_forecast.domain.features.declaration import Feature, Kind, PanelInputs, declare
from demand_forecast.domain.tables import SERIES

KEYS = (*SERIES, "forecast_origin", "horizon", "date")
OUTCOME = ("units", "exposure", "weight", "training")
PANEL_COLUMNS = (
    *("series", "sellable", "evidence", "open", "product_units", "product_evidence", "open_usual", "similar", "trust"),
    *("trust_cycle", "pull", "pull_cycle", "first_sale", "on_sale", "listed", "announced", "start", "first", "rows"),
    *("any_sale", "units_shown", "squares_shown", "own_level", "price_planned"),
)
LIBRARIES = ("numpy", "polars")  # that compute features; those of a model are kept with the model


class ContractError(ValueError):
    """A frame or a table is not what features or a model need; the message names the column and the repair."""


@dataclass(frozen=True)
class Column:
    """One column of the feature frame. `category` columns hold codes: the place in the contract's `categories`."""

    name: str
    kind: Kind
    read_at: str
    category: bool
    model_input: bool
    reason: str = field(compare=False)


@dataclass(frozen=True)
class FeatureContract:
    """The columns of a feature frame in the order of the matrix, the texts behind category codes, and what made it."""

    inputs: PanelInputs
    horizon: int
    columns: tuple[Column, ...]
    categories: dict[str, tuple[str, ...]]
    versions: dict[str, str]

    @property
    def model_columns(self) -> list[str]:
        """The columns that models learn from."""
        return [column.name for column in self.columns if column.model_input]

    @property
    def category_columns(self) -> list[str]:
        return [column.name for column in self.columns if column.model_input and column.category]

    def features(self) -> tuple[Feature, ...]:
        """The declared features. Raises ContractError where this version of the software declares others."""
        declared = declare(self.inputs)
        if tuple(map(_column, declared)) != self.columns:
            differing = {column.name for column in self.columns} ^ {feature.name for feature in declared}
            named = ", ".join(sorted(differing)) or "the same names, computed otherwise"
            raise ContractError(
                f"features declared by this version differ from the contract ({named}); train the model again"
            )
        return declared

    def check(self, frame: pl.DataFrame) -> None:
        """Raises ContractError that names the first column missing, unexpected or of a wrong type, and the repair."""
        names = [column.name for column in self.columns if column.name != "horizon"]
        schema, known = frame.schema, {*names, *KEYS, *OUTCOME, "expected_open"}
        missing = [name for name in (*names, *KEYS, "expected_open") if name not in schema]
        unexpected = [name for name in schema if name not in known]
        wrong = [name for name in names if name in schema and not schema[name].is_numeric()]
        for found, problem in ((missing, "missing"), (unexpected, "unexpected"), (wrong, "not a number")):
            if found:
                raise ContractError(
                    f"feature frame: column {found[0]} is {problem} ({len(found)} in all); "
                    "build it with build_features and the model's own contract, or train the model again"
                )

    def matrix(self, frame: pl.DataFrame) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The model columns of `frame` as float32, rows x columns; NaN where not known, codes for categories."""
        known = [
            pl.when(pl.col(name) < len(self.categories[name])).then(name).alias(name)  # newer categories are not known
            for name in self.category_columns
        ]
        return frame.with_columns(known).select(pl.col(self.model_columns).cast(pl.Float32)).to_numpy(order="c")

    def reads(self, made_by: "FeatureContract") -> bool:
        """Whether frames of `made_by` are frames of this contract: the same columns, every known category its code."""
        return self.columns == made_by.columns and all(
            made_by.categories.get(name, ())[: len(texts)] == texts for name, texts in self.categories.items()
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "FeatureContract":
        """The contract that `to_json` wrote. Raises ContractError where the text is none."""
        try:
            content = json.loads(text)
            inputs: dict[str, Any] = {
                name: tuple(v) if isinstance(v, list) else v for name, v in content["inputs"].items()
            }
            return cls(
                inputs=PanelInputs(**inputs),
                horizon=content["horizon"],
                columns=tuple(Column(**column) for column in content["columns"]),
                categories={name: tuple(texts) for name, texts in content["categories"].items()},
                versions=content["versions"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ContractError(f"not a feature contract: {error!r}; train the model again") from error

    def to_markdown(self) -> str:
        """A table of the features: name, kind, where it is read, why."""
        rows = [f"| {c.name} | {c.kind} | {c.read_at} | {c.reason} |" for c in self.columns if c.model_input]
        return "\n".join(["| feature | kind | read at | why |", "|---|---|---|---|", *rows])


def make_contract(inputs: PanelInputs, horizon: int, categories: dict[str, tuple[str, ...]]) -> FeatureContract:
    """The contract of the features of a history with `inputs`.

    Raises ContractError where a covariate has the name of a feature or of a column that the builder uses.
    """
    columns = tuple(map(_column, declare(inputs)))
    taken = {*KEYS, *OUTCOME, "expected_open", *PANEL_COLUMNS}
    names = Counter(column.name for column in columns if column.read_at != "row")
    for name in (*inputs.static, *inputs.future, *inputs.past_only):
        if names[name] > 1 or name in taken:
            raise ContractError(
                f"covariates: {name}: the name is taken by a feature made anyway; map the column to another name"
            )
    return FeatureContract(inputs, horizon, columns, categories, {name: version(name) for name in LIBRARIES})


def _column(feature: Feature) -> Column:
    return Column(feature.name, feature.kind, feature.read_at, feature.category, feature.model_input, feature.reason)
