"""Trailing means against polars' own rolling means within groups, to the bit."""

import numpy as np
import polars as pl
import pytest

from demand_forecast.domain.features import trailing
from demand_forecast.domain.features.trailing import trailing_column, trailing_means, with_trailing

WINDOWS = (1, 2, 7, 28, 400)


def panel(lengths: list[int], unknown: float, seed: int = 5) -> pl.DataFrame:
    """Whole units of series of several lengths, a share of them not known."""
    rng = np.random.default_rng(seed)
    rows = sum(lengths)
    frame = pl.DataFrame(
        {
            "series": np.repeat(np.arange(len(lengths)), lengths).astype(np.uint32),
            "day": np.concatenate([np.arange(length) for length in lengths]),
            "units": rng.poisson(3, rows).astype(np.float32),
            "missing": rng.random(rows) < unknown,
        }
    )
    return frame.with_columns(pl.when(~pl.col("missing")).then("units").alias("units"))


def slow(frame: pl.DataFrame, window: int, stride: int) -> np.ndarray:
    """What polars says of each series' every `stride`-th row."""
    mean = pl.col("units").cast(pl.Float64).rolling_mean(window, min_samples=1)
    return frame.select(mean.over("series", pl.col("day") % stride)).to_series().to_numpy()


@pytest.mark.parametrize("block", [1, 50, 65_536])
@pytest.mark.parametrize("stride", [1, 7])
@pytest.mark.parametrize("unknown", [0.0, 0.3, 0.97])
def test_means_are_those_of_polars_to_the_bit(unknown: float, stride: int, block: int, monkeypatch):
    monkeypatch.setattr(trailing, "BLOCK_ROWS", block)
    frame = panel([1, 30, 6, 7, 8, 365, 2, 90], unknown)
    for window, mean in zip(WINDOWS, trailing_means(frame, "units", WINDOWS, stride=stride), strict=True):
        np.testing.assert_array_equal(mean, slow(frame, window, stride))


def test_means_of_fractions_do_not_depend_on_other_series():
    frame = panel([40, 500, 40], unknown=0.1).with_columns(pl.col("units") * 0.1 + 1e6 * (pl.col("series") == 1))
    last = frame.filter(pl.col("series") == 2)
    (together,), (alone,) = trailing_means(frame, "units", [28]), trailing_means(last, "units", [28])
    np.testing.assert_array_equal(together[-40:], alone)
    np.testing.assert_allclose(alone, slow(last, 28, 1), rtol=1e-12)


def test_an_empty_panel_has_no_means():
    (mean,) = trailing_means(panel([3], 0).clear(), "units", [7])
    assert mean.shape == (0,)


def test_only_the_means_asked_for_are_added_null_where_nothing_is_known():
    frame = panel([30, 8], unknown=0.97)
    asked = [trailing_column("units", 7), trailing_column("units", 2, stride=7)]
    found = with_trailing(frame, ["units", "elsewhere", *asked])
    assert sorted(found.columns) == sorted([*frame.columns, *asked])
    for name, window, stride in zip(asked, (7, 2), (1, 7), strict=True):
        assert 0 < found[name].null_count() < len(found)
        np.testing.assert_array_equal(found[name].to_numpy(), slow(frame, window, stride))
