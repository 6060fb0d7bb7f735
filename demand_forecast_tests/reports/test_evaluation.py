"""The evaluation report: one page, no network, every figure in it, words that follow the figures, nothing unescaped."""

from datetime import UTC, date, datetime
from html.parser import HTMLParser
from typing import Any

import polars as pl
import pytest

from demand_forecast.domain.evaluation.backtest import ALIGNMENT
from demand_forecast.domain.evaluation.scoring import SUMMARY
from demand_forecast.reports.evaluation import (
    accuracy_pictures,
    best_model,
    evaluation_report,
    headline,
    level_table,
    measure_table,
    show,
)
from demand_forecast.reports.findings import findings
from demand_forecast.reports.glossary import MEASURES

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """The page's text, images, addresses and the text of its table cells; raises where tags do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.text = ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] == "td":
            self.cells.append(data)


@pytest.fixture(scope="module")
def content(
    summary: pl.DataFrame, metrics: pl.DataFrame, backtest: pl.DataFrame, demand: pl.DataFrame
) -> dict[str, Any]:
    return {
        "summary": summary,
        "metrics": metrics,
        "backtest": backtest,
        "demand": demand,
        "title": "Demand of the sample retailer",
        "generated_at": datetime(2024, 7, 1, 3, 12, tzinfo=UTC),
        "data_versions": {"daily_demand": 12, "backtest": 4},
        "decision": "Version 7 was promoted.",
        "alignment": pl.DataFrame(
            [("lightgbm", None, 0.75, 0.061, 0.054), ("lightgbm", date(2024, 6, 2), 0.5, 0.06, 0.05)],
            schema=ALIGNMENT,
            orient="row",
        ),
        "pictures": accuracy_pictures(summary, metrics, backtest),
        "reproduce": ["demand-forecast reproduce 7"],
    }


@pytest.fixture(scope="module")
def html(content: dict[str, Any]) -> str:
    return evaluation_report(**content)


@pytest.mark.usefixtures("undrawn")
def test_alignment_is_told_for_the_next_forecast_and_left_out_where_there_is_none(
    content: dict[str, Any], html: str
) -> None:
    cells = Page(html).cells
    place = cells.index("75.0%")
    assert cells[place : place + 3] == ["75.0%", "6.1%", "5.4%"]
    assert "Moved by" not in evaluation_report(**{**content, "alignment": content["alignment"].clear()})


def test_the_page_is_whole_small_and_needs_no_network(html: str) -> None:
    page = Page(html)
    assert len(html) < 3_000_000
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in page.addresses)
    assert not {"script", "link", "iframe"} & set(page.tags)


def test_nine_pictures_each_described_in_words(html: str) -> None:
    images = Page(html).images
    assert len(images) == 9
    assert all(len(image["alt"] or "") > 20 for image in images)


def test_every_figure_of_the_summary_is_in_the_page(html: str, summary: pl.DataFrame) -> None:
    cells = Page(html).cells
    for figures in summary.iter_rows(named=True):
        for key in SUMMARY:
            assert show(key, figures[key]) in cells, (figures["model"], key)


def test_origins_levels_versions_and_commands_are_in_the_page(html: str) -> None:
    text = Page(html).text
    for said in ("7 Apr 2024", "5 May 2024", "2 Jun 2024", "store", "total", "28 days", "daily_demand", "12"):
        assert said in text
    assert "demand-forecast reproduce 7" in text
    assert "Version 7 was promoted." in text
    assert "1 Jul 2024, 03:12 UTC" in text


def test_every_measure_of_the_summary_is_explained() -> None:
    assert set(SUMMARY) <= set(MEASURES)


@pytest.mark.usefixtures("undrawn")
def test_names_from_the_data_cannot_write_html(content: dict[str, Any]) -> None:
    evil = "<script>alert(1)</script>"
    renamed = {
        name: content[name].with_columns(product_id=pl.lit(evil) + pl.col("product_id"))
        for name in ("demand", "backtest")
    }
    page = evaluation_report(**{**content, **renamed, "title": evil, "decision": evil})
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def summary_of(**figures: float | None) -> pl.DataFrame:
    return pl.DataFrame(
        {"model": ["lightgbm", "seasonal_naive"]} | {key: [value, 0.9] for key, value in figures.items()}
    )


def test_the_headline_says_which_model_and_by_how_much() -> None:
    said = headline(summary_of(wrmsse=0.7, fva_wrmsse=0.125, bias=0.031, coverage_80=0.84), "lightgbm", "wrmsse")
    assert said == (
        "LightGBM is the best of 2 models: its WRMSSE is 12.5% lower than seasonal naive's. "
        "In total it forecasts 3.1% too much. Sales stayed inside its 80% interval 84% of the time."
    )


def test_the_headline_admits_that_nothing_beats_seasonal_naive() -> None:
    figures = summary_of(wrmsse=0.95, fva_wrmsse=-0.06, bias=-0.02, coverage_80=0.8)
    best = best_model(figures, "wrmsse")
    assert best == "seasonal_naive"
    assert headline(figures, best, "wrmsse").startswith("No model beats seasonal naive")


@pytest.mark.parametrize(("bias", "said"), [(-0.2, "20.0% too little"), (0.001, "neither too much nor too little")])
def test_the_headline_names_the_direction_of_bias(bias: float, said: str) -> None:
    assert said in headline(summary_of(wrmsse=0.7, bias=bias), "lightgbm", "wrmsse")


@pytest.mark.usefixtures("undrawn")
def test_unknown_values_are_dashes_and_never_best(content: dict[str, Any]) -> None:
    table = measure_table("", summary_of(wape=None, wrmsse=float("nan"), bias=0.01))
    wape, bias, wrmsse = table.rows[0][1:]
    assert (wape.text, wrmsse.text) == ("–", "–")
    assert not wape.best
    assert (bias.text, bias.best) == ("+1.0%", True)
    equal = measure_table("", pl.DataFrame({"model": ["a", "b"], "wape": [0.3, 0.3001]}))
    assert not any(row[1].best for row in equal.rows)
    holes = content["summary"].with_columns(wql=pl.lit(None, pl.Float64), fva_wql=float("nan"))
    cells = Page(evaluation_report(**{**content, "summary": holes})).cells
    assert cells.count("–") == 2 * holes.height
    assert "nan" not in cells


def test_the_best_of_each_column_is_marked_by_what_good_means() -> None:
    figures = pl.DataFrame({"model": ["a", "b"], "wape": [0.3, 0.4], "bias": [-0.3, 0.1], "fva_wape": [0.2, -0.1]})
    rows = measure_table("", figures).rows
    assert [cell.best for cell in rows[0][1:]] == [True, False, True]
    assert [cell.best for cell in rows[1][1:]] == [False, True, False]


def test_levels_run_from_the_total_to_the_series_with_every_model(metrics: pl.DataFrame) -> None:
    table = level_table(metrics, "rmsse")
    assert [row[0].text for row in table.rows] == ["total", "store", "series", "mean: WRMSSE"]
    mean = metrics.filter(pl.col("forecast_origin").is_null(), level="store_id", metric="rmsse", model="lightgbm")
    assert table.rows[1][table.columns.index("LightGBM")].text == f"{mean['value'][0]:.3f}"
    assert [cell.best for cell in table.rows[0][1:]] == [False, True, False]
    assert table.rows[-1][2].text == show("wrmsse", means_of(metrics, "wrmsse", "all"))
    assert level_table(metrics, "wape").rows[-1][0].text == "series"


def means_of(metrics: pl.DataFrame, metric: str, level: str, model: str = "lightgbm") -> float:
    rows = metrics.filter(pl.col("forecast_origin").is_null(), metric=metric, level=level, model=model)
    return float(rows["value"].item())


def test_every_class_and_every_tenth_is_in_the_page(html: str, metrics: pl.DataFrame) -> None:
    page = Page(html)
    for name in ("smooth", "erratic", "intermittent"):
        assert name in page.text
        assert show("wape", means_of(metrics, "wape", f"class {name}")) in page.cells
    for tenth in range(10, 101, 10):
        assert f"{means_of(metrics, f'pit_{tenth}', 'series'):.1%}" in page.cells


def said_about(summary: pl.DataFrame, metrics: pl.DataFrame, model: str = "lightgbm") -> dict[str, str]:
    return dict(findings(summary, metrics, model, "wrmsse"))


def changed(metrics: pl.DataFrame, metric: str, level: str, value: float, model: str = "lightgbm") -> pl.DataFrame:
    there = (pl.col("metric") == metric) & (pl.col("level") == level) & (pl.col("model") == model)
    return metrics.with_columns(value=pl.when(there).then(value).otherwise("value"))


def test_the_findings_say_how_far_ahead_and_how_reliably(summary: pl.DataFrame, metrics: pl.DataFrame) -> None:
    values = dict(summary.select("model", "wrmsse").iter_rows())
    said = said_about(summary, metrics)
    behind = values["gradient_boosting"] / values["lightgbm"] - 1
    assert said["Lead"].startswith("Gradient boosting is next")
    assert f"({behind:.1%} more)" in said["Lead"]
    assert said["Reliability"].startswith("It beats seasonal naive at all 3 forecast origins")
    lost = changed(metrics, "fva_wrmsse", "all", -0.25)
    assert "at 0 of 3 forecast origins" in said_about(summary, lost)["Reliability"]
    assert "25% above seasonal naive's" in said_about(summary, lost)["Reliability"]


def test_the_findings_name_the_weak_level_and_the_model_that_is_better_there(
    summary: pl.DataFrame, metrics: pl.DataFrame
) -> None:
    weak = changed(changed(metrics, "fva_wape", "store_id", 0.01), "rmsse", "store_id", 9.0)
    said = said_about(summary, weak)["By level"]
    assert "least at level store (+1.0% value added)" in said
    assert "Gradient boosting is better by RMSSE at store." in said
    assert "is better" not in said_about(summary, metrics)["By level"]


def test_the_findings_name_the_hard_kind_of_demand_where_it_is_enough_to_matter(
    summary: pl.DataFrame, metrics: pl.DataFrame
) -> None:
    hard = changed(metrics, "wape", "class erratic", 1.7)
    assert "170 on erratic" in said_about(summary, hard)["By kind of demand"]
    assert "Weakest on erratic demand" in said_about(summary, hard)["By kind of demand"]
    few = changed(hard, "share_of_units", "class erratic", 0.001)
    assert "erratic" not in said_about(summary, few)["By kind of demand"]
    leaning = changed(metrics, "bias", "class smooth", -0.12)
    assert "smooth (-12%)" in said_about(summary, leaning)["By kind of demand"]


def test_the_findings_say_whether_quantiles_can_be_trusted(summary: pl.DataFrame, metrics: pl.DataFrame) -> None:
    off = changed(metrics, "pit_100", "series", 0.16)
    assert "16.0% of sales, where 10% belong: the quantiles are somewhat off" in said_about(summary, off)["How sure"]
    even = metrics.with_columns(value=pl.when(pl.col("metric").str.starts_with("pit_")).then(0.1).otherwise("value"))
    assert said_about(summary, even)["How sure"].endswith("word. The top tenth, above the 90% quantile, caught 10.0%.")


@pytest.mark.usefixtures("undrawn")
def test_new_products_are_told_apart(summary: pl.DataFrame, metrics: pl.DataFrame, content: dict[str, Any]) -> None:
    assert said_about(summary, metrics)["New products"] == "None of the series was new at an origin."
    young = pl.concat([metrics, metrics.filter(level="class intermittent").with_columns(level=pl.lit("class new"))])
    missed = means_of(metrics, "wape", "class intermittent")
    assert f"it misses {missed:.0%} of what is sold" in said_about(summary, young)["New products"]
    assert "New products, apart" in evaluation_report(**{**content, "metrics": young})
    assert "New products, apart" not in evaluation_report(**content)


def test_a_report_without_models_is_refused(content: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="run the backtest first"):
        evaluation_report(**{**content, "summary": content["summary"].clear()})
