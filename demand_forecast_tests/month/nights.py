"""Thirty nights, what is done to each, and what the system made of it."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from demand_forecast_tests.alerts.receivers import WebReceiver
from demand_forecast_tests.month.shop import BOOKS, FILES, HEADER, Shop
from demand_forecast_tests.month.system import System

PATIENCE = 420.0  # seconds until a night is through, a training among them
LONG = 600.0  # where something is to be tried again first


@dataclass
class Night:
    """What one night is about: what is done when `day` arrives, and what then must have become of it."""

    injected: str
    act: Callable[["Month", date], None]
    done: Callable[["Month", date], bool]
    seconds: float = PATIENCE


class Month:
    """The retailer, the system and who is told, night after night."""

    def __init__(self, folder: Path, receiver: WebReceiver) -> None:
        self.shop, self.system, self.receiver = Shop(folder), System(folder), receiver
        self.told = 0
        self.kept: dict[str, Any] = {}

    def begin(self) -> bool:
        """The first load and training, without anyone asking for it."""
        self.shop.open(alerts={"channels": [{"kind": "webhook", "url": self.receiver.url}]})
        self.system.start()
        return self.system.wait(lambda: self.system.reviewed() is not None, LONG)

    def play(self, number: int, night: Night) -> dict[str, Any]:
        """Lets one night come; a row of the table."""
        started, day = time.monotonic(), self.shop.night(number)
        ledger = self._ledger()
        before = {table: self._rows(table) for table in ("raw_sales", "rejected_sales")}
        night.act(self, day)
        well = self.system.wait(lambda: night.done(self, day), night.seconds)
        return {
            "night": number,
            "day": day,
            "injected": night.injected,
            "well": well,
            "what the system did": self._told(before, ledger),
            "seconds": round(time.monotonic() - started),
        }

    def _rows(self, table: str) -> int:
        lake = self.system.lake
        return lake.scan(table).select(pl.len()).collect().item() if lake.exists(table) else 0

    def _ledger(self) -> int:
        return self._rows("promotion_ledger")

    def _told(self, before: dict[str, int], ledger: int) -> str:
        said = [", ".join(f"{job} {status}" for job, status in self.system.new_runs()) or "no run"]
        for table, rows in before.items():
            said += [f"{table} {self._rows(table) - rows:+,}"] if self._rows(table) != rows else []
        since = self.system.lake.notes("daily_demand").get("since", "the first day")
        said += [f"demand built from {since}, forecast of {self.system.newest('demand_forecast', 'forecast_origin')}"]
        lines = self.system.lake.read("promotion_ledger").sort("decided_at").tail(self._ledger() - ledger)
        said += [
            f"ledger: {row['decision']} {row['from_version'] or 'none'} -> {row['to_version']}"
            for row in (lines.iter_rows(named=True) if self._ledger() > ledger else ())
        ]
        decisions = self.system.lake.read("retrain_decision").sort("day")
        said += ["decided to retrain"] if decisions["decision"][-1] == "retrain" else []
        alerts, self.told = self.receiver.taken[self.told :], len(self.receiver.taken)
        told = [f"{alert['title']}" for alert in alerts if alert["kind"] != "check_warning"]
        return "; ".join(said + [f"alert: {title}" for title in dict.fromkeys(told)])


def forecast_of(month: Month, day: date) -> bool:
    return month.system.reviewed() == day


def nothing_forecast(month: Month, day: date) -> bool:
    """The night failed and said so: it has been tried, and the forecast is that of a day before."""
    newest = month.system.newest("demand_forecast", "forecast_origin")
    told = {alert["title"] for alert in month.receiver.taken[month.told :]}
    return newest is not None and newest < day and any("failed" in title for title in told)


def quietly(month: Month, day: date) -> bool:
    """Nothing was to be done; it is given the time to do something."""
    return time.monotonic() - month.kept.setdefault("since", time.monotonic()) > 15


def arrives(month: Month, day: date) -> None:
    month.shop.land(day)


def copied(month: Month, day: date) -> None:
    month.shop.land(day)
    copy = month.shop.landing / f"copy of {day}.csv"
    copy.write_bytes((month.shop.landing / f"{day}.csv").read_bytes())


def corrected(month: Month, day: date) -> None:
    month.shop.land(day)
    earlier = day.fromordinal(day.toordinal() - 2)
    month.shop.report(str(earlier), month.shop.rows(earlier, FILES, 1.1))


def late(month: Month, day: date) -> None:
    month.shop.land(day)
    earlier = day.fromordinal(day.toordinal() - 3)
    month.shop.report(f"{earlier}_late", [(str(earlier), "north", "flour", 11, 2.5)])


def slowly(month: Month, day: date) -> None:
    month.shop.book(month.shop.rows(day, (BOOKS,)))
    month.shop.write_slowly(str(day), month.shop.rows(day, FILES), seconds=6)


def database_gone(month: Month, day: date) -> None:
    month.shop.take_ledger_away()
    month.shop.report(str(day), month.shop.rows(day, FILES))


def database_back(month: Month, day: date) -> None:
    month.shop.bring_ledger_back()
    month.shop.book(month.shop.rows(day.fromordinal(day.toordinal() - 1), (BOOKS,)))
    month.shop.land(day)


def no_sales(month: Month, day: date) -> None:
    month.kept.pop("since", None)
    month.shop.report(str(day), [])


def two_days(month: Month, day: date) -> None:
    month.shop.land(day.fromordinal(day.toordinal() - 1))
    month.shop.land(day)


def renamed(month: Month, day: date) -> None:
    month.shop.book(month.shop.rows(day, (BOOKS,)))
    month.shop.report(str(day), month.shop.rows(day, FILES), HEADER.replace("sold", "quantity"))


def repaired(month: Month, day: date) -> None:
    earlier = day.fromordinal(day.toordinal() - 1)
    month.shop.report(str(earlier), month.shop.rows(earlier, FILES))
    month.shop.land(day)


def run_killed(month: Month, day: date) -> None:
    month.shop.land(day)
    month.kept["killed"] = month.system.kill_run()


def power_cut(month: Month, day: date) -> None:
    month.shop.land(day)
    deadline = time.monotonic() + 60
    while not month.system.going_on() and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(6)
    month.system.stop(signal.SIGKILL)
    month.system.start()


def market_moves(month: Month, day: date) -> None:
    month.shop.moved = day
    month.shop.land(day)


def ten_times(month: Month, day: date) -> None:
    month.shop.land(day, 10.0)


def promoted_by_hand(month: Month, day: date) -> None:
    """A person makes a model champion that expects twice of everything."""
    promote_a_bad_model(month.shop.folder)
    month.shop.land(day)


def promote_a_bad_model(folder: Path) -> None:
    from demand_forecast.defs.features.contract import read_contract
    from demand_forecast.defs.project import Project
    from demand_forecast.domain.models import create
    from demand_forecast.domain.tables import now
    from demand_forecast.tracking.ledger import PromotionLedger

    os.environ.pop("DEMAND_FORECAST_HOME", None)
    project = Project(config=str(folder / "config.yaml"))
    features = project.lake.read("demand_features").filter(pl.col("training"))
    bad = create("gradient_boosting", seed=1).fit(
        features.with_columns(pl.col("units") * 2), read_contract(project.lake)
    )
    champion = project.tracking.champion()
    with project.tracking.run("by hand") as run, TemporaryDirectory() as place:
        bad.save(Path(place) / "model")
        tags = {"model": bad.name, "fingerprint": "by hand", "code_version": "by hand"}
        origin = {"forecast_origin": champion.tags["forecast_origin"]} if champion else {}
        version = project.tracking.register(run.run_id, Path(place) / "model", tags | origin)
    line = {
        "decided_at": now(),
        "decision": "promoted",
        "from_version": champion.version if champion else None,
        "to_version": version,
        "by": "a person",
        "run_id": "by hand",
        "reasons": "it looked good in a notebook",
    }
    project.tracking.promote(line, PromotionLedger(project.lake))


PLAIN = Night("", arrives, forecast_of)
NIGHTS: dict[int, Night] = dict.fromkeys(range(1, 31), PLAIN) | {
    2: Night("the day's file again, under another name", copied, forecast_of),
    4: Night("a corrected report of two days ago", corrected, forecast_of),
    5: Night("late rows of three days ago", late, forecast_of),
    6: Night("the file is written over six seconds, under its own name", slowly, forecast_of),
    7: Night("the database is gone", database_gone, nothing_forecast),
    8: Night("the database is back, with both days", database_back, forecast_of, LONG),
    9: Night("no sales: a header only, no row in the database", no_sales, quietly),
    10: Night("the day before arrives with this one", two_days, forecast_of),
    11: Night("a column was renamed", renamed, nothing_forecast),
    12: Night("the report repaired, under its old name", repaired, forecast_of, LONG),
    13: Night("kill -9 of the run", run_killed, forecast_of, LONG),
    14: Night("kill -9 of daemon and all, then started again", power_cut, forecast_of, LONG),
    15: Night("from here on demand is 1.8 times what it was", market_moves, forecast_of),
    22: Night("a person promotes a model that expects twice of everything", promoted_by_hand, forecast_of),
    29: Night("ten times the sales", ten_times, forecast_of),
}


def to_markdown(rows: list[dict[str, Any]]) -> str:
    lines = ["| night | day | injected | what the system did | s |", "|--:|---|---|---|--:|"]
    for row in rows:
        did = row["what the system did"] if row["well"] else f"**NOT AS EXPECTED** {row['what the system did']}"
        lines.append(f"| {row['night']} | {row['day']} | {row['injected']} | {did} | {row['seconds']} |")
    return "\n".join(lines)
