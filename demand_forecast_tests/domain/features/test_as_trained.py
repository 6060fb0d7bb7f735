"""Nights whose tables look otherwise than those that models were trained on: rows are as the models know them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from demand_forecast.domain.features import ContractError, ForecastFeatures, declaration, obstacle, undeclared_then
from demand_forecast.domain.features import contract as contracts
from demand_forecast.domain.models import ForecastModel, create
from demand_forecast.domain.models.training_rows import training_rows
from demand_forecast.settings import Covariates
from demand_forecast_tests.domain.small_retailer import Retailer, make_retailer

WHOLE = make_retailer(days=200, products=3)
SOON = WHOLE.last_day + timedelta(days=3)


def with_temperature(retailer: Retailer) -> Retailer:
    """The retailer with a temperature of every day in its plan."""
    days = retailer.plan["date"].unique().sort()
    degrees = pl.DataFrame({"date": days, "temperature": pl.Series(range(len(days)), dtype=pl.Float32) / 10})
    plan = pl.concat([retailer.plan, degrees], how="diagonal")
    return replace(
        retailer,
        plan=plan,
        covariates=retailer.covariates.model_copy(update={"known_future": ["promo", "event", "temperature"]}),
    )


BASE = with_temperature(WHOLE)


@pytest.fixture(scope="module")
def trained() -> ForecastModel:
    features, contract = BASE.features([BASE.last_day])
    return create("lightgbm", threads=1).fit(training_rows(features, BASE.last_day), contract)


def planning(retailer: Retailer, **values: object) -> Retailer:
    """With these values in the plan of SOON for every shop and product."""
    row = pl.DataFrame({"date": [SOON], **{name: [value] for name, value in values.items()}})
    other = {name: row.schema[name] for name in values if row.schema[name] != retailer.plan.schema[name]}
    as_text = [pl.col(name).cast(pl.String) for name, kind in other.items() if kind == pl.String]
    plan = pl.concat([retailer.plan.with_columns(as_text), row], how="diagonal_relaxed")
    return replace(retailer, plan=plan)


def coded() -> Retailer:
    """Departments that are all digits tonight."""
    numbers = BASE.products["department"].str.strip_prefix("D").cast(pl.Float32)
    return replace(BASE, products=BASE.products.with_columns(numbers.alias("department")))


def without(table: str, column: str) -> Retailer:
    return replace(BASE, **{table: getattr(BASE, table).drop(column)})


NIGHTS: dict[str, tuple[Callable[[], Retailer], str]] = {
    "a 2 where 0 and 1 stood": (lambda: planning(BASE, promo=2.0), "clean_plan: promo: '2' is read as 0 or 1"),
    "text in a number": (
        lambda: planning(BASE, temperature="n/a"),
        "clean_plan: temperature: 'n/a' is no number, unknown",
    ),
    "a number of whole columns is text": (
        lambda: replace(BASE, stores=BASE.stores.with_columns(size=pl.Series(["100", "big"]))),
        "clean_stores: size: 'big' is no number, unknown",
    ),
    "a new category": (lambda: planning(BASE, event="circus"), "unseen by the models: event 'circus'"),
    "a category of digits": (coded, "unseen by the models: department '0', '1'"),
    "no column in the plan": (lambda: without("plan", "event"), "clean_plan: no column event tonight"),
    "no column of products": (lambda: without("products", "department"), "clean_products: no column department"),
    "no column of days": (lambda: without("demand", "visitors"), "daily_demand: no column visitors tonight"),
    "no plan for a flag": (
        lambda: replace(BASE, plan=BASE.plan.with_columns(promo=pl.lit(None, pl.Float32))),
        "",
    ),
    "no price in the plan": (lambda: without("plan", "price"), "clean_plan: no column price tonight"),
    "a covariate declared since": (
        lambda: replace(
            BASE,
            plan=BASE.plan.with_columns(wind=pl.lit(1.0)),
            covariates=BASE.covariates.model_copy(update={"known_future": ["promo", "event", "temperature", "wind"]}),
        ),
        "covariates: wind was declared after the last training",
    ),
}


def check(night: Retailer, model: ForecastModel, said: str) -> ForecastFeatures:
    made = night.ahead(model.contract)
    series = night.demand.select("store_id", "product_id").n_unique()
    assert len(made.rows) == series * night.horizon
    assert np.isfinite(model.expected(made.rows)).all()
    assert np.isfinite(model.expected(made.new_products)).all()
    assert any(said in line for line in made.unfamiliar) if said else not made.unfamiliar, made.unfamiliar
    return made


@pytest.mark.parametrize("what", NIGHTS)
def test_the_night_is_forecast_and_says_what_is_new(trained: ForecastModel, what: str) -> None:
    make, said = NIGHTS[what]
    check(make(), trained, said)


def test_a_usual_night_says_nothing_and_its_rows_are_those_of_the_training(trained: ForecastModel) -> None:
    made = check(BASE, trained, "")
    features, _ = BASE.features([BASE.last_day], previous=trained.contract)
    assert made.rows.equals(features.filter(~pl.col("training")))
    assert made.contract == trained.contract


def test_a_2_is_on_and_no_number_is_unknown(trained: ForecastModel) -> None:
    rows = check(planning(BASE, promo=2.0, temperature="n/a"), trained, "'n/a'").rows
    on = planning(BASE, promo=1.0)
    columns = [name for name in rows.columns if name != "temperature"]
    expected = on.ahead(trained.contract).rows
    assert rows.select(columns).equals(expected.select(columns))
    assert rows["temperature"].equals(expected["temperature"])  # the mean of the day's rows that say something


def test_digits_are_the_categories_they_were(trained: ForecastModel) -> None:
    words = replace(BASE, products=BASE.products.with_columns(department=pl.Series(["7", "8", "x"])))
    _, contract = words.features([words.last_day])
    tonight = replace(words, products=words.products.with_columns(department=pl.Series([7.0, 8.0, 7.0])))
    made = tonight.ahead(contract)
    assert set(made.rows["department"]) == {0, 1}
    assert not made.unfamiliar


def test_a_second_shop_is_unseen_by_a_model_of_one() -> None:
    south = replace(
        BASE,
        demand=BASE.demand.filter(pl.col("store_id") == "South"),
        stores=BASE.stores.filter(pl.col("store_id") == "South"),
    )
    features, contract = south.features([south.last_day])
    model = create("lightgbm", threads=1).fit(training_rows(features, south.last_day), contract)
    check(BASE, model, "unseen by the models: store 'North'")


def test_one_shop_of_two_is_read_as_one_of_several(trained: ForecastModel) -> None:
    south = replace(BASE, demand=BASE.demand.filter(pl.col("store_id") == "South"))
    assert check(south, trained, "").rows["product_level"].null_count() == 3 * BASE.horizon


def test_what_is_not_declared_any_more_is_an_error_that_names_it(trained: ForecastModel) -> None:
    fewer = replace(BASE, covariates=Covariates(**BASE.covariates.model_dump() | {"known_future": ["promo"]}))
    with pytest.raises(ContractError, match=r"covariate event is not declared.*under covariates: again, or train"):
        fewer.ahead(trained.contract)


def test_another_frequency_is_an_error(trained: ForecastModel) -> None:
    monday = BASE.demand.filter(pl.col("date").dt.weekday() == 1)
    with pytest.raises(ContractError, match="the history is weekly, the model is daily: train it again"):
        replace(BASE, demand=monday, frequency="weekly").ahead(trained.contract)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, None),
        ({"static": ["department"]}, "covariate size is not declared any more"),
        ({"known_future": ["promo", "event"]}, "covariate temperature is not declared any more"),
        ({"past_only": []}, "covariate visitors is not declared any more"),
        ({"static": [*BASE.covariates.static, "region"]}, None),
        ({"frequency": "weekly"}, "it was trained on daily demand, which is weekly now"),
        ({"horizon": 15}, "it was trained and proven for 14 periods ahead, 15 are asked for now"),
        ({"horizon": 7}, None),
    ],
)
def test_what_keeps_models_from_forecasting_what_is_configured(
    trained: ForecastModel, given: dict[str, Any], why: str | None
) -> None:
    asked = {"frequency": "daily", "horizon": 14} | BASE.covariates.model_dump() | given
    frequency, horizon = asked.pop("frequency"), asked.pop("horizon")
    assert obstacle(trained.contract, Covariates(**asked), frequency, horizon) == why


def test_features_of_another_release_do(trained: ForecastModel, monkeypatch: pytest.MonkeyPatch) -> None:
    declared = declaration.declare
    monkeypatch.setattr(contracts, "declare", lambda inputs: declared(inputs)[1:])
    found = obstacle(trained.contract, BASE.covariates, "daily", 14)
    assert str(found).startswith("features declared by this version differ from the contract")


def test_a_covariate_that_was_declared_later_is_told(trained: ForecastModel) -> None:
    more = BASE.covariates.model_copy(update={"past_only": ["visitors", "weather"]})
    assert undeclared_then(trained.contract, more) == ["weather"]
    assert undeclared_then(trained.contract, BASE.covariates) == []
