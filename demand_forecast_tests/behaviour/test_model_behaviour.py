"""What a planner takes for granted of a forecast, and a model does not promise by itself."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from demand_forecast.domain.features import FeatureContract, build_features
from demand_forecast.domain.models import ForecastModel, create, families
from demand_forecast.domain.tables import QUANTILE_COLUMNS
from demand_forecast.settings import Training
from demand_forecast_tests.domain.small_retailer import Retailer, make_retailer

KEYS = ["store_id", "product_id", "forecast_origin", "horizon"]
LEARNED = ["gradient_boosting", "lightgbm"]


@pytest.fixture(scope="module")
def retailer() -> Retailer:
    return make_retailer()


@pytest.fixture(scope="module")
def built(retailer: Retailer) -> tuple[pl.DataFrame, FeatureContract]:
    return retailer.features([retailer.last_day])


@pytest.fixture(scope="module")
def models(built: tuple[pl.DataFrame, FeatureContract]) -> dict[str, ForecastModel]:
    frame, contract = built
    return {name: create(name, threads=1).fit(frame.filter("training"), contract) for name in families()}


def ahead(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(~pl.col("training"))


def test_future_rows_cannot_change_past_features(retailer: Retailer) -> None:
    """Features at an origin are the same whether the days after it are known, unknown or absurd."""
    origin = retailer.last_day - timedelta(days=30)
    absurd = retailer.demand.with_columns(
        pl.when(pl.col("date") > origin).then(9999.0).otherwise(pl.col(name)).cast(pl.Float32).alias(name)
        for name in ("units", "visitors", "in_stock")
    )
    frames = [
        ahead(version.features([origin])[0]).drop("units", "exposure")
        for version in (retailer, retailer.until(origin), replace(retailer, demand=absurd))
    ]
    assert frames[0].equals(frames[1])
    assert frames[0].equals(frames[2])


def test_row_order_changes_nothing(retailer: Retailer, built: tuple) -> None:
    shuffled = replace(
        retailer,
        demand=retailer.demand.sample(fraction=1, shuffle=True, seed=1),
        plan=retailer.plan.sample(fraction=1, shuffle=True, seed=2),
        products=retailer.products.reverse(),
        stores=retailer.stores.reverse(),
    )
    frame, contract = shuffled.features([retailer.last_day])
    assert frame.equals(built[0])
    assert contract == built[1]


@pytest.mark.parametrize("name", ["lightgbm", pytest.param("gradient_boosting", marks=pytest.mark.slow)])
def test_row_order_changes_no_model(name: str, built: tuple, models: dict[str, ForecastModel]) -> None:
    frame, contract = built
    mixed = frame.sample(fraction=1, shuffle=True, seed=3)
    again = create(name, threads=1).fit(mixed.filter("training"), contract)
    assert again.forecast(ahead(mixed)).sort(KEYS).equals(models[name].forecast(ahead(frame)).sort(KEYS))


def test_same_seed_same_model_another_seed_another(built: tuple, models: dict[str, ForecastModel]) -> None:
    frame, contract = built
    forecast = models["lightgbm"].forecast(ahead(frame))
    same, other = (create("lightgbm", seed=seed, threads=1).fit(frame.filter("training"), contract) for seed in (7, 8))
    assert same.forecast(ahead(frame)).equals(forecast)
    assert not other.forecast(ahead(frame)).equals(forecast)


@pytest.mark.parametrize("max_rows", [20_000, 1500])
def test_appended_days_leave_drawn_rows_alone(retailer: Retailer, max_rows: int) -> None:
    """What was drawn yesterday is drawn today, the same in every column."""
    training = Training(window=400, max_rows=max_rows)
    yesterday, today = (
        version.features([], training=training)[0]
        for version in (retailer.until(retailer.last_day - timedelta(days=1)), retailer)
    )
    first = today["forecast_origin"].min()
    kept = yesterday.filter(pl.col("forecast_origin") >= first).sort(KEYS)
    again = today.join(kept.select(KEYS), on=KEYS, how="semi").sort(KEYS)
    assert len(kept) > 0.9 * len(yesterday)
    assert kept.equals(again)


@pytest.mark.parametrize("name", list(families()))
def test_a_closed_shop_forecasts_zero(name: str, retailer: Retailer, models: dict[str, ForecastModel]) -> None:
    day = next(d for d in (retailer.last_day + timedelta(days=i) for i in range(1, 8)) if d.weekday() == 2)
    holiday = pl.DataFrame({"date": [day], "store_id": ["South"], "open": [0.0]})
    shut = replace(retailer, plan=pl.concat([retailer.plan, holiday], how="diagonal"))
    frame = ahead(shut.features([retailer.last_day])[0])
    forecast = models[name].forecast(frame)
    values = ["mean", *QUANTILE_COLUMNS]
    closed = (pl.col("date").dt.weekday() == 7) | ((pl.col("date") == day) & (pl.col("store_id") == "South"))
    assert forecast.filter(closed).select(pl.max_horizontal(values).max()).item() == 0
    opened = (pl.col("date") == day) & (pl.col("store_id") == "North") & (pl.col("product_id") == "P-00")
    assert forecast.filter(opened)["mean"].item() > 1


@pytest.mark.parametrize("name", LEARNED)
def test_a_higher_price_does_not_raise_demand(name: str, retailer: Retailer, built: tuple, models: dict) -> None:
    def total(price: float) -> float:
        said = pl.when(pl.col("date") > retailer.last_day).then(price).otherwise(pl.col("price"))
        priced = replace(retailer, plan=retailer.plan.with_columns(price=said.cast(pl.Float32)))
        rows = ahead(built[0]).select(KEYS)
        return models[name].forecast(build_features(priced.history(), rows, built[1]))["mean"].sum()

    cheap, usual = total(4.0), total(5.0)
    assert usual < 0.85 * cheap  # the square of 0.8 is 0.64


@pytest.mark.parametrize("name", LEARNED)
def test_a_promotion_raises_demand(name: str, retailer: Retailer, built: tuple, models: dict) -> None:
    def total(promo: float) -> float:
        said = pl.when(pl.col("date") > retailer.last_day).then(promo).otherwise(pl.col("promo"))
        planned = replace(retailer, plan=retailer.plan.with_columns(promo=said.cast(pl.Float32)))
        rows = ahead(built[0]).select(KEYS)
        return models[name].forecast(build_features(planned.history(), rows, built[1]))["mean"].sum()

    assert total(1.0) > 1.2 * total(0.0)


@pytest.mark.parametrize("name", list(families()))
def test_quantiles_are_ordered_and_not_below_zero(name: str, built: tuple, models: dict) -> None:
    quantiles = models[name].forecast(ahead(built[0])).select(QUANTILE_COLUMNS).to_numpy()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert (quantiles >= 0).all()


def test_a_day_without_stock_is_not_a_day_without_demand(retailer: Retailer) -> None:
    """A shelf that stood empty for ten days does not lower the level."""
    since = retailer.last_day - timedelta(days=10)
    empty = (pl.col("date") > since) & (pl.col("product_id") == "P-00")

    def level(in_stock: float) -> float:
        changed = retailer.demand.with_columns(
            units=pl.when(empty).then(0.0).otherwise("units").cast(pl.Float32),
            in_stock=pl.when(empty).then(in_stock).otherwise("in_stock").cast(pl.Float32),
        )
        frame = ahead(replace(retailer, demand=changed).features([retailer.last_day])[0])
        return frame.filter(pl.col("product_id") == "P-00")["base_level"].mean()  # type: ignore[return-value]

    assert level(0.0) > 1.1 * level(1.0)


def test_a_series_that_stopped_selling_fades(retailer: Retailer) -> None:
    gone = date(2023, 8, 1)
    stopped = (pl.col("product_id") == "P-01") & (pl.col("date") > gone)
    demand = retailer.demand.with_columns(units=pl.when(stopped).then(0.0).otherwise("units").cast(pl.Float32))
    frame, contract = replace(retailer, demand=demand).features([retailer.last_day])
    forecast = create("lightgbm", threads=1).fit(frame.filter("training"), contract).forecast(ahead(frame))
    mean = dict(forecast.group_by("product_id").agg(pl.col("mean").mean()).iter_rows())
    assert mean["P-01"] < 0.05
    assert mean["P-02"] > 1
