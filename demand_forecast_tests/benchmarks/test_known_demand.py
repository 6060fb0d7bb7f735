"""The retailer whose demand is known: it sells what it says it does, and goods are missing as a scenario says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from scipy.stats import nbinom

from benchmarks.known_demand.__main__ import SCENARIOS, main
from benchmarks.known_demand.landing import land
from benchmarks.known_demand.measures import ALL, service_figures
from benchmarks.known_demand.sellers import KINDS, DemandLaw, Retailer, open_retailer
from benchmarks.known_demand.shelf import RUN_DAYS, Sales, Scenario
from demand_forecast.settings import load_settings

SEED = 7
NOISE = 4  # standard errors that are no evidence


@pytest.fixture(scope="module")
def retailer() -> Retailer:
    return open_retailer(products=24, history=728, horizon=28, seed=SEED)


@pytest.fixture(scope="module")
def steady(retailer: Retailer) -> Retailer:
    """The same expected demand, and every unit asked for by itself: Poisson."""
    law = DemandLaw(np.ones(len(retailer.series)), np.ones(len(retailer.series)))
    return replace(retailer, law=law, demand=law.draw(retailer.expected, np.random.default_rng(SEED)))


@pytest.fixture(scope="module")
def sold_out(retailer: Retailer) -> Sales:
    return Scenario.of("sold_out-20").sell(retailer, SEED)


def of_kind(retailer: Retailer, kind: str) -> np.ndarray:
    return (retailer.series["kind"] == kind).to_numpy()


def standard_error(values: np.ndarray) -> float:
    return float(values.std() / np.sqrt(values.size))


@pytest.mark.parametrize("kind", KINDS)
def test_expected_is_the_mean_of_demand(retailer: Retailer, kind: str) -> None:
    rows = of_kind(retailer, kind)
    error = retailer.demand[rows] - retailer.expected[rows]
    assert abs(error.mean()) < NOISE * standard_error(error)
    level = retailer.expected[rows].mean(axis=1)
    assert KINDS[kind].level[0] * 0.9 < level.min() < level.max() < KINDS[kind].level[1] * 1.1


def test_a_day_varies_as_its_series_says(retailer: Retailer) -> None:
    one_by_one = retailer.law.basket == 1
    error = (retailer.demand - retailer.expected)[one_by_one]
    ratio = (error**2).mean(axis=1) / retailer.expected[one_by_one].mean(axis=1)
    assert np.corrcoef(ratio, retailer.law.dispersion[one_by_one])[0, 1] > 0.9
    assert ratio.mean() == pytest.approx(retailer.law.dispersion[one_by_one].mean(), rel=0.03)


def test_weeks_and_years_have_their_seasons(retailer: Retailer) -> None:
    fast = retailer.expected[of_kind(retailer, "fast")]
    weekday = np.array([day.weekday() for day in retailer.days])
    assert fast[:, weekday == 5].mean() > 1.2 * fast[:, weekday == 0].mean()
    weeks = fast[0].reshape(-1, 7).mean(axis=1)
    assert 1.2 < weeks.max() / weeks.min() < 1.35
    assert weeks[:52].mean() == pytest.approx(weeks[52:104].mean(), rel=0.01)  # no trend


@pytest.mark.parametrize("units", [1, 2, 6, 12])
def test_chances_are_those_of_what_is_drawn(retailer: Retailer, units: int) -> None:
    wanted = np.full(retailer.demand.shape, units)
    chance = retailer.law.at_least(wanted, retailer.expected)
    for kind in KINDS:
        own, happened = (values[of_kind(retailer, kind)] for values in (chance, retailer.demand >= units))
        assert abs(happened.sum() - own.sum()) < NOISE * np.sqrt((own * (1 - own)).sum()) + 0.5


def test_futures_are_sums_of_the_days_ahead(retailer: Retailer) -> None:
    """Days of one ratio of variance to mean add up to a negative binomial of that ratio."""
    rows = of_kind(retailer, "medium")
    needed = retailer.futures(10, 2000, np.random.default_rng(SEED))[rows]
    mean = retailer.expected[rows, retailer.history : retailer.history + 10].sum(axis=1)
    spread = retailer.law.dispersion[rows] - 1
    limit = nbinom.ppf(0.9, mean / spread, 1 / (1 + spread))
    within = needed <= limit[:, None]
    chance = nbinom.cdf(limit, mean / spread, 1 / (1 + spread))
    assert abs((within - chance[:, None]).mean()) < NOISE * standard_error(within)


def test_goods_missing_by_supply_are_missing_whatever_is_asked(retailer: Retailer) -> None:
    sales, demand = Scenario.of("supply-20").sell(retailer, SEED), retailer.demand[:, : retailer.history]
    wholly, partly = sales.in_stock == 0, (sales.in_stock > 0) & (sales.in_stock < 1)
    assert (wholly | partly).mean() == pytest.approx(0.2, abs=0.01)
    assert wholly.mean() == pytest.approx(0.1, abs=0.01)
    starts = wholly[:, 1:] & ~wholly[:, :-1]
    assert wholly.sum() / starts.sum() == pytest.approx(RUN_DAYS, rel=0.1)
    thinned = (sales.units - sales.in_stock * demand)[partly]
    assert abs(thinned.mean()) < NOISE * standard_error(thinned)
    surplus = (demand - retailer.expected[:, : retailer.history])[wholly | partly]
    assert abs(surplus.mean()) < NOISE * standard_error(surplus)


def test_as_many_days_sell_out_as_the_scenario_says(retailer: Retailer, sold_out: Sales) -> None:
    gone = {kind: (sold_out.in_stock < 1)[of_kind(retailer, kind)].mean() for kind in KINDS}
    assert [gone["fast"], gone["medium"]] == pytest.approx([0.2, 0.2], abs=0.01)
    assert 0 < gone["lumpy"] < gone["slow"] < 0.2


def test_a_shelf_is_empty_from_the_moment_its_last_unit_is_sold(retailer: Retailer, sold_out: Sales) -> None:
    """Against customers who come one by one at random times."""
    demand, whole = retailer.demand[:, : retailer.history], sold_out.in_stock == 1
    assert (sold_out.units[whole] == demand[whole]).all()
    rng, shelf, asked = np.random.default_rng(SEED), 5, 8
    alike = (sold_out.units == shelf) & (demand == asked)
    times = np.sort(rng.random((4000, asked)), axis=1)[:, shelf - 1]
    share = sold_out.in_stock[alike]
    assert share.mean() == pytest.approx(times.mean(), abs=NOISE * standard_error(share) + 0.01)
    assert share.std() == pytest.approx(times.std(), rel=0.15)


def rate_error(rate: np.ndarray, retailer: Retailer, of: np.ndarray) -> tuple[float, float]:
    """Mean and standard error of rate / true rate - 1 over series."""
    apart = rate / retailer.expected[of, : retailer.history].mean(axis=1) - 1
    return float(apart.mean()), standard_error(apart)


@pytest.mark.parametrize(("kind", "sign"), [("fast", 1), ("slow", -1)])
def test_units_by_time_in_stock_is_the_rate_and_the_mean_of_scaled_days_is_not(
    steady: Retailer, kind: str, sign: int
) -> None:
    """Wald: units sold until the shelf is empty are expected to be the rate times the time until then."""
    rows = of_kind(steady, kind)
    sales = Scenario.of("sold_out-20").sell(steady, SEED)
    units, share = sales.units[rows], sales.in_stock[rows]
    season = steady.expected[rows, : steady.history]
    season = season / season.mean(axis=1, keepdims=True)
    mean, error = rate_error(units.sum(axis=1) / (share * season).sum(axis=1), steady, rows)
    assert abs(mean) < NOISE * error
    enough = share >= 0.5
    scaled = np.where(enough, units / np.maximum(share, 0.5), 0).sum(axis=1) / (enough * season).sum(axis=1)
    mean, error = rate_error(scaled, steady, rows)
    assert sign * mean > NOISE * error


def test_where_days_differ_by_themselves_time_in_stock_is_no_longer_enough(retailer: Retailer, sold_out: Sales) -> None:
    """A day on which much is asked is a short one: sum(units) / sum(share) is below the rate."""
    rows = of_kind(retailer, "slow")
    seen = sold_out.units[rows].sum() / (sold_out.in_stock * retailer.expected[:, : retailer.history])[rows].sum() - 1
    assert -0.12 < seen < -0.03


def test_mixed_is_half_of_each(retailer: Retailer) -> None:
    sales = Scenario.of("mixed-30").sell(retailer, SEED)
    fast = of_kind(retailer, "fast")
    assert (sales.in_stock[fast] < 1).mean() == pytest.approx(0.3, abs=0.015)
    assert (sales.in_stock[fast] == 0).mean() == pytest.approx(0.075, abs=0.01)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_is_the_same_for_the_same_seed_and_sells_no_more_than_is_asked(name: str) -> None:
    small = open_retailer(products=8, history=100, horizon=28, seed=SEED)
    first, again = (Scenario.of(name).sell(small, SEED) for _ in range(2))
    assert (first.units == again.units).all()
    assert (first.in_stock == again.in_stock).all()
    assert (first.units <= small.demand[:, :100]).all()
    assert (first.units[first.in_stock == 0] == 0).all()
    assert Scenario.of(name).name == name


@pytest.mark.parametrize("name", ["supply", "theft-10", "supply-0", "mixed-100", "none-5"])
def test_a_scenario_that_is_none_says_what_there_is(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name}: no such scenario.*supply, sold_out, mixed"):
        Scenario.of(name)


def test_files_hold_sales_and_no_truth(tmp_path: Path) -> None:
    small = open_retailer(products=8, history=100, horizon=28, seed=SEED)
    sales = Scenario.of("supply-20").sell(small, SEED)
    settings = load_settings(land(small, sales, tmp_path))
    written = {name: pl.read_csv(tmp_path / f"{name}.csv") for name in ("sales", "stock", "products", "stores")}
    assert settings.root == tmp_path / "home"
    assert (written["sales"]["units"] > 0).all()
    assert written["sales"]["units"].sum() == sales.units.sum()
    assert len(written["stock"]) == 24 * 100
    assert written["stock"].filter(pl.col("in_stock") < 1)["on_hand"].max() == 0
    assert written["products"].columns == ["product_id", "department"]
    truth = pl.read_parquet(tmp_path / "truth.parquet")
    assert truth.columns == ["store_id", "product_id", "date", "expected", "demand"]
    assert len(truth) == 24 * 128


def test_orders_up_to_the_true_quantile_keep_their_promise(
    retailer: Retailer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def perfect(*_: object) -> pl.DataFrame:
        ahead = retailer.futures(10, 2000, np.random.default_rng(1))
        stock = np.quantile(ahead, 0.9, axis=1, method="inverted_cdf")
        promised = (ahead <= stock[:, None]).mean(axis=1)
        series = retailer.series.select("store_id", "product_id").sample(fraction=1, shuffle=True, seed=1)
        known = retailer.series.with_columns(asked=pl.lit(0.9), stock=pl.Series(stock), promised=pl.Series(promised))
        return series.join(known, on=["store_id", "product_id"])

    monkeypatch.setattr("benchmarks.known_demand.measures.orders_at", perfect)
    settings = load_settings(land(retailer, Scenario.of("none").sell(retailer, SEED), tmp_path))
    kept = service_figures(retailer, tmp_path, settings, SEED)
    assert kept["seller"].to_list() == [*KINDS, ALL]
    assert kept["kept"].to_list() == pytest.approx(kept["promised"].to_list(), abs=0.015)


@pytest.mark.slow
def test_a_run_of_the_product_is_measured(tmp_path: Path) -> None:
    """Small, and short of goods: figures are complete, and a finished run is measured again alike."""
    asked = ["--out", str(tmp_path), "--scenario", "supply-20", "--products", "8", "--days", "200"]
    first = CliRunner().invoke(main, asked, catch_exceptions=False)
    again = CliRunner().invoke(main, [*asked, "--finished", "--name", "again"], catch_exceptions=False)
    assert first.exit_code == again.exit_code == 0
    files = [tmp_path / f"{name}.csv" for name in ("known_demand", "again")]
    figures, once_more = map(pl.read_csv, files)
    assert figures.equals(once_more)
    assert figures["seller"].to_list() == [*KINDS, ALL]
    assert figures.select(pl.all().is_not_null().all()).row(0) == (True,) * figures.width
    assert figures["bias"].is_between(-1, 1).all()
