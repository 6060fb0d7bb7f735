from pathlib import Path

import polars as pl
import pytest

from demand_forecast.sources.sample import Sample, generate

TRUTH = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="session")
def sample() -> Sample:
    return generate(2026)


@pytest.fixture(scope="session")
def truth() -> pl.DataFrame:
    return pl.read_parquet(TRUTH / "truth.parquet")
