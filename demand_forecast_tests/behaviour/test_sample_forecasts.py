"""Forecasts of the sample retailer, held against the demand, the effects and the launches that its generator drew."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest

from demand_forecast.domain.demand.panel import build_daily_demand
from demand_forecast.domain.features import (
    FeatureContract,
    build_demand_features,
    build_features,
    build_forecast_features,
    build_history,
)
from demand_forecast.domain.models import ForecastModel, create
from demand_forecast.domain.tables import QUANTILE_COLUMNS, QUANTILE_LEVELS
from demand_forecast.publishing.package import PackageInfo, read_package, write_package
from demand_forecast.service.answers.what_if import what_if
from demand_forecast.service.contract.schema import SeriesId
from demand_forecast.service.state.served import Served
from demand_forecast.settings import Settings, Training
from demand_forecast_tests.behaviour.sample import TRUTH, sample_attributes

pytestmark = pytest.mark.slow  # trains on the whole sample

KEYS = ["store_id", "product_id"]
ORIGINS = [date(2026, 7, 12), date(2026, 8, 9), date(2026, 9, 6)]  # those of the default backtest
TRAINING = Training(max_rows=70_000)  # a third of the configured rows: seconds instead of half a minute
LAUNCHED = {"R11": date(2026, 8, 17), "H12": date(2026, 9, 7)}
GONE = ["B10", "D12"]  # for a year, for a year and a half


@dataclass(frozen=True)
class Sample:
    """The tables that features are built from; `truth` is for judging alone."""

    settings: Settings
    demand: pl.DataFrame
    attributes: dict[str, pl.DataFrame]
    truth: pl.DataFrame

    @property
    def tables(self) -> list[pl.DataFrame]:
        return [self.demand, *(self.attributes[name] for name in ("plan", "products", "stores", "stock"))]

    @property
    def reading(self) -> dict:
        settings = self.settings
        return {"covariates": settings.covariates, "frequency": settings.frequency, "horizon": settings.horizon}


@dataclass(frozen=True)
class Trained:
    """A model that knows nothing after the first origin, and the rows of all of them."""

    model: ForecastModel
    contract: FeatureContract
    ahead: pl.DataFrame


def train(sample: Sample) -> Trained:
    frame, contract = build_demand_features(
        *sample.tables, **sample.reading, origins=ORIGINS, training=TRAINING, seed=sample.settings.seed
    )
    known = frame.filter(pl.col("training") & (pl.col("date") <= ORIGINS[0]))
    model = create("lightgbm", seed=sample.settings.seed, threads=1).fit(known, contract)
    return Trained(model, contract, frame.filter(~pl.col("training")))


@pytest.fixture(scope="module")
def sample() -> Sample:
    """`daily_demand` made from the true sales: that cleaning finds them is another test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DEMAND_FORECAST_HOME", raising=False)
        settings, attributes = sample_attributes()
    truth = pl.read_parquet(TRUTH / "truth.parquet")
    lines = truth.filter(pl.col("sales") > 0).select(*KEYS, "date", units="sales", price=pl.lit(None, pl.Float32))
    demand = build_daily_demand(
        lines, attributes["stock"], attributes["plan"], frequency="daily", missing_day=settings.missing_day
    )
    return Sample(settings, demand, attributes, truth)


@pytest.fixture(scope="module")
def trained(sample: Sample) -> Trained:
    return train(sample)


def short_of_stock(truth: pl.DataFrame, share: float) -> pl.DataFrame:
    """The series that lost more than `share` of a year's demand to empty shelves before the first origin."""
    year = truth.filter(pl.col("date").is_between(ORIGINS[0] - timedelta(days=363), ORIGINS[0]))
    lost = year.group_by(KEYS).agg(lost=1 - pl.col("sales").sum() / pl.col("demand").sum())
    return lost.filter(pl.col("lost") > share)


def bias(trained: Trained, sample: Sample, series: pl.DataFrame) -> float:
    """Forecast over true demand, less one, over all origins."""
    forecast = trained.model.forecast(trained.ahead).join(sample.truth, on=[*KEYS, "date"])
    chosen = forecast.join(series, on=KEYS, how="semi")
    return chosen.select(pl.col("mean").sum() / pl.col("demand").sum() - 1).item()


def test_the_forecast_is_of_demand_not_of_sales(sample: Sample, trained: Trained) -> None:
    """Unbiased where goods ran short; 4% too low on the worst when empty shelves pass for days without demand."""
    blind = train(replace(sample, demand=sample.demand.with_columns(in_stock=pl.lit(1, pl.Float32))))
    some, worst = (short_of_stock(sample.truth, share) for share in (0.0, 0.03))
    assert len(some) > 200
    assert len(worst) > 50
    assert abs(bias(trained, sample, some)) < 0.03
    assert abs(bias(trained, sample, worst)) < 0.03
    assert bias(blind, sample, worst) < -0.03
    assert bias(blind, sample, some) < bias(trained, sample, some) - 0.01


def test_launches_are_forecast_from_day_one_and_better_than_their_category(sample: Sample, trained: Trained) -> None:
    """R11 and H12 sold nothing when they were forecast: the plan named them."""
    forecast = trained.model.forecast(trained.ahead).join(sample.truth, on=[*KEYS, "date"])
    for product, day in LAUNCHED.items():
        origin = max(origin for origin in ORIGINS if origin < day)
        rows = forecast.filter((pl.col("product_id") == product) & (pl.col("forecast_origin") == origin))
        assert rows.select(KEYS).n_unique() == 6
        assert rows["mean"].min() > 0
        category = category_mean(sample, product, origin)
        judged = rows.join(category, on="store_id")
        error = judged.select((pl.col("mean") - pl.col("demand")).abs().sum()).item()
        assert error < judged.select((pl.col("category") - pl.col("demand")).abs().sum()).item(), product


def category_mean(sample: Sample, product: str, origin: date) -> pl.DataFrame:
    """What a product of the same category sold a day in each shop, over four weeks."""
    products = sample.attributes["products"]
    category = products.filter(pl.col("product_id") == product)["category"].item()
    alike = products.filter(pl.col("category") == category)["product_id"]
    weeks = sample.demand.filter(
        pl.col("date").is_between(origin - timedelta(days=27), origin), pl.col("product_id").is_in(alike.implode())
    )
    return weeks.group_by("store_id").agg(category=pl.col("units").mean())


def test_discontinued_products_forecast_zero(trained: Trained) -> None:
    forecast = trained.model.forecast(trained.ahead).filter(pl.col("product_id").is_in(GONE))
    assert len(forecast) == 2 * 6 * 3 * 28
    assert forecast["q90"].max() == 0
    assert forecast["mean"].mean() < 0.01


def planned(sample: Sample, trained: Trained, *, promotion: float, price: float) -> pl.DataFrame:
    """The forecast after the last origin with every product at `price` times its usual one, on promotion or not."""
    origin = ORIGINS[-1]
    known = sample.demand.filter(pl.col("date") <= origin)
    usual = known.filter(pl.col("date") > origin - timedelta(days=28)).group_by("product_id").agg(pl.col("price").max())
    days = pl.DataFrame({"date": [origin + timedelta(days=day) for day in range(1, 29)]})
    said = days.join(usual, how="cross").with_columns(
        price=(pl.col("price") * price).cast(pl.Float32), on_promotion=pl.lit(promotion, pl.Float32)
    )
    plan = sample.attributes["plan"]
    kept = plan.filter((pl.col("date") <= origin) | pl.col("product_id").is_null())
    tables = [known, pl.concat([kept, said], how="diagonal"), *sample.tables[2:]]
    history = build_history(*tables, **sample.reading, since=origin - timedelta(days=400))
    rows = trained.ahead.filter(pl.col("forecast_origin") == origin).select(*KEYS, "forecast_origin", "horizon")
    rows = rows.join(known, on=KEYS, how="semi")
    forecast = trained.model.forecast(build_features(history, rows, trained.contract))
    return (
        forecast.join(sample.attributes["products"], on="product_id").group_by("department").agg(pl.col("mean").sum())
    )


@pytest.fixture(scope="module")
def usual(sample: Sample, trained: Trained) -> pl.DataFrame:
    return planned(sample, trained, promotion=0, price=1)


def against(usual: pl.DataFrame, other: pl.DataFrame) -> dict[str, float]:
    ratio = usual.join(other, on="department", suffix="_other").select(
        "department", pl.col("mean_other") / pl.col("mean")
    )
    return dict(ratio.iter_rows())


def true_effects() -> tuple[dict[str, float], dict[str, float]]:
    effects = json.loads((TRUTH / "effects.json").read_text())
    return effects["promotion_uplift"], effects["elasticity"]


def test_a_promotion_lifts_demand_by_what_it_does(sample: Sample, trained: Trained, usual: pl.DataFrame) -> None:
    """Within 20% by department as promotions are made, a fifth off; and over all of them at the usual price."""
    uplift, elasticity = true_effects()
    made = against(usual, planned(sample, trained, promotion=1, price=0.8))
    for department, found in made.items():
        assert found == pytest.approx(uplift[department] * 0.8 ** elasticity[department], rel=0.2), department
    shown = against(usual, planned(sample, trained, promotion=1, price=1))
    sold = dict(usual.iter_rows())
    found, true = (sum(effect[name] * sold[name] for name in sold) / sum(sold.values()) for effect in (shown, uplift))
    assert found == pytest.approx(true, rel=0.2)


def test_a_higher_price_lowers_demand_in_every_department(
    sample: Sample, trained: Trained, usual: pl.DataFrame
) -> None:
    dearer = against(usual, planned(sample, trained, promotion=0, price=1.1))
    assert len(dearer) == 5
    assert max(dearer.values()) < 1


def test_the_service_answers_every_series_as_the_batch_table_says(
    sample: Sample, trained: Trained, tmp_path: Path
) -> None:
    """The published forecast, and the model asked again for the plan as it is, to 1e-6."""
    started = sample.demand.group_by(KEYS).agg(first_sale=pl.col("date").min())
    made = build_forecast_features(*sample.tables, **sample.reading, started=started, previous=trained.contract)
    trained.model.save(tmp_path / "model")
    batch = trained.model.forecast(made.rows).sort(*KEYS, "horizon")
    origin = batch["forecast_origin"][0]
    info = PackageInfo(
        model="lightgbm",
        model_version="1",
        forecast_origin=origin,
        trained_at=datetime(2026, 10, 5, tzinfo=UTC),
        data_versions={},
        metrics={},
    )
    tables = {"features": made.rows, "planned": made.planned}
    write_package(tmp_path, model_folder=tmp_path / "model", forecast=batch, info=info, tables=tables)
    served = Served(read_package(tmp_path))
    series = [SeriesId(store_id=store, product_id=product) for store, product in served.published.keys]
    assert len(series) == 360
    forecast = [served.published.forecast(row, 28, QUANTILE_LEVELS) for row in range(360)]
    again: list[dict[str, Any]] = []
    for first in range(0, 360, 90):
        part = series[first : first + 90]
        again += what_if(served, part, [], 28, QUANTILE_LEVELS)
    table = batch.select("mean", *QUANTILE_COLUMNS).to_numpy().reshape(360, 28, 10)
    for answers in (forecast, again):
        read = [orjson.loads(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)) for answer in answers]
        found = np.array([[answer["mean"], *answer["quantiles"].values()] for answer in read]).transpose(0, 2, 1)
        assert np.abs(found - table).max() < 1e-6
