import csv
import gzip
import io
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demand_forecast.domain.cleaning.dates import parse_dates
from demand_forecast.settings import Constant, Input, Settings
from demand_forecast.sources.collecting.settling import wait_until_settled
from demand_forecast.sources.columns import mapped, mapping
from demand_forecast.sources.delivery import natural
from demand_forecast.sources.errors import SourceError, UnfinishedError
from demand_forecast.sources.kinds.files.csv_rows import parse_csv
from demand_forecast.sources.kinds.files.landed import deliveries, report_of
from demand_forecast.sources.kinds.files.parse import parse
from demand_forecast.sources.landing import Landing

Configure = Callable[[dict[str, Any]], Settings]
COLUMNS: dict[str, Any] = {"date": "Date", "store_id": "Store", "product_id": "SKU", "units": "Qty"}
HEADER = "Date,Store,SKU,Qty"
LINE = "2024-01-02,S1,P1,3"


def read(file: Path, covariates: tuple[str, ...] = (), **keys: Any) -> pl.DataFrame:
    asked = Input(**({"path": str(file), "columns": COLUMNS} | keys))
    parsed = parse(file, asked)
    return mapped(parsed, mapping(asked, "sales", covariates, parsed.columns.columns, str(file)))


def written(folder: Path, *lines: str, name: str = "sales.csv") -> Path:
    file = folder / name
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


fields = st.lists(st.text(alphabet='ab,;"\né ', max_size=6), min_size=3, max_size=3)


@given(st.lists(fields, max_size=8), st.sampled_from([",", ";"]), st.sampled_from(["\n", "\r\n"]))
def test_what_a_csv_writer_wrote_is_read_as_the_csv_module_reads_it(rows: list[list[str]], mark: str, end: str) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=mark, lineterminator=end).writerows([["x", "y", "z"], *rows])
    parsed = parse_csv(text.getvalue().encode(), mark)
    assert [list(row) for row in parsed.columns.rows()] == rows
    assert parsed.marks["fault"].null_count() == len(rows)


@given(
    st.lists(
        st.sampled_from(["1,2,3", "1,2", "1,2,3,4", "", 'a,"b,c",d', 'a,"b,c', "1,,", ",,", 'x,5" tube,z', "word"])
    )
)
def test_no_line_is_lost(lines: list[str]) -> None:
    parsed = parse_csv("\n".join(["x,y,z", *lines]).encode())
    good = {"1,2,3", 'a,"b,c",d', "1,,", ",,", 'x,5" tube,z'}
    marks = parsed.marks.filter(pl.col("fault").is_not_null())
    if 'a,"b,c' not in lines:
        expected = [(number, line) for number, line in enumerate(lines, 2) if line and line not in good]
        assert marks.select("line", "whole").rows() == expected
        assert parsed.marks["line"].to_list() == [number for number, line in enumerate(lines, 2) if line]
    assert parsed.columns.filter(pl.col("z") == "3").height == lines.count("1,2,3")


def test_a_line_that_does_not_split_is_kept_whole_with_its_number(tmp_path: Path) -> None:
    frame = read(written(tmp_path, HEADER, LINE, "2024-01-02,S1,P2", "", LINE + ",9", LINE))
    assert frame["line"].to_list() == [2, 3, 5, 6]
    assert frame["fault"].to_list() == [None, "malformed_line", "malformed_line", None]
    assert frame["extra"].to_list() == ["", "2024-01-02,S1,P2", LINE + ",9", ""]
    assert frame["units"].to_list() == ["3", None, None, "3"]


def test_a_quote_never_closed_spoils_only_its_line(tmp_path: Path) -> None:
    frame = read(written(tmp_path, HEADER, '2024-01-02,S1,"P1,3', *[LINE] * 40))
    assert frame["fault"].to_list() == ["malformed_line"] + [None] * 40


def test_values_over_several_lines_count_where_they_begin() -> None:
    parsed = parse_csv(b'x,y\n1,"a\nb"\n2,c\n')
    assert parsed.columns["y"].to_list() == ["a\nb", "c"]
    assert parsed.marks["line"].to_list() == [2, 4]


@pytest.mark.parametrize(
    ("text", "encoding", "said"),
    [("Café", "utf-8", "Café"), ("Café", "utf-8-sig", "Café"), ("Café", "cp1252", "Café"), ("Café", "utf-16", "Café")],
)
def test_encodings(tmp_path: Path, text: str, encoding: str, said: str) -> None:
    file = tmp_path / "sales.csv"
    file.write_bytes(f"{HEADER}\n2024-01-02,{text},P1,3\n".encode(encoding))
    frame = read(file)
    assert frame.select("date", "store_id").rows() == [("2024-01-02", said)]


def test_gzip_is_known_by_its_content(tmp_path: Path) -> None:
    file = tmp_path / "sales.csv"
    file.write_bytes(gzip.compress(f"{HEADER}\n{LINE}\n".encode(), mtime=0))
    assert read(file)["units"].to_list() == ["3"]


def test_parquet_is_written_out_as_a_csv_would_say_it(tmp_path: Path) -> None:
    moments = [datetime(2024, 1, 2), datetime(2024, 1, 2, 10, 30), None]
    frame = pl.DataFrame(
        {
            "Date": moments,
            "Store": [1, 2, None],
            "SKU": ["a", "b", None],
            "Qty": [3.0, 0.1, float("nan")],
            "Day": [date(2024, 1, 2)] * 3,
            "Flag": [True, False, None],
            "Cost": pl.Series([Decimal("1.50"), Decimal("2.00"), Decimal("100.00")], dtype=pl.Decimal(8, 2)),
            "Zoned": pl.Series([datetime(2024, 1, 2, 23)] * 3).dt.replace_time_zone("America/New_York"),
        }
    )
    frame.write_parquet(tmp_path / "sales.parquet")
    columns = COLUMNS | {"day2": "Day", "flag": "Flag", "cost": "Cost", "zoned": "Zoned"}
    text = read(tmp_path / "sales.parquet", columns=columns)
    assert text["date"].to_list() == ["2024-01-02", "2024-01-02 10:30:00", None]
    assert text["store_id"].to_list() == ["1", "2", None]
    assert text["units"].to_list() == ["3", "0.1", None]
    assert text["day2"].to_list() == ["2024-01-02"] * 3
    assert text["flag"].to_list() == ["1", "0", None]
    assert text["cost"].to_list() == ["1.5", "2", "100"]
    assert text.select(parse_dates(pl.col("zoned"))).to_series().to_list() == [date(2024, 1, 2)] * 3


def test_constants_covariates_and_what_nobody_asked_for(tmp_path: Path) -> None:
    file = written(tmp_path, "Date,SKU,Qty,customers,Till", "2024-01-02,P1,3,80,T9")
    frame = read(file, ("customers", "weather"), columns=COLUMNS | {"store_id": Constant(value="all")})
    assert set(frame.columns) == {"date", "store_id", "product_id", "units", "customers", "line", "extra", "fault"}
    assert frame["extra"].to_list() == ['{"Till":"T9"}']
    assert frame["store_id"].to_list() == ["all"]
    assert frame["customers"].to_list() == ["80"]


def test_keys_may_stand_under_their_own_names(tmp_path: Path) -> None:
    frame = read(written(tmp_path, "date,store_id,product_id,units,price", LINE + ",2"), columns={})
    assert frame["units"].to_list() == ["3"]
    assert "price" not in frame.columns


@pytest.mark.parametrize("lines", [[], [""], [HEADER]])
def test_a_file_with_nothing_in_it_has_no_rows(tmp_path: Path, lines: list[str]) -> None:
    parsed = parse(written(tmp_path, *lines), Input())
    assert parsed.columns.height == 0 == parsed.marks.height


@pytest.mark.parametrize(
    ("content", "keys", "message"),
    [
        (
            f"{HEADER}\n{LINE}\n".replace("Qty", "Quantity").encode(),
            {},
            r"no column 'Qty'; did you mean 'Quantity'\?.*sales\.columns\.units",
        ),
        (f"{HEADER}\n{LINE}\n".replace(",", ";").encode(), {}, "set sales.delimiter: ';'"),
        (
            f"{HEADER}\n{LINE}\n".encode(),
            {"columns": {"date": "Date"}},
            r"nothing says store_id; add `store_id: <column>`",
        ),
        (f"{HEADER}\n{LINE}\n".encode(), {"columns": COLUMNS | {"line": "SKU"}}, "kept for provenance"),
        (gzip.compress((HEADER + LINE * 500).encode(), mtime=0)[:-20], {}, "cut short or damaged.*deliver it again"),
        (b"PK\x03\x04 and so on", {}, "export it as CSV"),
        (b"PAR1 and so on", {}, "not a readable Parquet"),
    ],
)
def test_errors_name_the_file_and_the_repair(
    tmp_path: Path, content: bytes, keys: dict[str, Any], message: str
) -> None:
    file = tmp_path / "sales.csv"
    file.write_bytes(content)
    with pytest.raises(SourceError, match=message) as raised:
        read(file, **keys)
    assert str(file) in str(raised.value)


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    file = tmp_path / "sales.csv"
    file.symlink_to(tmp_path / "gone")
    with pytest.raises(SourceError, match="cannot be read"):
        read(file)


def test_names_of_files_that_are_not_done_are_never_taken(tmp_path: Path, configure: Configure) -> None:
    settings = configure({"source": {"sales": {"path": "landing/*"}}})
    (tmp_path / "landing").mkdir()
    for name in ("a.csv", "b.csv.gz", ".c.csv", "d.csv.tmp", "e.csv.part", "f.csv.crdownload", "g.csv~"):
        (tmp_path / "landing" / name).write_text(HEADER, encoding="utf-8")
    found = deliveries(settings, "files", "sales", settings.all_sources[0].sales, Landing())
    assert [delivery.file for delivery in found] == ["landing/a.csv", "landing/b.csv.gz"]


def test_a_file_that_grows_while_it_is_read_is_not_taken_in_half(tmp_path: Path, configure: Configure) -> None:
    settings, landing = configure({"source": {"sales": {"path": "sales.csv", "columns": COLUMNS}}}), Landing()
    file = written(tmp_path, HEADER, LINE)
    (delivery,) = deliveries(settings, "files", "sales", settings.all_sources[0].sales, landing)
    file.write_text(f"{HEADER}\n{LINE}\n{LINE}\n", encoding="utf-8")
    with pytest.raises(UnfinishedError, match="changed while it was read"):
        list(delivery.read(None))


def test_a_run_waits_for_files_that_have_only_just_landed(
    tmp_path: Path, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DEMAND_FORECAST_AUTOMATION__SETTLE_SECONDS")
    settings = configure({"source": {"sales": {"path": "sales.csv"}}, "automation": {"settle_seconds": 1}})
    file, landing = written(tmp_path, HEADER, LINE), Landing()
    assert deliveries(settings, "files", "sales", settings.all_sources[0].sales, landing) == []
    assert "changed 0 s ago; it is taken after 1 s of rest" in landing.left[file.name]
    wait_until_settled(settings)
    assert len(deliveries(settings, "files", "sales", settings.all_sources[0].sales, landing)) == 1


def test_reports() -> None:
    assert report_of("landing/2024-01-02.csv.gz", None) == "landing/2024-01-02.csv"
    assert report_of("landing/sales_2024-01-02_v2.csv", r"\d{4}-\d\d-\d\d") == "2024-01-02"
    assert report_of("landing/S1_2024-01-02_v2.csv", r"(\w+)_(\d{4}-\d\d-\d\d)") == "S1-2024-01-02"
    assert report_of("landing/other.csv", r"\d{4}") == "landing/other.csv"
    assert sorted(["v10.csv", "v9.csv", "v9_b.csv"], key=natural) == ["v9.csv", "v9_b.csv", "v10.csv"]
