import csv
import gzip
import hashlib
import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from demand_forecast.domain.cleaning.dates import DateReading, parse_dates
from demand_forecast.domain.tables import RAW_PROVENANCE, now
from demand_forecast.settings import Settings
from demand_forecast.sources.collecting import batches, content, history
from demand_forecast.sources.collecting.history import span
from demand_forecast.sources.collecting.index import KNOWN, known_sales
from demand_forecast.sources.collecting.inputs import collect_inputs
from demand_forecast.sources.collecting.pending_days import pending_days
from demand_forecast.sources.collecting.sales import collect_sales
from demand_forecast.sources.configured import date_readings, decimals
from demand_forecast.sources.errors import SourceError
from demand_forecast.sources.landing import Landing

Configure = Callable[[dict[str, Any]], Settings]
COLUMNS = {"date": "Date", "store_id": "Store", "product_id": "SKU", "units": "Qty"}
ARRIVED = datetime(2024, 6, 1, 3, tzinfo=UTC)
A, B, C = (f"2024-01-0{day},S1,P1,{day}" for day in (1, 2, 3))


class Lake:
    """What a lake would hold, for one folder of landing files collected again and again."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.rows: list[pl.DataFrame] = []
        self.nights = 0
        self.landing = Landing()

    def land(self, name: str, *lines: str) -> None:
        text = "\n".join(["Date,Store,SKU,Qty", *lines]) + "\n"
        data = gzip.compress(text.encode(), mtime=0) if name.endswith(".gz") else text.encode()
        (self.folder / name).write_bytes(data)

    @property
    def known(self) -> pl.DataFrame:
        return known_sales(pl.concat([pl.DataFrame(schema=RAW_PROVENANCE), *self.rows], how="diagonal").lazy())

    def night(self, days: tuple[date, date] | None = None) -> list[tuple[str, str]]:
        """Collect once; the (date, units) of what was new."""
        self.nights += 1
        self.landing.left.clear()
        moment = ARRIVED + timedelta(days=self.nights)
        found = list(collect_sales(self.settings, self.known, days, moment, self.landing))
        self.rows += found
        return [
            row for frame in found for row in frame.sort("arrived_at", "day", "line").select("date", "units").rows()
        ]

    def current(self) -> list[tuple[str, str]]:
        """What counts: of each report and day the version that arrived last."""
        rows = pl.concat(self.rows)
        last = rows.filter(pl.col("arrived_at") == pl.col("arrived_at").max().over("source", "report", "day"))
        return sorted(last.select("date", "units").rows())


@pytest.fixture
def lake(tmp_path: Path, configure: Configure) -> Lake:
    return lake_of(tmp_path, configure)


def lake_of(tmp_path: Path, configure: Configure, **sales: Any) -> Lake:
    (tmp_path / "landing").mkdir(exist_ok=True)
    settings = configure({"source": {"sales": {"path": "landing/*.csv*", "columns": COLUMNS} | sales}})
    return Lake(settings, tmp_path / "landing")


def test_every_line_of_many_files_once(lake: Lake) -> None:
    """Against a loop over the csv module."""
    draw = random.Random(7)
    for number in range(60):
        lines = [
            f"2024-01-{draw.randint(1, 28):02d},S{draw.randint(1, 3)},P{number},{draw.randint(0, 9)}" for _ in range(20)
        ]
        lake.land(f"sales_{number}.csv" + (".gz" if number % 2 else ""), *lines)
    expected = []
    for file in lake.folder.iterdir():
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        expected += [
            (f"landing/{file.name}", line, *row)
            for line, row in enumerate(csv.reader(data.decode().splitlines()), 1)
            if line > 1
        ]
    lake.night()
    rows = pl.concat(lake.rows)
    said = rows.select("file", "line", "date", "store_id", "product_id", "units").rows()
    assert sorted(said) == sorted(expected)
    assert rows.select(RAW_PROVENANCE.keys()).schema == RAW_PROVENANCE
    assert rows.columns == [*RAW_PROVENANCE, "date", "store_id", "product_id", "units", "extra", "fault"]
    assert rows["day"].to_list() == [date.fromisoformat(text) for text in rows["date"]]


def test_many_frames_say_what_one_frame_says(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.land("big.csv", *[f"2024-01-{n % 28 + 1:02d},S1,P{n},{n % 5}" for n in range(700)])
    lake.land("small.csv", A)
    keys = ["file", "day", "content_hash", "line", "units"]
    lake.night()
    monkeypatch.setattr(content, "BATCH_ROWS", 50)
    frames = list(collect_sales(lake.settings, pl.DataFrame(schema=KNOWN), None, ARRIVED))
    assert len(frames) > 5
    assert pl.concat(frames).select(keys).sort(keys).rows() == pl.concat(lake.rows).select(keys).sort(keys).rows()


def test_content_hashes_never_change(lake: Lake) -> None:
    """A lake of years must know its days again, so the text that is hashed is spelt out here."""
    lake.land("sales.csv", "2024-01-01,S2,P1,9", A)
    lake.night()
    text = "date\x1fextra\x1ffault\x1fproduct_id\x1fstore_id\x1funits"
    for product, store, units in (("P1", "S1", "1"), ("P1", "S2", "9")):
        text += f"\x1e2024-01-01\x1f\x1f\x00\x1f{product}\x1f{store}\x1f{units}"
    assert lake.rows[0]["content_hash"].unique().to_list() == [
        hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    ]


@pytest.mark.parametrize("name", ["sales.csv", "copy.csv", "sales.csv.gz"])
def test_the_same_file_again_adds_nothing(lake: Lake, name: str) -> None:
    lake.land("sales.csv", A, B)
    assert len(lake.night()) == 2
    lake.land(name, A, B)
    assert lake.night() == []
    assert pending_days(lake.settings, lake.known) is None


def test_copies_that_land_in_one_night_count_once(lake: Lake) -> None:
    lake.land("a.csv", A, B)
    lake.land("b.csv", A, B)
    assert len(lake.night()) == 2


@pytest.mark.parametrize("name", ["a.csv", "z.csv"])
@pytest.mark.parametrize("kept", [True, False], ids=["copied", "renamed"])
def test_another_name_of_a_file_collected_in_part_brings_the_rest_once(lake: Lake, name: str, kept: bool) -> None:
    lake.land("sales.csv", A, B)
    assert lake.night((date(2024, 1, 1), date(2024, 1, 1))) == [("2024-01-01", "1")]
    lake.land(name, A, B)
    if not kept:
        (lake.folder / "sales.csv").unlink()
    assert lake.night() == [("2024-01-02", "2")]
    assert lake.night() == []


def test_other_files_with_equal_lines_count_both(lake: Lake) -> None:
    lake.land("till_1.csv", A, B)
    lake.land("till_2.csv", A, C)
    assert sorted(lake.night()) == [("2024-01-01", "1"), ("2024-01-01", "1"), ("2024-01-02", "2"), ("2024-01-03", "3")]


def test_a_growing_export_brings_only_new_and_changed_days(lake: Lake) -> None:
    lake.land("all.csv", A, B)
    lake.night()
    lake.land("all.csv", A.replace("S1,P1,1", "S1,P1,5"), B, C)
    assert pending_days(lake.settings, lake.known) == (date(2024, 1, 1), date(2024, 1, 3))
    assert lake.night() == [("2024-01-01", "5"), ("2024-01-03", "3")]
    assert lake.night() == []


def test_a_correction_taken_back_counts_again(lake: Lake) -> None:
    for line in (A, A + "0", A):
        lake.land("sales.csv", line)
        assert len(lake.night()) == 1
    assert lake.current() == [("2024-01-01", "1")]


def test_versions_of_a_report_in_the_order_of_their_names(tmp_path: Path, configure: Configure) -> None:
    lake = lake_of(tmp_path, configure, report=r"sales_(\w+?)_v")
    for version, line in ((10, A + "0"), (9, A + "9"), (2, A)):
        lake.land(f"sales_monday_v{version}.csv", line)
    assert [units for _, units in lake.night()] == ["1", "19", "10"]
    assert lake.current() == [("2024-01-01", "10")]
    assert lake.night() == []
    lake.land("sales_monday_v11.csv", A)
    assert lake.night() == [("2024-01-01", "1")]
    assert lake.current() == [("2024-01-01", "1")]


def test_days_left_out_come_when_they_are_asked_for(lake: Lake) -> None:
    lake.land("sales.csv", A, B, C)
    first, second, third = date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3)
    assert lake.night((second, second)) == [("2024-01-02", "2")]
    assert pending_days(lake.settings, lake.known) == (first, third)
    assert lake.night((second, second)) == []
    assert lake.night((first, second)) == [("2024-01-01", "1")]
    assert lake.night() == [("2024-01-03", "3")]
    assert pending_days(lake.settings, lake.known) is None


def test_another_mapping_reads_a_known_file_again(lake: Lake, configure: Configure, tmp_path: Path) -> None:
    lake.land("sales.csv", A)
    lake.night()
    lake.settings = lake_of(tmp_path, configure, columns=COLUMNS | {"units": "SKU"}).settings
    assert lake.night() == [("2024-01-01", "P1")]


def test_rows_without_a_possible_day_go_with_the_latest_of_their_file(lake: Lake) -> None:
    lake.land("a.csv", A, B, "03/04/2024,S1,P1,1", "2999-01-01,S1,P1,1", "1066-10-14,S1,P1,1", "broken")
    lake.land("b.csv", C)
    lake.land("c.csv", "broken")
    lake.land("d.csv", "2999-01-01,S1,P1,1")
    lake.night()
    days = {file: rows["day"].to_list() for (file,), rows in pl.concat(lake.rows).sort("line").group_by("file")}
    assert days["landing/a.csv"] == [date(2024, 1, 1)] + [date(2024, 1, 2)] * 5
    assert days["landing/b.csv"] == [date(2024, 1, 3)]
    assert days["landing/c.csv"] == [date(2024, 6, 1)]  # today is not over and would not be collected
    assert days["landing/d.csv"] == [date(2024, 6, 2)]
    assert span(lake.settings) == (date(2024, 1, 1), date(2024, 1, 3))


def test_where_history_begins_is_known_of_known_files_without_opening_them(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.land("a.csv", B)
    lake.land("b.csv", C)
    lake.land("odd.csv", "1066-10-14,S1,P1,1")  # its lines have the day they arrived on, which is none of sales
    lake.night()
    opened: list[str] = []
    read = batches.frames
    monkeypatch.setattr(history, "frames", lambda one, *rest: opened.append(one.file) or read(one, *rest))
    assert span(lake.settings, lake.landing) == span(lake.settings) == (date(2024, 1, 2), date(2024, 1, 3))
    assert opened == ["landing/odd.csv", "landing/a.csv", "landing/b.csv", "landing/odd.csv"]
    lake.land("b.csv", A, C)
    assert span(lake.settings, lake.landing) == (date(2024, 1, 1), date(2024, 1, 3))
    assert opened[4:] == ["landing/b.csv", "landing/odd.csv"]


def test_a_file_whose_dates_all_changed_their_form_stops_the_night(lake: Lake) -> None:
    lake.land("a.csv", A)
    lake.land("b.csv", "03/04/2024,S1,P1,1", "04/04/2024,S1,P1,1")
    with pytest.raises(
        SourceError, match=r"b\.csv: no sales row has a readable date.*of 2 says '03/04/2024'.*date_format"
    ):
        lake.night()
    assert lake.rows == []


def test_a_cut_file_is_left_until_it_is_whole(lake: Lake) -> None:
    lake.land("good.csv", A)
    lake.land("bad.csv.gz", *[B] * 500)
    whole = (lake.folder / "bad.csv.gz").read_bytes()
    (lake.folder / "bad.csv.gz").write_bytes(whole[:-15])
    assert lake.night() == [("2024-01-01", "1")]
    assert "bad.csv.gz: the compressed file is cut short" in lake.landing.left["landing/bad.csv.gz"]
    (lake.folder / "bad.csv.gz").write_bytes(whole)
    assert len(lake.night()) == 500


def test_no_file_and_no_date(lake: Lake) -> None:
    with pytest.raises(
        SourceError, match=r"sales\.path 'landing/\*\.csv\*' matches no file in .*landing; put the files"
    ):
        lake.night()
    lake.land("sales.csv", "03/04/2024,S1,P1,1")
    with pytest.raises(SourceError, match=r"no sales row has a readable date.*date_format"):
        span(lake.settings)


def test_several_sources_keep_their_names_and_formats(tmp_path: Path, configure: Configure) -> None:
    (tmp_path / "a.csv").write_text("Date,Store,SKU,Qty,customers\n03/04/2024,S1,P1,1,80\n", encoding="utf-8")
    (tmp_path / "b.csv").write_text("date;product_id;units;invoice\n2024-04-05;P2;1,5;C7\n", encoding="utf-8")
    german = {
        "path": "b.csv",
        "delimiter": ";",
        "decimal": ",",
        "columns": {"store_id": {"value": "all"}, "invoice": "invoice"},
    }
    plans = [{"path": "a.csv", "columns": {"date": "Date"}}, {"path": "b.csv", "delimiter": ";", "decimal": ","}]
    sources = [
        {"sales": {"path": "a.csv", "columns": COLUMNS, "date_format": "%d/%m/%Y"}, "plan": plans},
        {"sales": german, "name": "berlin"},
    ]
    settings = configure({"sources": sources, "covariates": {"past_only": ["customers"]}})
    rows = pl.concat(collect_sales(settings, pl.DataFrame(schema=KNOWN), None, ARRIVED))
    keys = ["source", "day", "store_id", "units", "invoice", "customers"]
    assert rows.select(keys).rows() == [
        ("files", date(2024, 4, 3), "S1", "1", None, "80"),
        ("berlin", date(2024, 4, 5), "all", "1,5", "C7", None),
    ]
    formats = {name: dates.date_format for name, dates in date_readings(settings).items()}
    assert formats == {"files": "%d/%m/%Y", "berlin": None}
    assert decimals(settings) == {"files": ".", "berlin": ","}
    assert decimals(settings, "plan") == {"files": ".", "files#2": ","}
    assert collect_inputs(settings, "plan", now())["source"].to_list() == ["files", "files#2"]
    with pytest.raises(SourceError, match="two sources are named berlin"):
        span(configure({"sources": [sources[1], sources[1]]}))


def test_inputs_are_the_whole_of_what_is_there_now(tmp_path: Path, configure: Configure, lake: Lake) -> None:
    (tmp_path / "products.csv").write_text("SKU,department,colour\nP1,Toys,red\nbroken\n", encoding="utf-8")
    source = {
        "sales": {"path": "landing/*", "columns": COLUMNS},
        "products": {"path": "products.csv", "columns": {"product_id": "SKU"}},
    }
    settings = configure({"source": source, "covariates": {"static": ["department", "city"]}})
    frame = collect_inputs(settings, "products", ARRIVED)
    assert frame.columns == [
        "source",
        "file",
        "line",
        "content_hash",
        "arrived_at",
        "product_id",
        "department",
        "extra",
    ]
    assert frame.select("line", "product_id", "department", "extra").rows() == [
        (2, "P1", "Toys", '{"colour":"red"}'),
        (3, None, None, "broken"),
    ]
    empty = collect_inputs(settings, "stores", ARRIVED)
    assert empty.columns == ["source", "file", "line", "content_hash", "arrived_at", "store_id", "extra"]
    assert empty.is_empty()


@pytest.mark.parametrize(
    ("text", "date_format", "day"),
    [
        ("2024-04-03", None, date(2024, 4, 3)),
        (" 2024-04-03T10:15:00.123+02:00 ", None, date(2024, 4, 3)),
        ("2024-04-03 23:59", None, date(2024, 4, 3)),
        ("2024/04/03", None, date(2024, 4, 3)),
        ("3.4.2024", None, date(2024, 4, 3)),
        ("20240403", None, date(2024, 4, 3)),
        ("03/04/2024", None, None),
        ("2024-02-30", None, None),
        ("2024-04-03 tomorrow", None, None),
        ("", None, None),
        (None, None, None),
        ("03/04/2024", "%d/%m/%Y", date(2024, 4, 3)),
        ("3/4/2024 8:05", "%m/%d/%Y %H:%M", date(2024, 3, 4)),
        ("2024-04-03", "%d/%m/%Y", None),
    ],
)
def test_dates(text: str | None, date_format: str | None, day: date | None) -> None:
    frame = pl.DataFrame({"date": [text, None]}, schema={"date": pl.String})
    assert frame.select(parse_dates(pl.col("date"), DateReading(date_format))).to_series().to_list() == [day, None]
