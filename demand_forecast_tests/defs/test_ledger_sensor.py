"""What the ledger sensor requests as a database changes, on SQLite and, where it is installed, on PostgreSQL."""

import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from demand_forecast.defs.automation.arrival import ledger
from demand_forecast.defs.project import Project
from demand_forecast_tests.defs.arrivals import collect, days, look, run
from demand_forecast_tests.landing_files import FIRST_DAY

COLUMNS = {"date": "sold_on", "store_id": "shop", "product_id": "sku", "units": "qty"}
TEN_DAYS = (FIRST_DAY, FIRST_DAY + timedelta(days=9))


class Till:
    """A ledger of one sale a day, and the sensor that watches it."""

    def __init__(self, url: str, engine: sa.Engine, project_of: Callable[..., Project], **keys: Any) -> None:
        self.engine = engine
        source = {"kind": "sql", "url": url, "sales": {"table": "ledger", "columns": COLUMNS}}
        self.project = project_of(sources=[source], automation={"ledger_lookback": 5}, **keys)
        self.instance, self.cursor = dg.DagsterInstance.ephemeral(), None

    def execute(self, statement: str, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.text(statement), values)

    def sell(self, day: date, units: float = 3) -> None:
        self.execute("INSERT INTO ledger VALUES (:day, 'S1', 'P1', :units)", day=day.isoformat(), units=units)

    def look(self) -> list[dg.RunRequest]:
        said = look(self.project, self.instance, self.cursor, ledger)
        self.cursor, self.why = said.cursor, said.skip_reason and said.skip_reason.skip_message
        return said.run_requests or []

    def night(self) -> list[tuple[date, date]]:
        """A look, and the runs it requests; the days they were over."""
        requests = self.look()
        for request in requests:
            collect(self.project)
            run(self.instance, request)
        return [days(request) for request in requests]


@pytest.fixture(params=["sqlite", "postgresql"])
def till(request: pytest.FixtureRequest, tmp_path: Path, project_of: Callable[..., Project]) -> Iterator[Till]:
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}" if sqlite else request.getfixturevalue("postgres_url")
    engine = sa.create_engine(url)
    till = Till(url, engine, project_of)
    till.execute("CREATE TABLE ledger (sold_on DATE, shop TEXT, sku TEXT, qty FLOAT)")
    for number in range(10):
        till.sell(FIRST_DAY + timedelta(days=number))
    yield till
    engine.dispose()


def test_all_days_first_then_those_whose_totals_changed(till: Till) -> None:
    assert till.night() == [TEN_DAYS]
    assert till.night() == []
    assert till.why == "Nothing new in the database."
    eleventh, corrected = FIRST_DAY + timedelta(days=10), FIRST_DAY + timedelta(days=8)
    till.sell(eleventh)
    till.execute("UPDATE ledger SET qty = 4 WHERE sold_on = :day", day=corrected.isoformat())
    assert till.night() == [(corrected, eleventh)]
    assert till.night() == []
    till.execute("UPDATE ledger SET qty = 3 WHERE sold_on = :day", day=corrected.isoformat())
    assert till.night() == [(corrected, corrected)]


def test_what_a_run_is_about_is_not_requested_again(till: Till) -> None:
    (first,) = till.look()
    assert till.look() == []
    assert till.why in ("Waits for the runs that were requested.", "Nothing new in the database.")
    till.sell(FIRST_DAY + timedelta(days=10))
    (second,) = till.look()
    assert days(second) == (FIRST_DAY + timedelta(days=10),) * 2
    assert second.run_key != first.run_key


def test_a_failed_run_is_requested_again(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    (first,) = till.look()
    run(till.instance, first, fails=True)
    assert till.look() == []
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 31 * 60)
    (again,) = till.look()
    assert again.run_key == f"{first.run_key}-2"


def test_a_lake_that_holds_the_table_already_is_not_filled_again(till: Till) -> None:
    collect(till.project)
    till.execute("UPDATE ledger SET qty = 9 WHERE sold_on = :day", day=TEN_DAYS[1].isoformat())
    assert till.night() == [(TEN_DAYS[1], TEN_DAYS[1])]


def test_a_day_out_of_the_lookback_is_left_to_the_reconcile_job(till: Till) -> None:
    till.night()
    till.night()
    till.execute("UPDATE ledger SET qty = 9 WHERE sold_on = :day", day=FIRST_DAY.isoformat())
    assert till.night() == []


def test_a_day_that_is_not_over_waits(till: Till) -> None:
    till.night()
    till.sell(date.today() + timedelta(days=1))
    assert till.night() == []


def test_a_database_that_is_gone_is_said_and_taken_up_when_it_is_back(till: Till, tmp_path: Path) -> None:
    till.night()
    url = till.engine.url
    if url.get_backend_name() == "sqlite":
        file = tmp_path / "ledger.sqlite"
        file.rename(tmp_path / "away")
        assert till.look() == []
        assert "no such SQLite file" in till.why
        (tmp_path / "away").rename(file)
    else:
        there, config = till.project, till.project.settings.path.read_text()
        gone = Path(tmp_path / "gone.yaml")
        gone.write_text(config.replace(f":{url.port}/", ":1/"))
        till.project = Project(config=str(gone))
        assert till.look() == []
        assert "cannot connect" in till.why
        assert "sesame" not in till.why + till.cursor
        till.project = there
    till.sell(FIRST_DAY + timedelta(days=10))
    assert till.night() == [(FIRST_DAY + timedelta(days=10),) * 2]
