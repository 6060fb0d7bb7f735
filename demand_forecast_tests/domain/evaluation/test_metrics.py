"""Every metric against plain loops, sklearn, or a case worked by hand."""

import math
from datetime import date, timedelta
from typing import get_args

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from demand_forecast.domain.demand.demand_classes import demand_classes
from demand_forecast.domain.demand.hierarchy import SERIES_LEVEL, Level, hierarchy_levels
from demand_forecast.domain.evaluation import metrics
from demand_forecast.domain.evaluation.scoring import score_backtest, summary_table
from demand_forecast.domain.tables import QUANTILE_COLUMNS, QUANTILE_LEVELS
from demand_forecast.settings import Promotion

FIRST = date(2024, 1, 1)
DAYS = 120
HORIZON = 14
ORIGINS = [FIRST + timedelta(days=DAYS - 1 - HORIZON * k) for k in (2, 1)]
SEASON = 7
PRODUCTS = pl.DataFrame({"product_id": ["a", "b", "c", "d"], "cat": ["x", "x", "y", "y"]})
STORES = pl.DataFrame({"store_id": ["s1", "s2", "s3"], "city": ["n", "n", "m"]})
LEVELS = hierarchy_levels(PRODUCTS, STORES, ["cat", "city"])
Series = tuple[str, str]


def _units() -> dict[Series, np.ndarray]:
    """Each series' units over DAYS, NaN before its first sale."""
    rng = np.random.default_rng(3)
    units = {}
    for number, key in enumerate((s, p) for s in STORES["store_id"] for p in PRODUCTS["product_id"]):
        sold = rng.poisson(0.4 + number, DAYS).astype(float)
        first = 5 * number
        sold[first] = max(sold[first], 1)
        sold[:first] = np.nan
        units[key] = sold
    return units


def _prices() -> dict[Series, float]:
    return {(s, p): 1.5 + i + 3 * j for i, s in enumerate(STORES["store_id"]) for j, p in enumerate("abcd")}


def _demand(units: dict[Series, np.ndarray]) -> pl.DataFrame:
    days = [FIRST + timedelta(days=day) for day in range(DAYS)]
    frames = [
        pl.DataFrame({"date": days, "units": sold}).with_columns(
            pl.lit(key[0]).alias("store_id"), pl.lit(key[1]).alias("product_id"), pl.lit(_prices()[key]).alias("price")
        )
        for key, sold in units.items()
    ]
    known = pl.concat(frames).filter(pl.col("units").is_not_nan())
    return known.with_columns(
        pl.col("units", "price").cast(pl.Float32), in_stock=pl.lit(1.0, pl.Float32), open=pl.lit(True)
    )


def _backtest(demand: pl.DataFrame) -> pl.DataFrame:
    """Two models on two origins: last week again, and the same with noise; quantiles spread around the mean."""
    rng = np.random.default_rng(5)
    frames = []
    for origin in ORIGINS:
        target = demand.filter(pl.col("date") > origin, pl.col("date") <= origin + timedelta(days=HORIZON))
        target = target.select("store_id", "product_id", "date", "units", pl.lit(origin).alias("forecast_origin"))
        for model, noise in (("seasonal_naive", 0.9), ("gradient_boosting", 0.3)):
            mean = np.abs(target["units"].to_numpy() + rng.normal(0, noise, target.height) * 3)
            quantiles = [
                pl.Series(q, np.round(mean * 2 * p)) for q, p in zip(QUANTILE_COLUMNS, QUANTILE_LEVELS, strict=True)
            ]
            made = target.with_columns(pl.Series("mean", mean), *quantiles, pl.lit(model).alias("model"))
            frames.append(made.with_columns(*_transform(target["units"].to_numpy(), mean + 0.1)))
    made = pl.concat(frames).with_columns(exposure=pl.lit(1.0, pl.Float32))
    return made.with_columns(pl.col("mean", *QUANTILE_COLUMNS, "pit_low", "pit_high").cast(pl.Float32))


def _transform(units: np.ndarray, mean: np.ndarray | float, shape: float = 1.5) -> list[pl.Series]:
    """F(y-1) and F(y) of the negative binomial with this mean."""
    from scipy.stats import nbinom

    law = nbinom(shape, shape / (shape + mean))
    return [pl.Series("pit_low", law.cdf(units - 1)), pl.Series("pit_high", law.cdf(units))]


UNITS = _units()
DEMAND = _demand(UNITS)
BACKTEST = _backtest(DEMAND)
SCORES = score_backtest(BACKTEST, DEMAND, LEVELS, PRODUCTS, STORES, season=SEASON)


def value(
    scores: pl.DataFrame, metric: str, level: str, origin: date | None, model: str = "gradient_boosting"
) -> float:
    row = scores.filter(
        pl.col("model") == model,
        pl.col("metric") == metric,
        pl.col("level") == level,
        pl.col("forecast_origin").eq_missing(pl.lit(origin, pl.Date)),
    )
    assert row.height == 1, (metric, level, origin, row)
    return row["value"].item()


def _members(columns: tuple[str, ...]) -> list[list[Series]]:
    """The nodes of a level, each the list of its series."""
    cat = dict(PRODUCTS.rows())
    city = dict(STORES.rows())
    nodes: dict[tuple[str, ...], list[Series]] = {}
    for store, product in UNITS:
        label = {"store_id": store, "product_id": product, "cat": cat[product], "city": city[store]}
        nodes.setdefault(tuple(label[column] for column in columns), []).append((store, product))
    return list(nodes.values())


def _forecasts(model: str, origin: date) -> dict[Series, np.ndarray]:
    rows = BACKTEST.filter(pl.col("model") == model, pl.col("forecast_origin") == origin).sort("date")
    return {key: rows.filter(store_id=key[0], product_id=key[1])["mean"].to_numpy().astype(float) for key in UNITS}


def _loop_node(members: list[Series], model: str, origin: date) -> tuple[float, float, float]:
    """RMSSE, MASE and revenue weight of one node by the definitions, a day at a time."""
    end = (origin - FIRST).days + 1
    total = [sum(UNITS[key][day] for key in members if not math.isnan(UNITS[key][day])) for day in range(end + HORIZON)]
    first = min(int(np.flatnonzero(~np.isnan(UNITS[key]))[0]) for key in members)
    squares = [(total[day] - total[day - 1]) ** 2 for day in range(first + 1, end)]
    seasonal = [abs(total[day] - total[day - SEASON]) for day in range(first + SEASON, end)]
    forecast = _forecasts(model, origin)
    errors = [total[end + h] - sum(forecast[key][h] for key in members) for h in range(HORIZON)]
    rmsse = math.sqrt(sum(e**2 for e in errors) / HORIZON / (sum(squares) / len(squares)))
    mase = sum(abs(e) for e in errors) / HORIZON / (sum(seasonal) / len(seasonal))
    weight = sum(UNITS[key][day] * _prices()[key] for key in members for day in range(end - 28, end))
    return rmsse, mase, weight


def _loop_level(columns: tuple[str, ...], model: str, origin: date) -> tuple[float, float]:
    nodes = [_loop_node(members, model, origin) for members in _members(columns)]
    weighted = sum(rmsse * weight for rmsse, _, weight in nodes) / sum(weight for _, _, weight in nodes)
    return weighted, sum(mase for _, mase, _ in nodes) / len(nodes)


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
@pytest.mark.parametrize("origin", ORIGINS)
def test_rmsse_and_mase_of_every_level_are_those_of_plain_loops(level: Level, origin: date) -> None:
    rmsse, mase = _loop_level(level.columns, "gradient_boosting", origin)
    assert value(SCORES, "rmsse", level.name, origin) == pytest.approx(rmsse, rel=1e-6)
    assert value(SCORES, "mase", level.name, origin) == pytest.approx(mase, rel=1e-6)


@pytest.mark.parametrize("model", ["seasonal_naive", "gradient_boosting"])
def test_wrmsse_weighs_every_level_the_same(model: str) -> None:
    by_origin = [np.mean([_loop_level(level.columns, model, origin)[0] for level in LEVELS]) for origin in ORIGINS]
    assert value(SCORES, "wrmsse", "all", ORIGINS[0], model) == pytest.approx(by_origin[0], rel=1e-6)
    assert value(SCORES, "wrmsse", "all", None, model) == pytest.approx(np.mean(by_origin), rel=1e-6)


def test_without_a_price_units_weigh() -> None:
    unpriced = DEMAND.with_columns(price=pl.lit(None, pl.Float32))
    one = DEMAND.with_columns(price=pl.lit(1.0, pl.Float32))
    scores = [score_backtest(BACKTEST, demand, LEVELS, PRODUCTS, STORES, season=SEASON) for demand in (unpriced, one)]
    assert value(scores[0], "wrmsse", "all", None) == pytest.approx(value(scores[1], "wrmsse", "all", None))
    assert value(scores[0], "wrmsse", "all", None) != pytest.approx(value(SCORES, "wrmsse", "all", None))


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_wape_and_bias_add_up_before_they_compare(level: Level) -> None:
    forecast, origin = _forecasts("gradient_boosting", ORIGINS[1]), (ORIGINS[1] - FIRST).days + 1
    wrong = off = sold = 0.0
    for members in _members(level.columns):
        for h in range(HORIZON):
            actual = sum(UNITS[key][origin + h] for key in members)
            error = sum(forecast[key][h] for key in members) - actual
            wrong, off, sold = wrong + abs(error), off + error, sold + actual
    assert value(SCORES, "wape", level.name, ORIGINS[1]) == pytest.approx(wrong / sold, rel=1e-6)
    assert value(SCORES, "bias", level.name, ORIGINS[1]) == pytest.approx(off / sold, rel=1e-5)


def test_pinball_and_wql_are_those_of_sklearn() -> None:
    from sklearn.metrics import mean_pinball_loss

    rows = BACKTEST.filter(pl.col("model") == "gradient_boosting", pl.col("forecast_origin") == ORIGINS[0])
    pairs = zip(QUANTILE_COLUMNS, QUANTILE_LEVELS, strict=True)
    losses = [mean_pinball_loss(rows["units"], rows[column], alpha=level) for column, level in pairs]
    assert value(SCORES, "pinball", "series", ORIGINS[0]) == pytest.approx(np.mean(losses))
    expected = 2 * np.mean(losses) * rows.height / rows["units"].sum()
    assert value(SCORES, "wql", "series", ORIGINS[0]) == pytest.approx(expected)


def _pairs(units: list[float], **quantiles: list[float]) -> pl.DataFrame:
    columns = {column: quantiles.get(column, [np.nan] * len(units)) for column in QUANTILE_COLUMNS}
    return pl.DataFrame({"units": units, "mean": units, **columns})


def test_coverage_counts_both_ends() -> None:
    pairs = _pairs([0.0, 1.0, 2.0, 5.0], q10=[0.0, 2.0, 1.0, 1.0], q90=[1.0, 3.0, 2.0, 4.0])
    assert pairs.select(metrics.coverage_80()).item() == 0.5


def _shares(pairs: pl.DataFrame) -> pl.DataFrame:
    return pairs.select(**metrics.pit_shares())


def _loop_share(pairs: pl.DataFrame, tenth: int) -> float:
    """The mean part of [pit_low, pit_high] in a tenth, a pair at a time; a point counts in its tenth."""
    low, high, parts = tenth / 10, (tenth + 1) / 10, []
    for start, end in pairs.select("pit_low", "pit_high").iter_rows():
        if start == end:
            parts.append(float(low <= start < high or (tenth == 9 and start == 1)))
        else:
            parts.append(max(min(end, high) - max(start, low), 0) / (end - start))
    return sum(parts) / len(parts)


def test_shares_are_those_of_a_plain_loop_points_too() -> None:
    rng = np.random.default_rng(1)
    ends = np.sort(rng.uniform(0, 1, (500, 2)), axis=1)
    points = np.array([0.0, 0.05, 0.1, 0.3, 0.55, 1.0])[:, None].repeat(2, axis=1)
    pairs = pl.DataFrame(np.concatenate([ends, points]), schema=["pit_low", "pit_high"])
    found = _shares(pairs).row(0)
    assert found == pytest.approx([_loop_share(pairs, tenth) for tenth in range(10)], abs=1e-12)
    assert sum(found) == pytest.approx(1)


@pytest.mark.parametrize("mean", [0.2, 1.0, 30.0])
def test_counts_from_their_own_distribution_fill_every_tenth_alike(mean: float) -> None:
    from scipy.stats import nbinom

    units = nbinom(1.5, 1.5 / (1.5 + mean)).ppf((np.arange(20_000) + 0.5) / 20_000)
    shares = _shares(pl.DataFrame(_transform(units, mean)))
    assert shares.row(0) == pytest.approx([0.1] * 10, abs=1e-3)
    assert shares.select(metrics.calibration_error()).item() < 1e-3
    halved = _shares(pl.DataFrame(_transform(units, mean / 2)))
    assert halved["pit_100"].item() > 0.15
    assert halved.select(metrics.calibration_error()).item() > 0.05


def test_calibration_error_is_the_largest_gap_of_the_sums() -> None:
    shares = dict(zip(metrics.PIT_SHARES, [0.2, 0.1, 0.1, 0.0, *[0.1] * 6], strict=True))
    assert pl.DataFrame(shares).select(metrics.calibration_error()).item() == pytest.approx(0.1)


def test_calibration_over_all_origins_is_that_of_the_mean_shares() -> None:
    shares = [sum(value(SCORES, name, "series", day) for day in ORIGINS) / len(ORIGINS) for name in metrics.PIT_SHARES]
    expected = max(abs(sum(shares[: tenth + 1]) - (tenth + 1) / 10) for tenth in range(9))
    assert value(SCORES, "calibration_error", "series", None) == pytest.approx(expected)


@pytest.mark.parametrize("origin", ORIGINS)
def test_a_class_is_scored_as_if_its_series_were_alone(origin: date) -> None:
    named = demand_classes(DEMAND, [origin])
    at_origin = BACKTEST.filter(pl.col("forecast_origin") == origin)
    measured = ("wape", "bias", "rmsse", "mase", "wql", "pinball", "coverage_80", "calibration_error", "fva_wql")
    assert named["demand_class"].n_unique() >= 3
    for (name,), members in named.group_by("demand_class"):
        alone = at_origin.join(members, on=["store_id", "product_id"], how="semi")
        scores = score_backtest(alone, DEMAND, [SERIES_LEVEL], PRODUCTS, STORES, season=SEASON)
        for metric in measured:
            expected = value(scores, metric, "series", origin)
            assert value(SCORES, metric, f"class {name}", origin) == pytest.approx(expected), (name, metric)
        sold = float(alone["units"].sum()) / float(at_origin["units"].sum())
        assert value(SCORES, "series", f"class {name}", origin) == members.height
        assert value(SCORES, "share_of_units", f"class {name}", origin) == pytest.approx(sold)


def test_zero_denominators_give_null() -> None:
    pairs = pl.DataFrame(
        {"units": [0.0, 0.0], "mean": [1.0, 0.0], "squared_scale": [0.0] * 2, "absolute_scale": [0.0] * 2}
    )
    quantiles = pairs.with_columns(pl.lit(1.0).alias(column) for column in QUANTILE_COLUMNS)
    scaled = (metrics.wape(), metrics.bias(), metrics.rmsse(), metrics.mase(), metrics.wql())
    assert [quantiles.select(expression).item() for expression in scaled] == [None] * 5


def test_value_added_compares_with_seasonal_naive() -> None:
    for metric, level in (("wape", "cat"), ("wrmsse", "all"), ("wql", "series")):
        naive = value(SCORES, metric, level, None, "seasonal_naive")
        expected = 1 - value(SCORES, metric, level, None) / naive
        assert value(SCORES, f"fva_{metric}", level, None) == pytest.approx(expected)
        assert value(SCORES, f"fva_{metric}", level, None, "seasonal_naive") == 0


def test_days_without_goods_are_left_out_at_every_level() -> None:
    gone = (pl.col("store_id") == "s1") & (pl.col("date") > ORIGINS[1] + timedelta(days=3))
    empty = BACKTEST.with_columns(exposure=pl.when(gone).then(0.0).otherwise("exposure"))
    scores = score_backtest(empty, DEMAND, LEVELS, PRODUCTS, STORES, season=SEASON)
    kept = score_backtest(BACKTEST.filter(~gone), DEMAND, LEVELS, PRODUCTS, STORES, season=SEASON)
    assert_frame_equal(scores, kept)
    assert value(scores, "wape", "total", None) != value(SCORES, "wape", "total", None)


def test_a_perfect_forecast_has_no_bias_where_goods_are_partly_missing() -> None:
    """On three days in ten goods are there for some part of the day only, of which what is sold is the same part."""
    rng = np.random.default_rng(2)
    partly = np.where(rng.random(len(BACKTEST)) < 0.3, rng.uniform(0.1, 0.9, len(BACKTEST)), 1.0)
    demand = rng.poisson(20, len(BACKTEST))
    perfect = BACKTEST.with_columns(
        mean=pl.lit(20.0, pl.Float32),
        units=pl.Series(rng.binomial(demand, partly), dtype=pl.Float32),
        exposure=pl.Series(partly, dtype=pl.Float32),
    )
    scores = score_backtest(perfect, DEMAND, LEVELS, PRODUCTS, STORES, season=SEASON)
    assert value(scores, "bias", "total", None) == pytest.approx(0, abs=0.03)


def test_pairs_of_nothing_expected_and_nothing_sold_say_nothing_of_calibration() -> None:
    told = pl.DataFrame({"pit_low": [0.0, 0.2, 0.3], "pit_high": [0.2, 0.3, 0.5]})
    silent = pl.DataFrame({"pit_low": [None] * 3, "pit_high": [None] * 3}, schema=told.schema)
    errors = [_shares(rows).select(metrics.calibration_error()).item() for rows in (told, pl.concat([told, silent]))]
    assert errors[0] == errors[1] > 0.3


def test_order_of_rows_changes_nothing() -> None:
    shuffled = score_backtest(
        BACKTEST.sample(fraction=1.0, shuffle=True, seed=1),
        DEMAND.sample(fraction=1.0, shuffle=True, seed=2),
        LEVELS,
        PRODUCTS,
        STORES,
        season=SEASON,
    )
    assert_frame_equal(shuffled, SCORES)


def test_a_product_without_history_has_no_scale_and_no_weight() -> None:
    unknown = DEMAND.filter(pl.col("product_id") != "d")
    scores = score_backtest(BACKTEST, unknown, LEVELS, PRODUCTS, STORES, season=SEASON)
    kept = score_backtest(
        BACKTEST.filter(pl.col("product_id") != "d"), unknown, LEVELS, PRODUCTS, STORES, season=SEASON
    )
    for metric in ("rmsse", "mase"):
        assert value(scores, metric, "series", None) == pytest.approx(value(kept, metric, "series", None))
    assert value(scores, "wape", "series", None) == value(SCORES, "wape", "series", None)


def test_a_model_that_skips_days_is_named() -> None:
    skipping = BACKTEST.filter(~((pl.col("model") == "gradient_boosting") & (pl.col("date") == BACKTEST["date"].max())))
    with pytest.raises(
        ValueError, match=r"backtest: gradient_boosting at origin 2024-04-15 has 156 rows .* 168 series-days"
    ):
        score_backtest(skipping, DEMAND, LEVELS, PRODUCTS, STORES, season=SEASON)


def test_a_missing_forecast_makes_its_metrics_not_a_number() -> None:
    last = (pl.col("model") == "gradient_boosting") & (pl.col("date") == BACKTEST["date"].max())
    holes = BACKTEST.with_columns(pl.when(~last).then(pl.col("mean", *QUANTILE_COLUMNS, "pit_low", "pit_high")))
    row = summary_table(score_backtest(holes, DEMAND, LEVELS, PRODUCTS, STORES, season=SEASON))
    holed = row.filter(pl.col("model") == "gradient_boosting").row(0, named=True)
    assert all(math.isnan(holed[metric]) for metric in ("wape", "bias", "wrmsse", "wql", "calibration_error"))
    assert math.isfinite(row.filter(pl.col("model") == "seasonal_naive")["wrmsse"].item())


def test_weekly_rows_are_scaled_by_weeks() -> None:
    weekly = {"date": pl.lit(FIRST) + pl.duration(days=(pl.col("date") - FIRST).dt.total_days() * 7)}
    origin = {
        "forecast_origin": pl.lit(FIRST) + pl.duration(days=(pl.col("forecast_origin") - FIRST).dt.total_days() * 7)
    }
    stretched = BACKTEST.with_columns(**weekly, **origin)
    scores = score_backtest(stretched, DEMAND.with_columns(**weekly), LEVELS, PRODUCTS, STORES, season=SEASON)
    for metric in ("rmsse", "mase", "wape"):
        assert value(scores, metric, "total", None) == pytest.approx(value(SCORES, metric, "total", None))


def test_summary_has_a_row_per_model_best_first() -> None:
    table = summary_table(SCORES)
    assert table["model"].to_list() == ["gradient_boosting", "seasonal_naive"]
    best = table.row(0, named=True)
    assert best["wape"] == value(SCORES, "wape", "series", None)
    assert best["bias"] == value(SCORES, "bias", "total", None)
    assert best["fva_wrmsse"] == value(SCORES, "fva_wrmsse", "all", None)


def test_a_summary_without_the_baseline_has_no_value_added() -> None:
    alone = BACKTEST.filter(pl.col("model") == "gradient_boosting")
    row = summary_table(score_backtest(alone, DEMAND, LEVELS, PRODUCTS, STORES, season=SEASON)).row(0, named=True)
    assert row["fva_wape"] is None
    assert row["wrmsse"] == pytest.approx(value(SCORES, "wrmsse", "all", None))


def test_metrics_that_may_choose_are_those_the_settings_offer() -> None:
    offered = get_args(Promotion.model_fields["metric"].annotation)
    assert {name for name, one in metrics.METRICS.items() if one.may_choose} == set(offered)
    assert all("Source:" in one.description for one in metrics.METRICS.values())
