"""Segments of the prediction log: which are finished, and what their lines say."""

import fcntl
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from demand_forecast.publishing.answers import SERVED, AnswerReader, finished_segments
from demand_forecast_tests.answered import ORIGIN, line, write_segment


def read(*files: Path) -> tuple[pl.DataFrame, AnswerReader]:
    reader = AnswerReader()
    return pl.concat(reader.frames(files)), reader


def test_a_line_is_a_row_per_answered_series(tmp_path: Path) -> None:
    series = [("north", "apple"), ("south", "bread")]
    file = write_segment(
        tmp_path,
        "a.jsonl",
        line("one", series, arm="challenger", version="4", periods=3),
        line("two", shadow=True, levels=()),
    )
    rows, reader = read(file)
    assert dict(rows.schema) == SERVED
    assert (reader.lines, reader.bad) == (2, 0)
    first, second, third = rows.to_dicts()
    assert [row["request_id"] for row in (first, second, third)] == ["one", "one", "two"]
    assert (second["store_id"], second["product_id"], second["arm"]) == ("south", "bread", "challenger")
    assert (second["periods"], second["mean"], second["q50"]) == (3, [2.5, 3.5, 4.5], [0.5, 1.5, 2.5])
    assert second["q20"] is None
    assert (first["at"], first["forecast_origin"]) == (datetime(2026, 3, 3, 8, tzinfo=UTC), ORIGIN)
    assert (third["shadow"], third["seconds"], third["q50"], third["segment"]) == (True, None, None, "a")


BAD = [
    b"nonsense\n",
    b"5\n",
    b"{}\n",
    b'{"at":"2026-03-03T08:00:00+00:00","endpoint":"/v1/fore\n',
    line("x").replace(b"north", b"\xff"),
    line("x").replace(b"2026-03-03T08", b"yesterday"),
    line("x").replace(b'"forecast_origin":"2026-03-02"', b'"forecast_origin":"2026-03-32"'),
    line("x", product_id=None),
    line("x", mean=[]),
    line("x", mean=[1.0, None]),
    line("x", mean="many"),
]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_line_is_counted_and_skipped_whole(tmp_path: Path, bad: bytes) -> None:
    good = [line(str(number)) for number in range(5)]
    rows, reader = read(write_segment(tmp_path, "a.jsonl", *good[:3], bad, b"\n", *good[3:], line("none", [])))
    assert rows["request_id"].to_list() == ["0", "1", "2", "3", "4"]
    assert (reader.lines, reader.bad) == (7, 1)


def test_one_bad_series_costs_the_whole_line(tmp_path: Path) -> None:
    bad = line("x", [("north", "apple"), ("south", "bread")]).replace(b'"south"', b"null")
    rows, reader = read(write_segment(tmp_path, "a.jsonl", bad, line("good")))
    assert (rows["request_id"].to_list(), reader.bad) == (["good"], 1)


def test_closed_and_abandoned_segments_are_finished_and_one_being_written_is_not(tmp_path: Path) -> None:
    torn = line("torn")[:-20]
    write_segment(tmp_path, "2-7.jsonl", line("closed"))
    write_segment(tmp_path, "1-9.open", line("abandoned"), torn)
    write_segment(tmp_path, "0-1.notes", b"not ours")
    just_made = write_segment(tmp_path, "4-5.open")
    with write_segment(tmp_path, "3-8.open", line("written")).open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        files = finished_segments(tmp_path)
    assert [file.name for file in files] == ["1-9.open", "2-7.jsonl"]
    rows, reader = read(*files)
    assert rows["request_id"].to_list() == ["abandoned", "closed"]
    assert reader.bad == 0, "what a crash cut off is no bad line"
    os.utime(just_made, (0, time.time() - 120))
    assert just_made in finished_segments(tmp_path), "empty, and nobody has come to write"
    assert finished_segments(tmp_path / "none") == []
