"""Three nights by the real daemon: its sensors find what arrives, its flow makes the forecast; nobody asks for it.

A whole month of them: `make month`.
"""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from demand_forecast_tests.alerts.receivers import WebReceiver
from demand_forecast_tests.month.nights import NIGHTS, Month
from demand_forecast_tests.month.shop import BOOKS, FILES

pytestmark = pytest.mark.slow  # three nights by the daemon

PLAYED = [NIGHTS[2], NIGHTS[4], NIGHTS[13]]  # a file twice, a corrected report of two days before, a killed run


def test_nights_go_by_themselves_through_a_copy_a_correction_and_a_kill(tmp_path: Path) -> None:
    with WebReceiver() as receiver:
        month = Month(tmp_path, receiver)
        try:
            assert month.begin()
            rows = [month.play(number, night) for number, night in enumerate(PLAYED, start=1)]
        finally:
            month.system.stop()
    assert [row["well"] for row in rows] == [True] * len(PLAYED), rows
    assert month.kept["killed"]
    days = [month.shop.night(number) for number in (0, 1, 2, 3)]
    corrected = days[2] - timedelta(days=2)
    demand = month.system.lake.read("daily_demand").filter(pl.col("date") >= days[0])
    said = demand.select(pl.col("date").cast(pl.String), "store_id", "product_id", pl.col("units").cast(pl.Int64))
    assert sorted(said.rows()) == sorted(
        row[:4]
        for day in days
        for row in month.shop.rows(day, FILES, 1.1 if day == corrected else 1) + month.shop.rows(day, (BOOKS,))
    )
