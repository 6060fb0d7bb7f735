"""Pictures show the numbers of their frames: read from the figure before it is rendered, against slow sums."""

import io
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.figure import Figure
from PIL import Image

from demand_forecast.reports import style
from demand_forecast.reports.charts import accuracy, calibration, data, forecasts, monitoring

LARGEST_PNG = 60_000
COUNTS = pl.DataFrame({"day": [date(2024, 1, day) for day in (1, 2, 4)], "rows": [10, 30, 20]})
REASONS = pl.DataFrame({"reason": ["duplicate", "unknown_product"], "rows": [3, 1200]})
IMPORTANCE = pl.DataFrame({"feature": ["price", "lag_7"], "gain": [1.0, 3.0]})
DRIFT = pl.DataFrame(
    {"column": ["units", "price", "customers"], "score": [0.1, 0.4, None], "drifted": [False, True, None]}
)
WEEKS = pl.DataFrame(
    {
        "window": [date(2024, 6, 9), date(2024, 6, 16)] * 2 + [date(2024, 6, 16)] * 2,
        "role": ["champion"] * 2 + ["baseline"] * 2 + ["previous", "challenger"],
        "pairs": [100, 120, 100, 120, 60, 60],
        "wql": [0.4, 0.5, 0.6, 0.7, 0.45, 0.42],
    }
)
WINDOWS = pl.DataFrame(
    {
        "last": [date(2024, 6, 9), date(2024, 6, 16)],
        "error_ratio": [None, 1.4],
        "drift_share": [0.1, 0.2],
        "out": [False, True],
    }
)


def lines(figure: Figure, panel: int = 0) -> dict[str, np.ndarray]:
    return {str(line.get_label()): np.asarray(line.get_ydata(), float) for line in figure.axes[panel].lines}


def bars(ax: Axes) -> list[Any]:
    return list(ax.patches)


def bar_lengths(ax: Axes) -> list[float]:
    return [bar.get_width() for bar in bars(ax)]


def tenths(ax: Axes) -> list[float]:
    """The heights of a histogram's ten bars."""
    return [bar.get_height() for bar in ax.containers[0]]


def tick_names(ax: Axes) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


def words(figure: Figure) -> str:
    from matplotlib.text import Text

    return " | ".join(text.get_text() for text in figure.findobj(Text))


@pytest.fixture
def pictures(
    demand: pl.DataFrame,
    backtest: pl.DataFrame,
    metrics: pl.DataFrame,
    reorder_plan: pl.DataFrame,
    ledger: pl.DataFrame,
) -> dict[str, Callable[[], bytes]]:
    forecast = backtest.filter(pl.col("forecast_origin") == pl.col("forecast_origin").max(), model="lightgbm")
    series = ("Old Town", "P-000")
    return {
        "rows_by_day": lambda: data.rows_by_day(COUNTS),
        "rejections": lambda: data.rejections_chart(REASONS),
        "demand_over_time": lambda: data.demand_over_time(demand),
        "feature_importance": lambda: accuracy.feature_importance(IMPORTANCE),
        "error_by_horizon": lambda: accuracy.error_by_horizon(backtest),
        "skill_by_origin": lambda: accuracy.skill_by_origin(metrics),
        "metrics_by_level": lambda: accuracy.metrics_by_level(metrics),
        "metrics_by_class": lambda: accuracy.metrics_by_class(metrics),
        "calibration": lambda: calibration.calibration(metrics),
        "calibration_by_class": lambda: calibration.calibration_by_class(metrics, "lightgbm"),
        "against_actuals": lambda: forecasts.forecast_against_actuals(backtest, demand, "lightgbm", series),
        "fan": lambda: forecasts.forecast_fan(demand, forecast, series),
        "reorder": lambda: forecasts.reorder_summary(reorder_plan),
        "drift": lambda: monitoring.drift_by_column(DRIFT),
        "weeks": lambda: monitoring.accuracy_by_week(WEEKS),
        "retrain": lambda: monitoring.retrain_windows(WINDOWS, error_ratio=1.25, drift_share=0.5),
        "promotions": lambda: monitoring.promotion_history(ledger),
    }


def test_every_picture_is_a_small_png_on_white(pictures: dict[str, Callable[[], bytes]]) -> None:
    for name, draw in pictures.items():
        png = draw()
        assert png.startswith(b"\x89PNG\r\n\x1a\n"), name
        assert len(png) < LARGEST_PNG, name
        image = Image.open(io.BytesIO(png)).convert("RGB")
        assert image.size == (900, 420), name
        assert image.getpixel((1, 1)) == (255, 255, 255), name


@pytest.mark.parametrize("name", ["rows_by_day", "against_actuals"])
def test_the_same_frame_gives_the_same_bytes(pictures: dict[str, Callable[[], bytes]], name: str) -> None:
    assert pictures[name]() == pictures[name]()


@pytest.mark.parametrize(
    ("chart", "arguments", "sentence"),
    [
        (data.rows_by_day, (COUNTS.clear(),), "No rows have arrived yet"),
        (data.rejections_chart, (REASONS.clear(),), "No row was rejected"),
        (monitoring.drift_by_column, (DRIFT.filter(pl.col("score").is_null()),), "No column could be compared"),
    ],
)
def test_without_data_a_sentence_is_drawn(chart: style.Chart[Any], arguments: tuple[Any, ...], sentence: str) -> None:
    assert sentence in words(chart.figure(*arguments))
    assert chart(*arguments).startswith(b"\x89PNG")


def test_rows_by_day_names_the_days_without_rows() -> None:
    figure = data.rows_by_day.figure(COUNTS)
    heights = {bar.get_x() + 0.5: bar.get_height() for bar in bars(figure.axes[0])}
    assert [heights[float(date2num(day))] for day in COUNTS["day"]] == [10, 30, 20]
    assert heights[float(date2num(date(2024, 1, 3)))] == 1
    assert "1 day without rows" in words(figure)
    assert "60 rows" in words(figure)


def test_rejections_are_ranked_and_the_tail_is_summed() -> None:
    many = pl.DataFrame({"reason": [f"reason_{i:02d}" for i in range(15)], "rows": range(15, 0, -1)})
    ax = data.rejections_chart.figure(many).axes[0]
    assert tick_names(ax)[0] == "reason 00"
    assert tick_names(ax)[-1] == "4 other reasons"
    assert bar_lengths(ax) == [*range(15, 4, -1), 4 + 3 + 2 + 1]


def test_demand_over_time_shows_totals_and_their_28_day_mean(demand: pl.DataFrame) -> None:
    drawn = lines(data.demand_over_time.figure(demand, stores=2))
    totals: dict[date, float] = {}
    for day, units in demand.select("date", "units").iter_rows():
        totals[day] = totals.get(day, 0.0) + units
    expected = [totals[day] for day in sorted(totals)]
    assert drawn["all stores, each day"] == pytest.approx(expected)
    assert drawn["all stores, 28-day mean"][-1] == pytest.approx(sum(expected[-28:]) / 28)
    assert [name for name in drawn if not name.startswith("all stores")] == ["Old Town", "Market Square"]


def test_feature_importance_is_a_share_of_all_gain() -> None:
    ax = accuracy.feature_importance.figure(IMPORTANCE).axes[0]
    assert dict(zip(tick_names(ax), bar_lengths(ax), strict=True)) == {"lag_7": 0.75, "price": 0.25}


def test_error_by_horizon_is_the_wape_of_that_horizon(backtest: pl.DataFrame) -> None:
    drawn = lines(accuracy.error_by_horizon.figure(backtest))
    missed, sold = 0.0, 0.0
    for mean, units in backtest.filter(model="lightgbm", horizon=5).select("mean", "units").iter_rows():
        missed, sold = missed + abs(mean - units), sold + units
    assert drawn["LightGBM"][4] == pytest.approx(missed / sold)
    assert set(drawn) == {"LightGBM", "gradient boosting", "seasonal naive"}


def test_skill_by_origin_leaves_seasonal_naive_out(metrics: pl.DataFrame) -> None:
    ax = accuracy.skill_by_origin.figure(metrics).axes[0]
    wanted = metrics.filter(metric="fva_wape", level="series", model="lightgbm").drop_nulls("forecast_origin")
    heights = [bar.get_height() for bar in bars(ax)]
    assert len(heights) == 6
    assert set(wanted["value"].to_list()) <= set(heights)


def test_metrics_by_level_has_a_panel_each_for_wape_and_rmsse(metrics: pl.DataFrame) -> None:
    figure = accuracy.metrics_by_level.figure(metrics)
    assert tick_names(figure.axes[0]) == ["total", "store", "series"]
    for ax, metric in zip(figure.axes, ["wape", "rmsse"], strict=True):
        drawn = pl.col("level").is_in(["total", "store_id", "series"]) & pl.col("forecast_origin").is_null()
        means = metrics.filter(drawn, metric=metric, model="lightgbm")
        assert means.height == 3
        assert set(means["value"].to_list()) <= set(bar_lengths(ax))


def test_metrics_by_class_names_the_classes_that_there_are(metrics: pl.DataFrame) -> None:
    figure = accuracy.metrics_by_class.figure(metrics)
    assert tick_names(figure.axes[0]) == ["smooth", "erratic", "intermittent"]
    wql = metrics.filter(pl.col("forecast_origin").is_null(), metric="wql", level="class intermittent")
    assert set(wql["value"].to_list()) <= set(bar_lengths(figure.axes[1]))


def test_calibration_has_a_panel_per_model_with_its_ten_shares(metrics: pl.DataFrame) -> None:
    figure = calibration.calibration.figure(metrics)
    means = metrics.filter(pl.col("forecast_origin").is_null(), level="series", model="lightgbm")
    wanted = [means.filter(metric=f"pit_{tenth}")["value"].item() for tenth in range(10, 101, 10)]
    drawn = {ax.get_title(loc="left"): tenths(ax) for ax in figure.axes}
    assert drawn["LightGBM"] == pytest.approx(wanted)
    assert sum(drawn["seasonal naive"]) == pytest.approx(1)
    assert set(drawn) == {"LightGBM", "gradient boosting", "seasonal naive"}


def test_calibration_by_class_is_that_of_one_model(metrics: pl.DataFrame) -> None:
    figure = calibration.calibration_by_class.figure(metrics, "lightgbm")
    share = metrics.filter(
        pl.col("forecast_origin").is_null(), metric="pit_100", level="class intermittent", model="lightgbm"
    )["value"].item()
    assert tenths(figure.axes[2])[-1] == pytest.approx(share)
    assert figure.axes[2].get_title(loc="left") == "intermittent"


def test_a_bar_that_leaves_the_picture_says_how_tall_it_is(metrics: pl.DataFrame) -> None:
    tall = metrics.with_columns(value=pl.when(pl.col("metric") == "pit_100").then(0.42).otherwise("value"))
    assert "42%" in words(calibration.calibration.figure(tall))
    assert "42%" not in words(calibration.calibration.figure(metrics))


def test_representative_series_run_from_fast_to_slow(demand: pl.DataFrame) -> None:
    chosen = forecasts.representative_series(demand, 3)
    fast, medium, slow = (float(forecasts.of_series(demand, series)["units"].to_numpy().mean()) for series in chosen)
    assert fast > 5 * medium
    assert medium > 5 * slow
    assert slow > 0
    assert chosen == forecasts.representative_series(demand.sample(fraction=1, shuffle=True, seed=1), 3)


def test_representative_series_are_alive_and_no_more_than_there_are(demand: pl.DataFrame) -> None:
    dead = demand.with_columns(units=pl.when(pl.col("product_id") == "P-001").then("units").otherwise(0))
    assert sorted(forecasts.representative_series(dead, 5)) == [
        (store, "P-001") for store in ("Harbour", "Market Square", "Old Town")
    ]
    assert forecasts.representative_series(demand.clear(), 3) == []


def test_forecast_against_actuals_draws_every_origin(backtest: pl.DataFrame, demand: pl.DataFrame) -> None:
    series = ("Harbour", "P-003")
    figure = forecasts.forecast_against_actuals.figure(backtest, demand, "lightgbm", series)
    made = forecasts.of_series(backtest.filter(model="lightgbm"), series)
    first = made["forecast_origin"].min()
    drawn = lines(figure)
    assert drawn["forecast (mean)"] == pytest.approx(made.filter(forecast_origin=first)["mean"].to_numpy())
    sold = forecasts.of_series(demand, series).filter(pl.col("date") >= first - timedelta(days=90))  # type: ignore[operator]
    assert drawn["sold"] == pytest.approx(sold["units"].to_numpy())
    bands: list[Any] = list(figure.axes[0].collections)
    assert len(bands) == 3
    assert bands[0].get_paths()[0].vertices[:, 1].max() == made.filter(forecast_origin=first)["q90"].max()


def test_forecast_fan_has_four_intervals_after_ninety_days(backtest: pl.DataFrame, demand: pl.DataFrame) -> None:
    forecast = backtest.filter(pl.col("forecast_origin") == pl.col("forecast_origin").max(), model="lightgbm")
    figure = forecasts.forecast_fan.figure(demand, forecast, ("Harbour", "P-003"))
    assert len(figure.axes[0].collections) == 4
    assert len(lines(figure)["sold"]) == 91
    assert len(lines(figure)["forecast (mean)"]) == 28


def test_an_unknown_series_is_said_not_raised(backtest: pl.DataFrame, demand: pl.DataFrame) -> None:
    assert "no forecast of X / Y" in words(
        forecasts.forecast_against_actuals.figure(backtest, demand, "lightgbm", ("X", "Y"))
    )


def test_reorder_summary_stacks_stock_and_orders(reorder_plan: pl.DataFrame) -> None:
    figure = forecasts.reorder_summary.figure(reorder_plan.with_columns(on_hand=None))
    by_store = reorder_plan.group_by("store_id").agg(pl.col("order_quantity").sum())
    assert set(by_store["order_quantity"]) <= set(bar_lengths(figure.axes[0]))
    assert "stock unknown for 60" in words(figure)


def test_drift_by_column_marks_what_drifted() -> None:
    figure = monitoring.drift_by_column.figure(DRIFT)
    assert tick_names(figure.axes[0]) == ["price", "units"]
    assert "1 of 2 columns drifted; 1 not compared" in words(figure)
    first, second = (bar.get_facecolor() for bar in figure.axes[0].patches)
    assert first != second


def test_promotion_history_shows_each_decision(ledger: pl.DataFrame) -> None:
    drawn = lines(monitoring.promotion_history.figure(ledger))
    assert list(drawn["challenger, promoted"]) == [0.80, 0.74]
    assert list(drawn["challenger, refused"]) == [0.70]
    assert list(drawn["champion"])[1:] == [0.80, 0.80, 0.79, 0.74, 0.75]


def test_a_rollback_is_counted_among_the_decisions(ledger: pl.DataFrame) -> None:
    back = ledger.tail(1).with_columns(decision=pl.lit("rolled_back"), metric=pl.lit(None, pl.String))
    figure = monitoring.promotion_history.figure(pl.concat([ledger, back]))
    assert "2 promoted, 3 kept, 1 refused, 1 rolled back" in words(figure)
    assert "No decision names its metric" in words(monitoring.promotion_history.figure(back))


def test_accuracy_by_week_draws_each_role_that_there_is() -> None:
    figure = monitoring.accuracy_by_week.figure(WEEKS)
    drawn = lines(figure)
    assert list(drawn["champion"]) == [0.4, 0.5]
    assert list(drawn["seasonal naive"]) == [0.6, 0.7]
    assert list(drawn["previous champion, in the shadow"]) == [0.45]
    assert list(drawn["challenger, tried out"]) == [0.42]
    assert "220 forecasts met" in words(figure)


def test_retrain_windows_are_red_where_out_of_bounds() -> None:
    figure = monitoring.retrain_windows.figure(WINDOWS, error_ratio=1.25, drift_share=0.5)
    assert [bar_lengths(ax) for ax in figure.axes] == [[0, 1.4], [0.1, 0.2]]
    first, second = (bar.get_facecolor() for bar in figure.axes[0].patches)
    assert first != second
    assert "1 of 2 windows out of bounds" in words(figure)


def test_weeks_are_called_weeks(demand: pl.DataFrame) -> None:
    mondays = demand.filter(pl.col("date").dt.weekday() == 1)
    assert "Units sold per week" in words(data.demand_over_time.figure(mondays))


def test_names_are_not_read_as_formulas() -> None:
    dollars = pl.DataFrame({"reason": ["$\\frac{$", "$"], "rows": [1, 1]})
    assert data.rejections_chart(dollars).startswith(b"\x89PNG")


def test_a_model_keeps_its_colour_and_seasonal_naive_is_grey() -> None:
    with_naive = style.model_colours(["seasonal_naive", "lightgbm", "gradient_boosting"])
    assert with_naive["seasonal_naive"] == style.GREY
    assert style.model_colours(["lightgbm", "gradient_boosting"])["lightgbm"] == with_naive["lightgbm"]
