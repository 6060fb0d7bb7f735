"""A source is what it says, not what the configuration calls it."""

import sqlite3
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from demand_forecast.domain.tables import RAW_PROVENANCE
from demand_forecast.settings import Settings
from demand_forecast.sources.collecting.identity import settle
from demand_forecast.sources.collecting.index import known_sales
from demand_forecast.sources.collecting.sales import collect_sales
from demand_forecast.sources.errors import SourceError
from demand_forecast.sources.landing import Landing
from demand_forecast.sources.register import KnownSource, Register, as_held, readings, standing

Configure = Callable[[dict[str, Any]], Settings]
COLUMNS = {"date": "Date", "store_id": "Store", "product_id": "SKU", "units": "Qty"}
DAYS = [date(2024, 1, 1) + timedelta(days=number) for number in range(20)]


def files(path: str = "sales/*.csv", **keys: Any) -> dict[str, Any]:
    return {"kind": "files", "sales": {"path": path, "columns": COLUMNS}, **keys}


class Home:
    """Collections one after another, each with a configuration of its own."""

    def __init__(self, folder: Path, configure: Configure) -> None:
        self.folder, self.configure = folder, configure
        self.register: Register = []
        self.rows = [pl.DataFrame(schema=RAW_PROVENANCE)]
        self.land("sales/january.csv")

    def land(self, name: str, store: str = "S1", units: int = 3, days: list[date] = DAYS) -> None:
        (self.folder / name).parent.mkdir(exist_ok=True)
        lines = ["Date,Store,SKU,Qty", *(f"{day},{store},P1,{units}" for day in days)]
        (self.folder / name).write_text("\n".join(lines) + "\n")

    def ledger(self, units: float = 3) -> dict[str, Any]:
        with sqlite3.connect(self.folder / "sales.db") as base:
            base.execute("CREATE TABLE IF NOT EXISTS sales (Date TEXT, Store TEXT, SKU TEXT, Qty REAL, till INTEGER)")
            base.executemany("INSERT INTO sales VALUES (?, 'S1', 'P1', ?, 4)", [(str(day), units) for day in DAYS])
        return {"kind": "sql", "url": "sqlite:///sales.db", "sales": {"table": "sales", "columns": COLUMNS}}

    def collect(self, *sources: dict[str, Any], **keys: Any) -> int:
        """The number of rows that are taken."""
        self.settings = self.configure({"sources": [*sources], **keys})
        known = known_sales(pl.concat(self.rows, how="diagonal").lazy())
        self.register = settle(self.settings, self.register, known, Landing())
        moment = datetime(2024, 6, len(self.rows), tzinfo=UTC)
        found = list(collect_sales(as_held(self.settings, self.register), known, None, moment))
        self.rows += found or [self.rows[0]]
        return sum(map(len, found))

    @property
    def families(self) -> tuple[tuple[str, ...], ...]:
        return standing(self.settings, self.register).families


@pytest.fixture
def home(tmp_path: Path, configure: Configure) -> Home:
    """Twenty days of a source without a name have been collected."""
    made = Home(tmp_path, configure)
    assert made.collect(files()) == 20
    return made


def test_a_name_makes_no_other_source(home: Home) -> None:
    assert home.collect(files(name="tills")) == 0
    assert home.collect(files(name="shop")) == 0
    home.land("sales/february.csv", days=[date(2024, 2, 1)])
    assert home.collect(files()) == 1
    assert pl.concat(home.rows, how="diagonal")["source"].unique().to_list() == ["files"]


def test_a_source_put_before_it_takes_only_its_own(home: Home) -> None:
    home.land("web/web.csv", "S2")
    assert home.collect(files("web/*.csv"), files()) == 20
    assert home.collect(files(), files("web/*.csv")) == 0
    sources = pl.concat(home.rows, how="diagonal").group_by("source").agg(pl.col("store_id").unique())
    assert sorted(sources.rows()) == [("files", ["S1"]), ("files-2", ["S2"])]


def test_a_home_from_before_the_register_is_known_by_its_files(home: Home) -> None:
    home.register = []
    home.land("web/web.csv", "S2")
    assert home.collect(files("web/*.csv"), files(name="tills")) == 20
    assert home.register[0][:2] == ("files", "tills")


def test_another_glob_over_the_same_files_is_the_same_source(home: Home) -> None:
    assert home.collect(files("sales/j*.csv", name="tills")) == 0
    assert len(home.register) == 1


def test_a_folder_renamed_counts_once(home: Home) -> None:
    (home.folder / "sales").rename(home.folder / "tills")
    home.collect(files("tills/*.csv"))
    assert home.families == (("files-2", "files"),)
    home.land("tills/january.csv", units=5)
    home.collect(files("tills/*.csv"))
    assert home.families == (("files-2", "files"),)


def test_a_new_source_takes_no_name_that_an_old_one_is_held_by(home: Home) -> None:
    home.collect(files(name="shop"))
    (home.folder / "sales").rename(home.folder / "tills")
    shop = files("tills/*.csv", name="shop")
    home.collect(shop)
    home.land("web/web.csv", "S2")
    assert home.collect(files("web/*.csv"), shop) == 20
    assert home.families == (("shop", "files"),)
    assert [one[:2] for one in home.register] == [("files", "shop"), ("shop", "shop"), ("files-2", "files")]


def test_the_same_rows_in_a_file_of_another_name_count_once(home: Home) -> None:
    (home.folder / "sales/january.csv").rename(home.folder / "sales/1.csv")
    assert home.collect(files()) == 0


def test_a_table_that_says_it_in_another_form_stops_and_names_the_key(home: Home) -> None:
    ledger = home.ledger()
    question = (
        r"source sql \(sql sqlite:///sales.db sales\) is new and has 20 days of which source files "
        r"\(files sales/\*.csv\) said other things.*`renamed_from: files`.*`removed_sources: \{files: kept\}`"
    )
    with pytest.raises(SourceError, match=question):
        home.collect(ledger)
    assert home.collect(ledger | {"renamed_from": "files"}) == 20
    assert home.families == (("sql", "files"),)
    assert home.collect(ledger) == 0
    assert home.collect(files()) == 0
    assert home.families == (("files", "sql"),)  # back again: nothing is lost


def test_under_its_old_name_too(home: Home) -> None:
    home.collect(files(name="shop"))
    with pytest.raises(SourceError, match="renamed_from: shop"):
        home.collect(home.ledger() | {"name": "shop"})
    source = {**files("other.csv"), "name": "shop", "renamed_from": "shop"}
    home.land("other.csv", units=8)
    assert home.collect(source) == 20
    assert home.families == (("shop", "files"),)
    assert home.collect(source) == 0


def test_what_is_removed_is_kept_or_withdrawn_and_comes_back(home: Home) -> None:
    home.land("web/web.csv", "S2")
    both = files(name="tills"), files("web/*.csv", name="web")
    home.collect(*both)
    home.collect(both[0])
    assert standing(home.settings, home.register)[1:] == (("web",), ())
    home.collect(both[0], removed_sources={"web": "withdrawn"})
    assert standing(home.settings, home.register)[1:] == (("web",), ("web",))
    assert home.collect(*both, removed_sources={"web": "withdrawn"}) == 0
    assert standing(home.settings, home.register)[1:] == ((), ())


def test_two_that_have_nothing_to_do_with_each_other(home: Home) -> None:
    home.land("web/web.csv", "S2")
    other = files("web/*.csv", name="web")
    with pytest.raises(SourceError, match="kept"):
        home.collect(other)
    assert home.collect(other, removed_sources={"files": "kept"}) == 20
    assert home.families == ()


def test_an_emptied_folder_goes_on_under_its_name(home: Home) -> None:
    home.land("new/february.csv", days=[date(2024, 2, 1)])
    assert home.collect(files("new/*.csv")) == 1
    assert home.register == [KnownSource("files", "files", "files new/*.csv", None, None, ".")]


def test_the_key_names_a_source_that_there_was(home: Home) -> None:
    with pytest.raises(SourceError, match="did you mean files"):
        home.collect(home.ledger() | {"renamed_from": "fils"})
    with pytest.raises(SourceError, match="files is configured too"):
        home.collect(files(), home.ledger() | {"renamed_from": "files"})


def test_a_first_run_needs_no_source_before_it(home: Home) -> None:
    fresh = Home(home.folder, home.configure)
    assert fresh.collect(files(renamed_from="tills")) == 20


def test_a_source_that_is_gone_is_read_as_it_was(home: Home) -> None:
    source = files(name="tills")
    source["sales"] |= {"date_format": "%Y-%m-%d", "decimal": ","}
    home.collect(source)
    home.land("web/web.csv", "S2")
    home.collect(files("web/*.csv", name="web"), removed_sources={"tills": "kept"})
    dates, marks = readings(home.settings, home.register)
    assert {name: read.date_format for name, read in dates.items()} == {"files": "%Y-%m-%d", "web": None}
    assert marks == {"files": ",", "web": "."}
