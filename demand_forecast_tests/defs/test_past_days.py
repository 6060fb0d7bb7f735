"""A source that is renamed, removed or counts twice, from its configuration to the checks."""

from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from click.testing import CliRunner

from demand_forecast.cli.commands import main
from demand_forecast.defs.clean.assets import attributes, cleaned_sales
from demand_forecast.defs.clean.checks import past_days_are_as_before
from demand_forecast.defs.project import Project, settings_of
from demand_forecast.defs.raw.assets import collect_new, raw_inputs
from demand_forecast.defs.raw.checks import every_source_is_configured
from demand_forecast_tests.defs.test_nights import CONTEXT, function_of
from demand_forecast_tests.landing_files import CONFIG, write_config, write_reports


class Night:
    """Nights of a retailer of thirty days, up to its clean sales, the configuration changing between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_reports(folder, days=30)

    def until_clean(self, *sources: dict[str, Any], **keys: Any) -> dg.AssetCheckResult:
        config = write_config(self.folder, sources=[*sources], **keys)
        settings_of.cache_clear()
        self.project = Project(config=str(config))
        collect_new(self.project, None, self.project.landing())
        for asset in raw_inputs:
            function_of(asset)(project=self.project)
        for asset in attributes:
            function_of(asset)(CONTEXT, project=self.project)
        list(function_of(cleaned_sales)(CONTEXT, project=self.project))
        return self.check(past_days_are_as_before)

    def check(self, check: Any) -> dg.AssetCheckResult:
        found: dg.AssetCheckResult = check(self.project)
        return found

    @property
    def units(self) -> float:
        units: float = self.project.lake.read("clean_sales")["units"].sum()
        return units


def source(path: str = "landing/*.csv", **keys: Any) -> dict[str, Any]:
    sales = CONFIG["sources"][0]["sales"] | {"path": path}
    return {"kind": "files", "sales": sales, **keys}


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undrawn: pytest.MonkeyPatch) -> Night:
    monkeypatch.delenv("DEMAND_FORECAST_HOME", raising=False)
    made = Night(tmp_path)
    assert made.until_clean(source()).passed
    return made


def test_a_folder_renamed_counts_once_and_nothing_stops(night: Night) -> None:
    before = night.units
    (night.folder / "landing").rename(night.folder / "tills")
    assert night.until_clean(source("tills/*.csv")).passed
    assert night.units == before
    rejected = night.project.lake.read("rejected_sales")
    assert rejected["reason"].unique().to_list() == ["superseded"]


def test_another_reading_of_the_same_files_counts_once(night: Night) -> None:
    before = night.units
    read = source(name="tills")
    read["sales"] = read["sales"] | {
        "columns": {**read["sales"]["columns"], "cost": "price"},
        "date_format": "%Y-%m-%d",
    }
    assert night.until_clean(read).passed
    assert night.units == before


def test_a_source_that_counts_twice_stops_every_night_until_it_is_accepted(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    (night.folder / "copy").mkdir()
    for file in (night.folder / "landing").iterdir():
        (night.folder / "copy" / file.name).write_text(file.read_text().replace(",1.5\n", ",1.6\n"))
    both = source(), source("copy/*.csv", name="copy")
    for _ in range(2):
        found = night.until_clean(*both)
        assert not found.passed
        assert found.severity == dg.AssetCheckSeverity.ERROR
        assert "30 of 30 past days" in str(found.description)
        assert "2.00 times" in str(found.description)
        assert "copy 0 to" in str(found.description)
        assert "demand-forecast accept" in str(found.description)
    said = CliRunner().invoke(main, ["accept", "--config", str(night.project.settings.path)])
    assert said.output.startswith("accepted: 30 of 30 past days")
    assert night.until_clean(*both).passed


def test_a_few_corrected_days_and_a_new_shop_stop_nothing(night: Night) -> None:
    for file in sorted((night.folder / "landing").iterdir())[:5]:
        file.write_text(file.read_text().replace("north", "south"))
    (night.folder / "web").mkdir()
    rows = pl.read_csv(night.folder / "landing" / "*.csv").with_columns(shop=pl.lit("web"), qty=pl.lit(500))
    rows.write_csv(night.folder / "web" / "web.csv")
    found = night.until_clean(source(), source("web/*.csv"))
    assert found.passed


def test_what_was_removed_is_told_and_withdrawn_by_a_key(night: Night) -> None:
    (night.folder / "web").mkdir()
    for file in (night.folder / "landing").iterdir():
        (night.folder / "web" / file.name).write_text(file.read_text().replace("north", "web").replace("south", "web"))
    alone, web = source(name="tills"), source("web/*.csv", name="web")
    night.until_clean(alone, web)
    with_web = night.units
    assert night.check(every_source_is_configured).passed
    night.until_clean(alone)
    told = night.check(every_source_is_configured)
    assert (told.passed, told.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert str(told.description).startswith(
        "source web is not configured any more, its rows of 2025-03-03 to 2025-04-01"
    )
    assert night.units == with_web
    assert night.until_clean(alone, removed_sources={"web": "withdrawn"}).passed
    assert night.check(every_source_is_configured).passed
    assert night.units == with_web / 2
    assert night.until_clean(alone, removed_sources={"web": "kept"}).passed
    assert night.units == with_web
