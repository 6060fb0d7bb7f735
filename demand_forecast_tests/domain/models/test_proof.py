"""What a backtest taught, as a file, and in the forecasts of the model that it stands beside."""

import json
from datetime import date, timedelta

import polars as pl
import pytest

from demand_forecast.domain.models import create
from demand_forecast.domain.models.distribution import Dispersion
from demand_forecast.domain.models.proof import CORRELATION, Proof
from demand_forecast.domain.models.spread import KINDS, Irregularity, Spread
from demand_forecast_tests.domain.small_retailer import make_retailer

ALIKE = (0.1, 0.2, 0.3, 0.4)  # of smooth, erratic, intermittent and lumpy demand


def test_a_proof_is_read_as_it_was_written() -> None:
    spread = Spread.everywhere(Dispersion(1.0, 0.5, 0.1, counts=True))
    proof = Proof(0.5, ALIKE, spread, (date(2025, 3, 2),), {"wql": 0.5, "fva_wql": None})
    assert Proof.from_json(proof.to_json()) == proof
    assert Proof.from_json(Proof().to_json()) == Proof()


def test_one_correlation_of_an_earlier_release_is_that_of_all_kinds() -> None:
    earlier = json.loads(Proof(0.5).to_json()) | {"correlation": 0.2}
    assert Proof.from_json(json.dumps(earlier)).correlation == (0.2,) * len(KINDS)


@pytest.mark.parametrize("name", ["seasonal_naive", "lightgbm"])
def test_a_forecast_says_how_alike_the_errors_of_its_kind_are(name: str) -> None:
    retailer = make_retailer()
    origin = retailer.last_day - timedelta(days=14)
    features, contract = retailer.features([origin])
    ahead = features.filter(~pl.col("training"))
    model = create(name, seed=7, threads=1).fit(features.filter(pl.col("training")), contract)
    assert model.forecast(ahead)["correlation"].unique().to_list() == pytest.approx([CORRELATION])
    forecast = model.proven(Proof(correlation=ALIKE)).forecast(ahead)
    kinds = Irregularity.of(ahead).names
    assert kinds.n_unique() > 1
    assert forecast["correlation"].to_list() == pytest.approx([ALIKE[KINDS.index(kind)] for kind in kinds])
