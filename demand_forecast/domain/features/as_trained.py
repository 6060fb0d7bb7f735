"""The tables of a night read as models know them: every covariate is of the kind that it was trained as."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from demand_forecast.domain.demand.calendar import Frequency
from demand_forecast.domain.demand.covariates import as_number, as_text
from demand_forecast.domain.features.contract import ContractError, FeatureContract
from demand_forecast.domain.features.declaration import PanelInputs
from demand_forecast.domain.features.history import History, build_history
from demand_forecast.settings import Covariates

CovariateKind = Literal["category", "number", "binary"]
SHOWN = 3  # values that a line names


@dataclass(frozen=True)
class AsTrained:
    """daily_demand and the clean tables as models with `inputs` know them, the covariates in them, and in `unfamiliar`
    a line for everything that is read otherwise than it stands.
    """

    demand: pl.DataFrame
    plan: pl.DataFrame
    products: pl.DataFrame
    stores: pl.DataFrame
    covariates: Covariates
    inputs: PanelInputs
    unfamiliar: tuple[str, ...]

    def history(self, stock: pl.DataFrame | None = None, **reading: Any) -> History:
        """What `build_history` makes of these tables, with its other arguments. Raises as it does."""
        tables = self.demand, self.plan, self.products, self.stores, stock
        return build_history(*tables, covariates=self.covariates, inputs=self.inputs, **reading)


def as_trained(
    demand: pl.DataFrame,
    plan: pl.DataFrame,
    products: pl.DataFrame,
    stores: pl.DataFrame,
    *,
    covariates: Covariates,
    inputs: PanelInputs,
) -> AsTrained:
    """The tables with each covariate as models with `inputs` know it, whatever its values look like tonight.

    Text in a number is unknown (null), a number in a category is its text, a binary is cut to 0..1: a 2 is on. A
    declared covariate that no table has is unknown. One that models do not know is left to the next training. Raises
    ContractError for a covariate that is not declared any more.
    """
    _still_declared(inputs, covariates)
    fixed, ahead, past = (_kinds(inputs, names) for names in (inputs.static, inputs.future, inputs.past_only))
    ahead |= {"price": "number"} if inputs.price == "known_future" else {}
    lacking = {name: kind for name, kind in fixed.items() if name not in stores.columns}
    read = [
        _read("daily_demand", demand, past, past),
        _read("clean_plan", plan, ahead, ahead),
        _read("clean_products", products, fixed, lacking),
        _read("clean_stores", stores, fixed, {}),
    ]
    demand, plan, products, stores = (frame for frame, _ in read)
    lines = [line for _, told in read for line in told]
    known = Covariates(static=list(inputs.static), known_future=list(inputs.future), past_only=list(inputs.past_only))
    return AsTrained(demand, plan, products, stores, known, inputs, (*lines, *_new_covariates(inputs, covariates)))


def obstacle(contract: FeatureContract, covariates: Covariates, frequency: Frequency, horizon: int) -> str | None:
    """Why models of `contract` cannot forecast what is configured: they read what is not there any more, or were
    trained for other periods, or for fewer; None where they can.
    """
    gone = sorted(_known(contract.inputs) - _declared(covariates))
    if contract.inputs.frequency != frequency:
        return f"it was trained on {contract.inputs.frequency} demand, which is {frequency} now"
    if contract.horizon < horizon:
        return f"it was trained and proven for {contract.horizon} periods ahead, {horizon} are asked for now"
    if gone:
        return f"covariate {gone[0]} is not declared any more"
    try:
        contract.features()
    except ContractError as error:
        return str(error)
    return None


def undeclared_then(contract: FeatureContract, covariates: Covariates) -> list[str]:
    """The covariates that are declared and that models of `contract` do not read: they were declared later."""
    return sorted(_declared(covariates) - _known(contract.inputs))


def plan_as_trained(plan: pl.DataFrame, inputs: PanelInputs) -> pl.DataFrame:
    """clean_plan alone, as `as_trained` reads it."""
    return _read("clean_plan", plan, _kinds(inputs, inputs.future), {})[0]


def unseen(contract: FeatureContract, previous: FeatureContract) -> Iterator[str]:
    """A line for each category of `contract` with texts that models of `previous` have not seen."""
    for name, texts in contract.categories.items():
        new = texts[len(previous.categories.get(name, ())) :]
        if new:
            yield f"unseen by the models: {name} {_named(new, len(new))}"


def _declared(covariates: Covariates) -> set[str]:
    return {*covariates.static, *covariates.known_future, *covariates.past_only} - {"price", "open"}


def _known(inputs: PanelInputs) -> set[str]:
    return {*inputs.static, *inputs.future, *inputs.past_only}


def _still_declared(inputs: PanelInputs, covariates: Covariates) -> None:
    gone = sorted(_known(inputs) - _declared(covariates))
    if gone:
        raise ContractError(
            f"covariate {gone[0]} is not declared, the model was trained with it; "
            "declare it under covariates: again, or train the model again"
        )


def _new_covariates(inputs: PanelInputs, covariates: Covariates) -> list[str]:
    new = sorted(_declared(covariates) - _known(inputs))
    return [f"covariates: {name} was declared after the last training, it counts from the next one on" for name in new]


def _kinds(inputs: PanelInputs, names: tuple[str, ...]) -> dict[str, CovariateKind]:
    categories, binary = {*inputs.static_category, *inputs.future_category}, {*inputs.future_binary}
    return {name: "category" if name in categories else "binary" if name in binary else "number" for name in names}


def _read(
    table: str, frame: pl.DataFrame, kinds: dict[str, CovariateKind], wanted: dict[str, CovariateKind]
) -> tuple[pl.DataFrame, list[str]]:
    """`frame` with its columns among `kinds` read as these and those of `wanted` that it lacks unknown; the lines."""
    missing = [name for name in wanted if name not in frame.columns]
    whole = frame.with_columns(pl.lit(None, pl.Float32).alias(name) for name in missing)
    present = [name for name in kinds if name in whole.columns]
    read = whole.with_columns(_as(kinds[name], whole[name]) for name in present)
    lines = [f"{table}: no column {name} tonight, its values are unknown" for name in missing]
    others = (_otherwise(f"{table}: {name}", whole[name], read[name]) for name in present if kinds[name] != "category")
    return read, [*lines, *(line for line in others if line)]


def _as(kind: CovariateKind, column: pl.Series) -> pl.Series:
    if kind == "category":
        return as_text(column)
    return as_number(column).clip(0, 1) if kind == "binary" else as_number(column)


def _otherwise(place: str, stands: pl.Series, read: pl.Series) -> str | None:
    """The line for a number or binary with values that are not read as they stand."""
    if stands.dtype == pl.String:
        lost = stands.filter(stands.is_not_null() & read.is_null())
        return f"{place}: {_named(lost.unique().sort(), len(lost))} is no number, unknown" if len(lost) else None
    cut = stands.filter(stands.cast(pl.Float64) != read.cast(pl.Float64))
    return f"{place}: {_named(as_text(cut).unique().sort(), len(cut))} is read as 0 or 1" if len(cut) else None


def _named(values: Sequence[str] | pl.Series, count: int) -> str:
    """Some of the texts, and how many rows (or texts) there are where that is more."""
    shown = ", ".join(map(repr, values[:SHOWN]))
    return shown if count <= min(len(values), SHOWN) else f"{shown} ({count:,} in all)"
