"""Every candidate: learns, forecasts, travels as files, and says what is wrong."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from demand_forecast.domain.features import ContractError, FeatureContract
from demand_forecast.domain.models import ForecastModel, ModelError, create, families, family, load_model
from demand_forecast.domain.tables import FORECAST_NUMBERS
from demand_forecast_tests.domain.small_retailer import make_retailer, tiny_series

NAMES = list(families())
GRADIENT_BOOSTING = pytest.param("gradient_boosting", marks=pytest.mark.slow)  # the ensemble fits it too
Data = tuple[pl.DataFrame, pl.DataFrame, FeatureContract]
Fitted = dict[str, ForecastModel]


@pytest.fixture(scope="module")
def data() -> Data:
    retailer = make_retailer()
    origin = retailer.last_day - timedelta(days=14)
    frame, contract = retailer.features([origin])
    known = frame.filter(pl.col("training") & (pl.col("date") <= origin))
    return known, frame.filter(~pl.col("training")), contract


def fit_all(rows: pl.DataFrame, contract: FeatureContract) -> Fitted:
    """Every candidate; the ensemble adopts the others."""
    found: Fitted = {}
    for name in NAMES:
        found[name] = create(name, seed=11, threads=1).adopt(found).fit(rows, contract)
    return found


@pytest.fixture(scope="module")
def fitted(data: Data) -> Fitted:
    known, _, contract = data
    return fit_all(known, contract)


def wape(forecast: pl.DataFrame, rows: pl.DataFrame) -> float:
    return float((forecast["mean"] - rows["units"]).abs().sum()) / float(rows["units"].sum())


@pytest.mark.parametrize("name", NAMES)
def test_forecast_has_the_layout_of_the_table(name: str, data: Data, fitted: Fitted) -> None:
    asked = data[1]
    forecast = fitted[name].forecast(asked)
    keys = ["store_id", "product_id", "date", "forecast_origin", "horizon"]
    assert forecast.columns == [*keys, *FORECAST_NUMBERS, "model"]
    assert forecast.select(keys).equals(asked.select(keys))
    assert set(forecast.select(FORECAST_NUMBERS).dtypes) == {pl.Float32}
    assert forecast.schema["horizon"] == pl.Int32
    assert forecast["model"].unique().to_list() == [name]


@pytest.mark.parametrize("name", ["gradient_boosting", "lightgbm"])
def test_learning_beats_seasonal_naive(name: str, data: Data, fitted: Fitted) -> None:
    asked = data[1]
    naive = wape(fitted["seasonal_naive"].forecast(asked), asked)
    learned = fitted[name].forecast(asked)
    assert wape(learned, asked) < 0.9 * naive
    assert abs(float(learned["mean"].sum()) / float(asked["units"].sum()) - 1) < 0.1


def test_seasonal_naive_is_the_last_same_weekday(data: Data, fitted: Fitted) -> None:
    retailer = make_retailer()
    forecast = fitted["seasonal_naive"].forecast(data[1])
    back = ((pl.col("horizon") + 6) // 7 * 7).cast(pl.Int64)
    source = forecast.with_columns(date=pl.col("date") - pl.duration(days=back))
    expected = source.join(retailer.demand, on=["store_id", "product_id", "date"], how="left", maintain_order="left")
    assert forecast["mean"].to_list() == expected["units"].to_list()


@pytest.mark.parametrize("name", NAMES)
def test_a_loaded_model_forecasts_the_same(name: str, data: Data, fitted: Fitted, tmp_path: Path) -> None:
    _, asked, contract = data
    model = fitted[name]
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.forecast(asked).equals(model.forecast(asked))
    assert loaded.contract == contract
    assert loaded.parameters == model.parameters
    assert not [file.name for file in (tmp_path / "model").iterdir() if file.suffix in {".pkl", ".pickle", ".joblib"}]


def test_importance_is_a_share(data: Data, fitted: Fitted) -> None:
    contract = data[2]
    importance = fitted["lightgbm"].importance()
    assert importance is not None
    assert sorted(importance["feature"]) == sorted(contract.model_columns)
    assert importance["gain"].sum() == pytest.approx(1)
    assert fitted["seasonal_naive"].importance() is None


@pytest.mark.parametrize("name", NAMES)
def test_the_contract_is_checked_at_fit_and_at_forecast(name: str, data: Data, fitted: Fitted) -> None:
    known, asked, contract = data
    with pytest.raises(ContractError, match="mean_7 is missing"):
        create(name).fit(known.drop("mean_7"), contract)
    with pytest.raises(ContractError, match="mean_7 is missing"):
        fitted[name].forecast(asked.drop("mean_7"))


def test_errors_name_the_repair(data: Data, fitted: Fitted, tmp_path: Path) -> None:
    _, asked, _ = data
    with pytest.raises(ModelError, match="Known here: ensemble, gradient_boosting, lightgbm, seasonal_naive"):
        family("prophet")
    with pytest.raises(ModelError, match="not fitted"):
        create("lightgbm").forecast(asked)
    with pytest.raises(ModelError, match=r"model\.json: not a saved model"):
        load_model(tmp_path)
    fitted["seasonal_naive"].save(tmp_path)
    with pytest.raises(ModelError, match="holds a seasonal_naive"):
        family("lightgbm").load(tmp_path)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "seasonal_naive"])
def test_without_a_row_to_learn_from_the_level_is_forecast(name: str, data: Data, tmp_path: Path) -> None:
    known, asked, contract = data
    model = create(name, threads=1).fit(known.clear(), contract)
    level = asked["base_level"].cast(pl.Float64) * asked["expected_open"]
    assert model.expected(asked) == pytest.approx(level.to_numpy(), rel=1e-4)
    model.save(tmp_path)
    assert load_model(tmp_path).forecast(asked).equals(model.forecast(asked))


def test_a_file_with_foreign_types_is_refused(fitted: Fitted, tmp_path: Path) -> None:
    import skops.io
    from sklearn.preprocessing import FunctionTransformer

    fitted["gradient_boosting"].save(tmp_path)
    skops.io.dump(FunctionTransformer(func=json.loads), tmp_path / "model.skops")
    with pytest.raises(ModelError, match="never saves"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("units", "weekly"),
    [
        ([3.0, 0, 2, 4, 1, 0, 0, 2, 1, 5] * 3, False),
        ([0.0] * 30 + [1.0] + [0.0] * 29, False),
        ([1.0, 2.0] * 5, False),
        ([2.5, 1.25, 0.0, 7.75] * 20, False),
        ([40.0, 50, 45] * 30, True),
    ],
)
def test_tiny_data(units: list[float], weekly: bool) -> None:
    retailer = tiny_series(units, weekly=weekly)
    frame, contract = retailer.features([retailer.last_day])
    for name, model in fit_all(frame.filter("training"), contract).items():
        forecast = model.forecast(frame.filter(~pl.col("training")))
        assert len(forecast) == retailer.horizon, name
        values = forecast.select(FORECAST_NUMBERS).to_numpy()
        assert np.isfinite(values).all(), name
        assert (values >= 0).all(), name
        assert values[:, 0].max() <= 2 * max(units) + 0.01, name


def test_a_series_of_one_day_is_forecast_by_a_model_of_others(fitted: Fitted) -> None:
    retailer = make_retailer()
    newcomer = retailer.demand.filter(date=retailer.last_day, product_id="P-00").with_columns(product_id=pl.lit("P-99"))
    grown = pl.concat([retailer.demand, newcomer])
    frame, _ = replace(retailer, demand=grown).features([retailer.last_day])
    asked = frame.filter((pl.col("product_id") == "P-99") & ~pl.col("training"))
    for name in NAMES:
        forecast = fitted[name].forecast(asked)
        assert len(forecast) == 28
        assert forecast.select(pl.col("mean").is_finite().all()).item()


def test_large_sales_of_tiny_series_do_not_overflow(data: Data) -> None:
    """Newton steps on a logarithmic loss explode where almost nothing is expected and a lot is sold."""
    known, asked, contract = data
    tiny = pl.col("product_id") == known["product_id"][0]
    once = pl.when(pl.int_range(pl.len()).over("product_id") == 0).then(5_000.0).otherwise(0.0)
    burst = known.with_columns(
        units=pl.when(tiny).then(once).otherwise("units").cast(pl.Float32),
        base_level=pl.when(tiny).then(0.01).otherwise("base_level").cast(pl.Float32),
    )
    models = fit_all(burst, contract)
    del models["seasonal_naive"]
    for name, model in models.items():
        forecast = model.forecast(asked)
        assert forecast["mean"].is_finite().all(), name
        assert forecast["mean"].max() < 5_000, name  # type: ignore[operator]


@pytest.mark.parametrize("name", [*(name for name in NAMES if name != "gradient_boosting"), GRADIENT_BOOSTING])
def test_the_same_rows_and_seed_give_the_same_bits(name: str, data: Data, fitted: Fitted) -> None:
    """The ensemble, which fits its members itself here, those of one that has adopted them too."""
    rows, asked, contract = data
    again = create(name, seed=11, threads=1).fit(rows.reverse(), contract)
    assert again.forecast(asked).equals(fitted[name].forecast(asked))


@pytest.mark.parametrize("name", ["lightgbm", GRADIENT_BOOSTING, pytest.param("ensemble", marks=pytest.mark.slow)])
def test_two_threads_give_the_same_bits_again(name: str, data: Data) -> None:
    rows, asked, contract = data
    first, again = (
        create(name, seed=5, threads=2).fit(order, contract).forecast(asked) for order in (rows, rows.reverse())
    )
    assert first.equals(again)
