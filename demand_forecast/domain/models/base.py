"""What every model can do: learn from a feature frame, forecast from one, be saved and loaded.

A family is a subclass with a `name`: defining it registers it, and the package imports every module of its folder.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from demand_forecast.domain.features import FeatureContract
from demand_forecast.domain.models.distribution import POISSON, Floats, fit_dispersion
from demand_forecast.domain.models.proof import CORRELATION, Proof
from demand_forecast.domain.models.spread import Irregularity, Spread
from demand_forecast.domain.tables import FORECAST_NUMBERS, series_key

MODEL_FILE = "model.json"
ROW_ORDER = (*series_key(), "forecast_origin", "horizon")


class ModelError(ValueError):
    """A model cannot be trained, used or loaded; the message names it and the repair."""


class ForecastModel(ABC):
    """One model. Its parameters are set when it is made, everything else when it is fitted.

    A family is made by `Family(seed=…, threads=…)`: `threads` 0 means as many as the machine has.
    """

    name: ClassVar[str]  # in settings, tables, the asset graph and the registry
    title: ClassVar[str]  # for readers; the name in words where a family gives none
    text: ClassVar[str]  # one sentence for the asset graph
    libraries: ClassVar[tuple[str, ...]]  # distributions that it needs, the learner's first; imported where used
    by_default: ClassVar[bool] = False  # whether it is a candidate where the settings name none
    aligned: ClassVar[bool] = False  # whether its means may be moved towards the forecasts of groups

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "name" in vars(cls):
            _register(cls)

    @classmethod
    def members(cls) -> tuple[str, ...]:
        """The families that it is made of, none for most."""
        return ()

    @classmethod
    def missing(cls) -> list[str]:
        """The libraries that it needs and that are not installed here. Imports none of them."""
        return [library for library in cls.libraries if _version(library) is None]

    def __init__(self, **parameters: Any) -> None:
        self.parameters = parameters
        self.proof: Proof | None = None  # what its backtest taught, where it was loaded
        self._contract: FeatureContract | None = None
        self._expected: tuple[pl.DataFrame, Floats] | None = None

    @property
    def is_fitted(self) -> bool:
        return self._contract is not None

    @property
    def contract(self) -> FeatureContract:
        """The contract the model was fitted with. Raises ModelError before `fit`."""
        if self._contract is None:
            raise ModelError(
                f"{self.name} is not fitted: call fit(rows, contract), or load one with load_model(folder)"
            )
        return self._contract

    def adopt(self, fitted: Mapping[str, "ForecastModel"]) -> Self:  # noqa: ARG002
        """Takes its members from `fitted`: models by family name, fitted on the rows that `fit` will get."""
        return self

    def fit(self, rows: pl.DataFrame, contract: FeatureContract) -> Self:
        """Learns from `rows`, a feature frame with `units`, their `exposure` and a `weight`, both above zero; their
        order does not matter.

        Without a row it forecasts what it knows unlearned. Raises ContractError where `rows` is not what `contract`
        says.
        """
        contract.check(rows)
        self._contract, self._expected = contract, None
        self._learn(rows.sort(ROW_ORDER))
        return self

    def forecast(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The forecast of every row of a feature frame: `distribution` around `expected`. Raises as `expected`."""
        return self.distribution(rows, self.expected(rows))

    def expected(self, rows: pl.DataFrame) -> Floats:
        """Expected units of every row of a feature frame, shape (rows,); zero where the shop is expected closed.

        Raises ContractError where `rows` is not what the model's contract says, ModelError before `fit`.
        """
        if self._expected is None or self._expected[0] is not rows:  # an ensemble and its members get the same frame
            self.contract.check(rows)
            self._expected = rows, self._mean(rows, column(rows, "expected_open"))
        return self._expected[1]

    def distribution(self, rows: pl.DataFrame, mean: Floats) -> pl.DataFrame:
        """The forecast of every row, in its order, around `mean`: `store_id, product_id, date, forecast_origin,
        horizon, mean, q10 … q90, variance, correlation, model`.
        """
        values = np.column_stack([mean, *self._spread(rows, mean), self._correlation(rows)]).astype(np.float32)
        keys = rows.select(*series_key(), "date", "forecast_origin", pl.col("horizon").cast(pl.Int32))
        frame = pl.DataFrame(values, schema=[*FORECAST_NUMBERS])
        return pl.concat([keys, frame], how="horizontal").with_columns(model=pl.lit(self.name))

    def probabilities(self, rows: pl.DataFrame, mean: Floats) -> pl.DataFrame:
        """`pit_low` and `pit_high` of every row: the probabilities, as forecast around `mean` for the time that goods
        were there, of less than the row's `units` and of at most them. Null where nothing was expected and nothing
        sold: that says nothing about a distribution.
        """
        units, expected = column(rows, "units"), mean * exposure(rows)
        low, high = self._probabilities(rows, expected, units)
        sold = np.where(units > 0, 1.0, np.nan)[:, None]  # of no demand: less than any sale
        bounds = np.where(expected[:, None] > 0, np.column_stack([low, high]), sold)
        frame = pl.DataFrame(bounds.astype(np.float32), schema=["pit_low", "pit_high"])
        return frame.fill_nan(None)

    def importance(self) -> pl.DataFrame | None:
        """`feature`, `gain` (share of the whole), largest first; None where the model has none."""
        return None

    def save(self, folder: Path) -> None:
        """Writes the model into `folder` in native formats: no pickle. Raises ModelError before `fit`."""
        folder.mkdir(parents=True, exist_ok=True)
        content = {"name": self.name, "parameters": self.parameters, **self._fitted(folder)}
        content["libraries"] = {library: _version(library) for library in self.libraries}
        content["contract"] = json.loads(self.contract.to_json())
        (folder / MODEL_FILE).write_text(json.dumps(content, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The model that `save` wrote. Raises ModelError where `folder` holds none of this kind."""
        content = read_description(folder)
        if content["name"] != cls.name:
            raise ModelError(f"{folder}: holds a {content['name']} model, not {cls.name}; use load_model(folder)")
        model = cls(**content["parameters"])
        model._contract = FeatureContract.from_json(json.dumps(content["contract"]))
        model._restore(content, folder)
        return model.proven(Proof.read(folder))

    def proven(self, proof: Proof | None) -> Self:
        """The same model with what its backtest taught."""
        self.proof = proof
        return self

    def _correlation(self, rows: pl.DataFrame) -> Floats:
        """Between the errors of a series' days, shape (rows,)."""
        learned = self.proof.correlation if self.proof else None
        return np.full(len(rows), CORRELATION) if learned is None else np.array(learned)[Irregularity.of(rows).kind]

    @abstractmethod
    def _learn(self, rows: pl.DataFrame) -> None: ...

    @abstractmethod
    def _mean(self, rows: pl.DataFrame, expected_open: Floats) -> Floats:
        """Expected units, shape (rows,)."""

    @abstractmethod
    def _spread(self, rows: pl.DataFrame, mean: Floats) -> tuple[Floats, Floats]:
        """Quantiles around `mean`, shape (rows, 9), and variance, shape (rows,)."""

    @abstractmethod
    def _probabilities(self, rows: pl.DataFrame, mean: Floats, units: Floats) -> tuple[Floats, Floats]:
        """Probability of less than `units`, and of at most `units`, shape (rows,) each."""

    @abstractmethod
    def _fitted(self, folder: Path) -> dict[str, Any]:
        """What was learned, as JSON; what JSON cannot hold goes into `folder` in the learner's own format."""

    @abstractmethod
    def _restore(self, content: dict[str, Any], folder: Path) -> None:
        """Restores what `_fitted` returned and wrote."""


FAMILIES: dict[str, type[ForecastModel]] = {}


def _register(family: type[ForecastModel]) -> None:
    absent = [attribute for attribute in ("text", "libraries") if not hasattr(family, attribute)]
    if absent:
        raise ModelError(f"{family.__module__}: model family {family.name} has no {absent[0]}: give the class one")
    other = FAMILIES.setdefault(family.name, family)
    if other is not family:
        raise ModelError(f"{family.__module__}: {other.__module__} has a model family {family.name} too: rename one")
    family.title = vars(family).get("title", family.name.replace("_", " "))


class SpreadModel(ForecastModel):
    """A model of the mean with a distribution around it that is learned from errors: from those on the rows that it was
    trained on, until a backtest has shown those on rows that it had not seen.
    """

    aligned: ClassVar[bool] = True
    spread: Spread

    def proven(self, proof: Proof | None) -> Self:
        if proof is not None and proof.spread is not None:
            self.spread = proof.spread
        return super().proven(proof)

    def _spread(self, rows: pl.DataFrame, mean: Floats) -> tuple[Floats, Floats]:
        about = Irregularity.of(rows)
        return self.spread.quantiles(mean, about), self.spread.variance(mean, about)

    def _probabilities(self, rows: pl.DataFrame, mean: Floats, units: Floats) -> tuple[Floats, Floats]:
        return self.spread.probabilities(mean, Irregularity.of(rows), units)


class LevelModel(SpreadModel):
    """A model of demand relative to the series' base level."""

    averaged: ClassVar[bool] = False  # whether the ensemble takes it
    learner_file: ClassVar[str]  # what it learned, in the learner's own format
    _typical: dict[str, float]

    def _learn(self, rows: pl.DataFrame) -> None:
        if rows.is_empty():
            self._learn_nothing()
            return
        matrix, level = self.contract.matrix(rows), column(rows, "base_level") * exposure(rows)
        self._typical = self._always_known(matrix)
        units, weight, about = column(rows, "units"), column(rows, "weight"), Irregularity.of(rows)
        # a loss with a logarithm needs something sold somewhere: 1e-9 units change no forecast
        self._train(matrix, np.maximum(units, 1e-9), level, weight * _evidence(about))
        mean = self._ratio(matrix) * level
        # a row was drawn with a chance of 1 / weight^2: so weighted, every series and day counts the same
        self.spread = Spread.everywhere(fit_dispersion(mean, units, about.ratio, weight**2))

    def _learn_nothing(self) -> None:
        """From one made-up row that sold its level: a history of a few days is forecast at its level."""
        unknown = np.full((1, len(self.contract.model_columns)), np.nan, np.float32)
        self._train(unknown, np.ones(1), np.ones(1), np.ones(1))
        self._typical, self.spread = {}, Spread.everywhere(POISSON)

    def _mean(self, rows: pl.DataFrame, expected_open: Floats) -> Floats:
        matrix = self.contract.matrix(rows)
        for name, value in self._typical.items():
            values = matrix[:, self.contract.model_columns.index(name)]
            values[np.isnan(values)] = value
        return self._ratio(matrix) * column(rows, "base_level") * expected_open

    def _always_known(self, matrix: Any) -> dict[str, float]:
        """The median of each column of the plan that no row is without: one that ends is as usual, where a tree that
        saw no unknown value would take it as 0.
        """
        inputs, places = self.contract.inputs, self.contract.model_columns
        planned = {name: matrix[:, places.index(name)] for name in (*inputs.future_number, *inputs.future_dense)}
        return {name: float(np.median(values)) for name, values in planned.items() if not np.isnan(values).any()}

    def _fitted(self, folder: Path) -> dict[str, Any]:
        self._save_learner(folder / self.learner_file)
        return {"spread": asdict(self.spread), "typical": self._typical}

    def _restore(self, content: dict[str, Any], folder: Path) -> None:
        self.spread = Spread.from_dict(content["spread"])
        self._typical = content.get("typical", {})
        file = folder / self.learner_file
        if not file.is_file():
            raise ModelError(f"{file}: missing; train and register the model again")
        self._load_learner(file)

    @abstractmethod
    def _train(self, matrix: Any, units: Floats, level: Floats, weight: Floats) -> None:
        """`level`: the base level in the time in which the units could be sold, shape (rows,)."""

    @abstractmethod
    def _ratio(self, matrix: Any) -> Floats:
        """Expected units over base level, by row of the matrix."""

    @abstractmethod
    def _save_learner(self, file: Path) -> None: ...

    @abstractmethod
    def _load_learner(self, file: Path) -> None: ...


def _evidence(about: Irregularity) -> Floats:
    """What a unit of each row says, of series that seldom sell, against one of a usual series, 0..1; shape (rows,).

    Quasi-likelihood: where ten are sold at once, a unit is a tenth of a sale (McCullagh & Nelder 1989, Generalized
    Linear Models, 2nd ed., ch. 9). Not of series that sell often: much of what these vary by is there to be learned.
    """
    ratio = np.where(np.isfinite(about.ratio), about.ratio, 1.0)
    return np.where(about.seldom, 1 / np.maximum(ratio / max(float(np.median(ratio)), 1.0), 1.0), 1.0)


def smallest_leaf(units: Floats) -> tuple[int, float]:
    """The least rows of a tree's leaf, and the units expected in so many rows on average (`units`, weighted, shape
    (rows,)): as a penalty on the square of what a leaf adds it draws a leaf with few units towards adding nothing.
    Without it a large sale among tiny series makes a Newton step that overflows, and rare sales are learned by heart:
    their series are forecast too low on all other days.
    """
    leaf = int(np.clip(len(units) // 200, 1, 100))
    return leaf, leaf * float(np.mean(units))


def column(rows: pl.DataFrame, name: str) -> Floats:
    """A column as float64, NaN where null."""
    return rows[name].cast(pl.Float64).to_numpy()


def exposure(rows: pl.DataFrame) -> Floats:
    """The share of the time in which the units of each row could be sold, shape (rows,)."""
    return column(rows, "exposure")


def read_description(folder: Path) -> dict[str, Any]:
    """`model.json` of a saved model. Raises ModelError where there is none."""
    file = folder / MODEL_FILE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file}: not a saved model: {error}; train and register one") from error
    if not isinstance(content, dict) or not {"name", "parameters", "contract"} <= content.keys():
        raise ModelError(f"{file}: not a saved model: name, parameters or contract is missing; train and register one")
    return content


def contract_in(folder: Path) -> FeatureContract:
    """The contract of a saved model. Raises ModelError where there is none, ContractError where it cannot be read."""
    return FeatureContract.from_json(json.dumps(read_description(folder)["contract"]))


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
