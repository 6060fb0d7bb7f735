"""The committed sample retailer: what the seed gives, true to its truth, and as messy as its list of faults says."""

import csv
import gzip
import re
import sqlite3
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from demand_forecast.sources.sample import Sample, catalogue, mess, write_sample

ROOT = Path(__file__).parents[3]
DATA = ROOT / "data"
TRUTH = ROOT / "demand_forecast_tests" / "data"
SALES = DATA / "landing" / "sales"
LAST_DAY = date(2026, 10, 4)

Line = tuple[str, str, str, str, str]


@pytest.fixture(scope="module")
def faults() -> pl.DataFrame:
    return pl.read_csv(TRUTH / "faults.csv", try_parse_dates=True)


@pytest.fixture(scope="module")
def reports() -> dict[str, list[str]]:
    """The lines of every committed report, header first."""
    return {path.name: _text(path).splitlines() for path in sorted(SALES.iterdir())}


@pytest.fixture(scope="module")
def ledger() -> list[tuple[str, ...]]:
    with sqlite3.connect(DATA / "ledger.sqlite") as connection:
        return connection.execute("SELECT rowid, sold_on, shop, sku, quantity, unit_price FROM sales").fetchall()


def _content(path: Path) -> bytes:
    """What is in the file: builds of zlib differ in how they compress the same."""
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def _text(path: Path) -> str:
    content = _content(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252")


def _files(folder: Path) -> dict[str, Path]:
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path for name, path in found.items() if path.name not in ("README.md", ".gitattributes")}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder / "data", truth=folder / "truth")
    return folder


def test_the_seed_gives_the_committed_files(written: Path) -> None:
    found, committed = _files(written / "data"), _files(DATA)
    assert found.keys() == committed.keys()
    assert [name for name in found if _content(found[name]) != _content(committed[name])] == []
    for name in ("faults.csv", "effects.json"):
        assert (written / "truth" / name).read_bytes() == (TRUTH / name).read_bytes()
    assert pl.read_parquet(written / "truth" / "truth.parquet").equals(pl.read_parquet(TRUTH / "truth.parquet"))


@pytest.mark.slow
def test_writing_again_changes_nothing_and_another_seed_does(written: Path, tmp_path: Path) -> None:
    def held(folder: Path) -> dict[str, bytes]:
        return {name: path.read_bytes() for name, path in _files(folder).items()}

    before = held(written / "data")
    write_sample(written / "data")
    assert held(written / "data") == before
    write_sample(tmp_path, 4)
    other = held(tmp_path)
    assert other.keys() == before.keys()
    assert other["landing/sales/2026-09-01.csv"] != before["landing/sales/2026-09-01.csv"]


def test_the_sample_is_small_and_the_truth_is_not_among_it() -> None:
    sizes = {name: path.stat().st_size for name, path in _files(DATA).items()}
    assert sum(sizes.values()) < 5_000_000
    assert sum(path.stat().st_size for path in _files(TRUTH).values()) < 2_500_000
    assert not any(re.search("truth|fault|effect", name) for name in sizes)


def test_sales_lines_add_up_to_the_true_sales(sample: Sample, truth: pl.DataFrame) -> None:
    key = ["store_id", "product_id", "date"]
    summed = sample.sales.group_by(key).agg(pl.col("units").sum()).sort(key)
    true = truth.filter(pl.col("sales") > 0).sort(key)
    assert summed.select(key).equals(true.select(key))
    assert summed["units"].to_list() == true["sales"].to_list()
    assert sample.sales["units"].min() == 1  # type: ignore[comparison-overlap]
    assert 0 < sample.sales.height - summed.height < 0.01 * summed.height


def _field_lines(lines: list[str]) -> list[Line]:
    return [tuple(row[:5]) for row in csv.reader(lines)]  # type: ignore[misc]


def _clean(sample: Sample, source: str) -> Counter[Line]:
    channels = dict(catalogue.stores().select("Store", "Channel").iter_rows())
    rows = sample.sales.iter_rows()
    return Counter((str(d), s, p, str(u), f"{price:.2f}") for d, s, p, u, price in rows if channels[s] == source)


def test_the_reports_without_their_faults_are_the_clean_sales(
    sample: Sample, faults: pl.DataFrame, reports: dict[str, list[str]]
) -> None:
    injected = set(faults.filter(pl.col("line").is_not_null(), source="branches").select("file", "line").iter_rows())
    found: Counter[Line] = Counter()
    for name, lines in reports.items():
        if name != "2026-09-02.csv":
            found.update(_field_lines([text for n, text in enumerate(lines, 1) if n > 1 and (name, n) not in injected]))
    clean = _clean(sample, "branches")
    lost = {line for line in clean if line[0] == "2025-03-11"}
    assert len(lost) > 100
    assert found == Counter({line: count for line, count in clean.items() if line not in lost})


def test_lines_in_the_reports_are_true_lines_plus_injected(
    sample: Sample, faults: pl.DataFrame, reports: dict[str, list[str]]
) -> None:
    branches = sample.sales.filter(pl.col("store_id").is_in(["S1", "S2", "S3", "S4"]))
    lost, twice = (branches.filter(date=day).height for day in (date(2025, 3, 11), date(2026, 9, 2)))
    injected = faults.filter(pl.col("line").is_not_null(), source="branches").height
    assert sum(len(lines) - 1 for lines in reports.values()) == branches.height - lost + twice + injected


def test_the_ledger_without_its_faults_is_the_clean_sales(
    sample: Sample, faults: pl.DataFrame, ledger: list[tuple[str, ...]]
) -> None:
    injected = set(faults.filter(source="ledger")["line"])
    kept = [row[1:] for row in ledger if row[0] not in injected]
    assert len(ledger) == len(kept) + len(injected)
    assert Counter((d, s, p, str(u), f"{price:.2f}") for d, s, p, u, price in kept) == _clean(sample, "ledger")


SEEN_IN_A_LINE: dict[str, Callable[[list[str], str], bool]] = {
    "duplicate_line": lambda fields, before: ",".join(fields) == before,
    "return": lambda fields, _: fields[3] == "-1",
    "unknown_product": lambda fields, _: fields[2].startswith("X"),
    "negative_quantity": lambda fields, _: int(fields[3]) < -1000,
    "absurd_quantity": lambda fields, _: int(fields[3]) >= 99_999,
    "zero_price": lambda fields, _: float(fields[4]) == 0,
    "text_quantity": lambda fields, _: fields[3] == "deux",
    "impossible_date": lambda fields, _: fields[0].endswith("-02-30"),
    "too_few_fields": lambda fields, _: len(fields) == 3,
    "too_many_fields": lambda fields, _: len(fields) == 7,
    "unterminated_quote": lambda fields, _: ",".join(fields).count('"') == 1,
}
LEDGER_KINDS = [kind for kind in SEEN_IN_A_LINE if kind not in mess.LINE_FAULTS]


@pytest.mark.parametrize("kind", SEEN_IN_A_LINE)
def test_every_line_fault_is_where_the_truth_says(
    kind: str, faults: pl.DataFrame, reports: dict[str, list[str]]
) -> None:
    places = faults.filter(kind=kind, source="branches")
    assert places.height >= 5
    for file, line in places.select("file", "line").iter_rows():
        lines = reports[file]
        assert SEEN_IN_A_LINE[kind](lines[line - 1].split(","), lines[line - 2]), f"{file}:{line}"


@pytest.mark.parametrize("kind", LEDGER_KINDS)
def test_every_ledger_fault_is_where_the_truth_says(
    kind: str, faults: pl.DataFrame, ledger: list[tuple[str, ...]]
) -> None:
    texts = {row[0]: ",".join(map(str, row[1:])) for row in ledger}
    places = faults.filter(kind=kind, source="ledger")
    assert places.height >= 3
    for line in places["line"]:
        assert SEEN_IN_A_LINE[kind](texts[line].split(","), texts[line - 1]), f"row {line}"


def test_the_faults_listed_are_all_the_kinds_tested(faults: pl.DataFrame) -> None:
    of_files = {"missing_file", "late_file", "superseded_file", "corrected_file", "cp1252_file", "bom_file"}
    assert set(faults["kind"]) == set(SEEN_IN_A_LINE) | of_files
    assert set(faults.filter(pl.col("line").is_null())["kind"]) == of_files


def _stores_in(lines: list[str]) -> set[str]:
    return {row[1] for row in _field_lines(lines[1:])}


def test_a_store_came_late_and_a_day_never(reports: dict[str, list[str]]) -> None:
    assert _stores_in(reports["2026-08-14.csv.gz"]) == {"S1", "S2", "S4"}
    assert _stores_in(reports["2026-08-14_late.csv"]) == {"S3"}
    assert not [name for name in reports if name.startswith("2025-03-11")]


def test_the_wrong_report_says_ten_times_as_much_for_one_store(reports: dict[str, list[str]]) -> None:
    wrong, right = (_field_lines(reports[f"2026-09-02{end}.csv"][1:]) for end in ("", "_corrected"))
    assert len(wrong) == len(right)
    factors = {(b[1], int(a[3]) / int(b[3])) for a, b in zip(wrong, right, strict=True)}
    assert factors == {("S1", 1.0), ("S2", 10.0), ("S3", 1.0), ("S4", 1.0)}


def test_encodings_differ(faults: pl.DataFrame) -> None:
    for file in faults.filter(kind="cp1252_file")["file"]:
        assert "remise été".encode("cp1252") in _content(SALES / file)
        with pytest.raises(UnicodeDecodeError):
            _content(SALES / file).decode()
    for file in faults.filter(kind="bom_file")["file"]:
        assert _content(SALES / file).startswith(b"\xef\xbb\xbfDate,Store,SKU,Qty,UnitPrice,Note\r\n")


def test_every_store_is_closed_at_christmas(
    truth: pl.DataFrame, reports: dict[str, list[str]], ledger: list[tuple[str, ...]]
) -> None:
    closed = {f"{year}-{day}" for year in (2023, 2024, 2025, 2026) for day in ("12-25", "01-01", "05-01")}
    assert not closed & {str(day) for day in truth["date"].unique()}
    assert not closed & {name[:10] for name in reports}
    assert not closed & {row[1] for row in ledger}
    assert truth["date"].n_unique() == 1099 - 9


def test_the_stock_reports_say_what_the_truth_says(truth: pl.DataFrame) -> None:
    stock = pl.read_csv(DATA / "landing" / "stock" / "*.csv", try_parse_dates=True)
    key = ["Date", "Store", "SKU"]
    short = stock.filter(pl.col("InStock") < 1).sort(key)
    true = truth.filter(pl.col("in_stock") < 1).sort("date", "store_id", "product_id")
    assert short.select(key).rows() == true.select("date", "store_id", "product_id").rows()
    np.testing.assert_allclose(short["InStock"], true["in_stock"], atol=1e-6)
    last = stock.filter(Date=LAST_DAY)
    assert last.height == 6 * 60
    assert last["OnHand"].null_count() == 0
    assert last.filter((pl.col("InStock") == 1) & (pl.col("OnHand") == 0)).is_empty()


def test_the_plan_reaches_eight_weeks_ahead_and_repeats_nothing() -> None:
    plan = DATA / "landing" / "plan"
    prices, calendar = (pl.read_csv(plan / name, try_parse_dates=True) for name in ("prices.csv", "calendar.csv"))
    end = LAST_DAY + timedelta(days=56)
    assert calendar["Date"].to_list() == [date(2023, 10, 2) + timedelta(days=n) for n in range(1099 + 56)]
    assert prices["Date"].max() == end
    assert prices.select("Date", "Store", "SKU").is_duplicated().any() is False
    chain = prices.filter(pl.col("Store").is_null()).sort("SKU", "Date")
    same = (pl.col("Price") == pl.col("Price").shift(1).over("SKU")) & (pl.col("Promo").shift(1).over("SKU") == 0)
    assert chain.filter(same & (pl.col("Promo") == 0)).is_empty()
