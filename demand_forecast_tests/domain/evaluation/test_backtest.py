"""Origins, folds, and that every candidate meets the same rows."""

from datetime import date, timedelta

import polars as pl
import pytest

from demand_forecast.domain.demand.calendar import Frequency, calendar_of
from demand_forecast.domain.evaluation.backtest import backtest_origins, proven_periods, run_backtest
from demand_forecast.domain.models import create
from demand_forecast.domain.models.training_rows import training_rows
from demand_forecast.domain.tables import FORECAST_NUMBERS, QUANTILE_COLUMNS, QUANTILE_LEVELS
from demand_forecast_tests.domain.small_retailer import make_retailer, tiny_series

LAST = date(2024, 6, 30)


def test_origins_leave_their_whole_horizon_known() -> None:
    found = backtest_origins(date(2020, 1, 1), LAST, horizon=28, count=3)
    assert found == [LAST - timedelta(days=days) for days in (84, 56, 28)]
    closer = backtest_origins(date(2020, 1, 1), LAST, horizon=28, count=3, step=7)
    assert closer == [LAST - timedelta(days=days) for days in (42, 35, 28)]
    weekly = backtest_origins(date(2020, 1, 6), date(2024, 6, 24), horizon=4, count=2, frequency="weekly")
    assert weekly == [date(2024, 6, 24) - timedelta(weeks=weeks) for weeks in (8, 4)]


def test_a_short_history_has_fewer_origins() -> None:
    def origins(days: int) -> list[date]:
        return backtest_origins(LAST - timedelta(days=days - 1), LAST, horizon=28, count=3)

    assert len(origins(70)) == 1
    assert len(origins(97)) == 1
    assert len(origins(98)) == 2


@pytest.mark.parametrize(
    ("frequency", "periods", "ahead"),
    [
        *(("daily", 140, 28), ("daily", 70, 28), ("daily", 69, 27), ("daily", 42, 14), ("daily", 20, 5)),
        *(("daily", 10, 2), ("daily", 3, 1), ("daily", 2, 1), ("daily", 1, 0)),
        *(("weekly", 58, 28), ("weekly", 30, 14), ("weekly", 4, 1), ("monthly", 30, 14)),
    ],
)
def test_what_a_history_is_too_short_for_is_proven_as_far_as_it_reaches(
    frequency: Frequency, periods: int, ahead: int
) -> None:
    calendar = calendar_of(frequency)
    last, first = calendar.ahead(LAST, 0), calendar.ahead(LAST, 1 - periods)
    found = backtest_origins(first, last, horizon=28, count=3, frequency=frequency)
    assert proven_periods(periods, 28, frequency) == ahead
    assert found[-1:] == ([calendar.ahead(last, -ahead)] if ahead else [])
    assert all(origin >= first for origin in found)


def test_every_candidate_forecasts_the_same_rows() -> None:
    retailer = make_retailer(days=200, products=3)
    origins = [retailer.last_day - timedelta(days=days) for days in (28, 14)]
    features, contract = retailer.features(origins)
    fitted = create("seasonal_naive").fit(training_rows(features, origins[0]), contract)
    heard: list[tuple[str, date]] = []
    result, alignment, spreads = run_backtest(
        features,
        contract,
        {"lightgbm": lambda _: create("lightgbm", threads=1), "champion": lambda _: fitted},
        origins,
        on_fit=lambda name, origin, _: heard.append((name, origin)),
    )
    assert alignment.is_empty()
    assert [*spreads] == ["lightgbm"]
    keys = ["store_id", "product_id", "date", "forecast_origin", "horizon"]
    outcome = {"units", "exposure", "kind", "pit_low", "pit_high"}
    assert set(result.columns) == {*keys, *FORECAST_NUMBERS, "model", *outcome}
    first, second = (result.filter(pl.col("model") == name).select(*keys, "units") for name in ("lightgbm", "champion"))
    assert first.equals(second)
    assert len(first) == 2 * 6 * 14
    assert heard == [(name, origin) for origin in origins for name in ("lightgbm", "champion")]
    joined = first.join(retailer.demand, on=["store_id", "product_id", "date"], maintain_order="left")
    assert joined["units"].equals(joined["units_right"])


def test_nothing_after_the_origin_is_learned_from() -> None:
    retailer = make_retailer(days=200, products=2)
    origin = retailer.last_day - timedelta(days=14)
    features, contract = retailer.features([origin])
    spoiled = features.with_columns(
        units=pl.when(pl.col("training") & (pl.col("date") > origin)).then(1000.0).otherwise("units").cast(pl.Float32)
    )
    one, two = (
        run_backtest(frame, contract, {"m": lambda _: create("lightgbm", threads=1)}, [origin])[0]
        for frame in (features, spoiled)
    )
    assert not features.equals(spoiled)
    assert one.equals(two)
    assert training_rows(features, origin).select((pl.col("date") <= origin).all()).item()


def test_an_origin_whose_horizon_is_not_over_is_scored_on_the_days_that_are() -> None:
    retailer = make_retailer(days=100, products=2)
    origins = [retailer.last_day - timedelta(days=5), retailer.last_day]
    features, contract = retailer.features(origins)
    made = run_backtest(features, contract, {"m": lambda _: create("lightgbm", threads=1)}, origins[:1]).forecasts
    assert made.group_by("store_id", "product_id").len()["len"].to_list() == [5] * 4
    assert made["date"].max() == retailer.last_day
    assert made["units"].null_count() == 0


def test_without_an_outcome_nothing_is_said() -> None:
    retailer = make_retailer(days=100, products=1)
    features, contract = retailer.features([retailer.last_day])
    seen, _ = retailer.features([retailer.last_day - timedelta(days=14)])
    candidates = {"m": lambda _: create("seasonal_naive")}
    nothing = run_backtest(features, contract, candidates, [retailer.last_day])
    something = run_backtest(seen, contract, candidates, [retailer.last_day - timedelta(days=14)])
    assert nothing.forecasts.is_empty()
    assert nothing.forecasts.schema == something.forecasts.schema
    assert nothing.alignment.is_empty()
    assert nothing.spreads == {}


@pytest.mark.parametrize("weekly", [False, True])
@pytest.mark.parametrize("units", [[3.0], [3.0, 0.0], [3.0, 0.0, 2.0]], ids=len)
def test_a_history_of_a_few_periods_is_forecast_and_scored_as_far_as_it_goes(units: list[float], weekly: bool) -> None:
    """There is not a single row to train on."""
    retailer = tiny_series(units, weekly=weekly)
    shop = {"horizon": retailer.horizon, "frequency": retailer.frequency}
    origins = backtest_origins(retailer.demand["date"].min(), retailer.last_day, count=3, **shop)  # type: ignore[arg-type]
    features, contract = retailer.features([*origins, retailer.last_day])
    names = ("seasonal_naive", "gradient_boosting", "lightgbm", "ensemble")
    candidates = {name: lambda _, name=name: create(name, threads=1) for name in names}
    made = run_backtest(features, contract, candidates, origins).forecasts
    assert made["model"].n_unique() == (4 if origins else 0)
    ahead = retailer.ahead(contract).rows
    for name in names:
        forecast = create(name, threads=1).fit(training_rows(features, retailer.last_day), contract).forecast(ahead)
        assert len(forecast) == retailer.horizon
        assert forecast.select(pl.col(FORECAST_NUMBERS).is_finite().all()).row(0) == (True,) * len(FORECAST_NUMBERS)
        assert (forecast["mean"] > 0).all() or name == "seasonal_naive"


def test_the_ensemble_adopts_what_was_fitted_and_is_the_mean_of_it() -> None:
    retailer = make_retailer(days=200, products=2)
    origin = retailer.last_day - timedelta(days=14)
    features, contract = retailer.features([origin])
    names = ("lightgbm", "gradient_boosting", "ensemble")
    candidates = {name: lambda _, name=name: create(name, threads=1) for name in names}
    together, _, _ = run_backtest(features, contract, candidates, [origin])
    alone, _, _ = run_backtest(features, contract, {"ensemble": candidates["ensemble"]}, [origin])
    means = [together.filter(pl.col("model") == name)["mean"].to_numpy() for name in names]
    assert means[2] == pytest.approx((means[0] + means[1]) / 2, rel=1e-6)
    assert together.filter(pl.col("model") == "ensemble").equals(alone)


def test_probabilities_tell_where_units_fell() -> None:
    retailer = make_retailer(days=300, products=4)
    origin = retailer.last_day - timedelta(days=14)
    features, contract = retailer.features([origin])
    made, _, _ = run_backtest(features, contract, {"m": lambda _: create("lightgbm", threads=1)}, [origin])
    made = made.filter(pl.col("exposure") == 1).drop_nulls("pit_low")
    low, high, units = (made[name].to_numpy() for name in ("pit_low", "pit_high", "units"))
    assert (low <= high).all()
    for level, column in zip(QUANTILE_LEVELS, QUANTILE_COLUMNS, strict=True):
        above, below = units > made[column].to_numpy(), units < made[column].to_numpy()
        open_days = made["mean"].to_numpy() > 0
        assert (low[above & open_days] >= level - 1e-5).all()
        assert (high[below & open_days] <= level + 1e-5).all()


def spoiled(features: pl.DataFrame, which: pl.Expr) -> pl.DataFrame:
    """With ten times the outcome on those rows to be forecast."""
    wild = pl.when(~pl.col("training") & which).then(10 * pl.col("units") + 5).otherwise("units")
    return features.with_columns(units=wild.cast(pl.Float32))


def test_an_origin_is_judged_by_what_the_others_taught() -> None:
    retailer = make_retailer(days=250, products=4)
    origins = [retailer.last_day - timedelta(days=days) for days in (28, 14)]
    features, contract = retailer.features(origins)
    recipe = {"m": lambda _: create("lightgbm", threads=1)}
    made = [
        run_backtest(frame, contract, recipe, origins).forecasts.drop("units", "pit_low", "pit_high")
        for frame in (features, spoiled(features, pl.col("forecast_origin") == origins[1]))
    ]
    first, second = ([frame.filter(pl.col("forecast_origin") == origin) for frame in made] for origin in origins)
    assert second[0].equals(second[1])
    assert first[0]["mean"].equals(first[1]["mean"])
    assert first[1]["q90"].sum() > 1.2 * first[0]["q90"].sum()
    assert first[1]["variance"].sum() > 2 * first[0]["variance"].sum()


def test_a_single_origin_is_judged_by_halves_of_the_series() -> None:
    retailer = make_retailer(days=250, products=4)
    origin = retailer.last_day - timedelta(days=14)
    features, contract = retailer.features([origin])
    recipe = {"m": lambda _: create("lightgbm", threads=1)}
    series = pl.struct("store_id", "product_id")
    half = features.filter(~pl.col("training")).select(series.unique().sort().alias("series"))["series"][::2]
    wild = spoiled(features, series.is_in(half.implode()))
    made = [run_backtest(frame, contract, recipe, [origin]).forecasts for frame in (features, wild)]
    own, other = (
        [frame.filter(which) for frame in made]
        for which in (series.is_in(half.implode()), ~series.is_in(half.implode()))
    )
    assert own[0]["variance"].equals(own[1]["variance"])
    assert other[1]["variance"].sum() > 2 * other[0]["variance"].sum()
