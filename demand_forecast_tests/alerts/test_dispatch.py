"""Once, and not more: what is sent over many ticks, restarts, dead receivers and two ticks at once."""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from demand_forecast.alerts.alert import Alert
from demand_forecast.alerts.dispatch import Dispatched, dispatch
from demand_forecast.alerts.log import AlertLog
from demand_forecast.lake.tables import Lake, LakeError
from demand_forecast.settings import Alerts
from demand_forecast_tests.alerts.receivers import MailReceiver, WebReceiver

START = datetime(2026, 5, 4, 3, tzinfo=UTC)
LOGGER = logging.getLogger("alerts under test")


def lost(subject: str = "demand_forecast", hours: float = 0, **changed: Any) -> Alert:
    at = START + timedelta(hours=hours)
    alert = Alert("freshness_lost", subject, "raised", f"{subject} is old", "text", "link", at, f"freshness:{subject}")
    return replace(alert, **changed)


def fresh(subject: str = "demand_forecast", hours: float = 1) -> Alert:
    return lost(subject, hours, state="resolved", title=f"{subject} is fresh again")


class Installation:
    """A lake, and channels that outlive ticks; each tick reads everything anew, as after a restart."""

    def __init__(self, folder: Path, *channels: dict[str, Any], **given: Any) -> None:
        self.folder, self.lake = folder, Lake(folder / "lake")
        self.settings = Alerts.model_validate({"channels": channels, **given})

    def tick(self, *alerts: Alert, hours: float = 0) -> Dispatched:
        at = START + timedelta(hours=hours)
        return dispatch(alerts, self.settings, self.lake, self.folder / "alerts.lock", LOGGER, lambda: at)

    def rows(self) -> list[tuple[str, list[str]]]:
        return [(row["state"], row["sent"]) for row in self.lake.read("alerts").sort("written_at", "at").to_dicts()]


def web(receiver: WebReceiver, **given: Any) -> dict[str, Any]:
    return {"kind": "webhook", "url": receiver.url, **given}


def test_an_alert_is_sent_once_and_its_end_once(tmp_path: Path) -> None:
    with WebReceiver() as receiver:
        shop = Installation(tmp_path, web(receiver))
        for _ in range(3):
            shop.tick(lost())
        for _ in range(3):
            shop.tick(fresh())
        shop.tick(lost(hours=2), hours=2)
    assert receiver.titles == [
        "demand_forecast is old",
        "Resolved: demand_forecast is fresh again",
        "demand_forecast is old",
    ]
    assert shop.rows() == [("raised", ["webhook"]), ("resolved", ["webhook"]), ("raised", ["webhook"])]


def test_what_is_older_than_what_was_said_is_no_news(tmp_path: Path) -> None:
    with WebReceiver() as receiver:
        shop = Installation(tmp_path, web(receiver))
        for alert in (lost(), fresh(), lost(), fresh()):  # the second two: a cursor that was lost
            shop.tick(alert)
    assert len(receiver.taken) == 2


def test_an_alert_that_stays_is_sent_again_after_repeat_hours(tmp_path: Path) -> None:
    with WebReceiver() as receiver:
        shop = Installation(tmp_path, web(receiver), repeat_hours=6)
        told = [shop.tick(lost(), hours=hours).sent for hours in (0, 5.9, 6, 11.9, 12)]
        unseen = shop.tick(hours=30).sent
    assert (told, unseen) == ([1, 0, 1, 0, 1], 0)


def test_what_happened_again_too_soon_is_told_when_it_may_be(tmp_path: Path) -> None:
    """A night that fails ten seconds earlier than the night before."""
    with WebReceiver() as receiver:
        shop = Installation(tmp_path, web(receiver))
        shop.tick(lost(), hours=0)
        again = shop.tick(lost(hours=23.99, text="second night"), hours=23.99)
        assert (len(again.news), again.sent) == (1, 0)
        shop.tick(hours=24)
    assert [payload["text"] for payload in receiver.taken] == ["text", "second night"]


def test_what_gets_worse_is_told_at_once_and_ends_once(tmp_path: Path) -> None:
    with WebReceiver() as receiver, WebReceiver() as only_lost:
        channels = web(receiver), web(only_lost, name="pager", only=["freshness_lost"])
        shop = Installation(tmp_path, *channels)
        shop.tick(lost(kind="freshness_warning", title="soon"))
        shop.tick(lost(hours=0.5))
        shop.tick(fresh())
    assert receiver.titles == ["soon", "demand_forecast is old", "Resolved: demand_forecast is fresh again"]
    assert only_lost.titles == receiver.titles[1:]


def test_the_end_of_what_was_never_told_is_not_told(tmp_path: Path) -> None:
    with WebReceiver() as receiver:
        shop = Installation(tmp_path, web(receiver, only=["rollback"]))
        shop.tick(fresh("never lost"))
        shop.tick(lost())
        shop.tick(fresh())
    assert not receiver.taken
    assert shop.rows() == [("raised", []), ("resolved", [])]


def test_a_dead_receiver_gets_it_when_it_is_back_and_others_do_not_wait(tmp_path: Path) -> None:
    with WebReceiver() as alive, WebReceiver() as dead:
        shop = Installation(tmp_path, web(dead, name="chat"), web(alive))
        dead.__exit__()
        first = shop.tick(lost(), lost("reorder_plan"))
        assert (first.sent, first.waiting) == (2, 2)
        shop.tick(lost(), lost("reorder_plan"))
        with WebReceiver(port=dead.server_address[1]) as back:
            last = shop.tick(lost())
    assert (len(alive.taken), len(back.taken), last.waiting) == (2, 2, 0)
    assert shop.rows().count(("raised", ["chat"])) == 2


def test_an_alert_that_a_receiver_refuses_does_not_hold_up_the_next(tmp_path: Path) -> None:
    with WebReceiver(status=400) as receiver:
        shop = Installation(tmp_path, web(receiver))
        shop.tick(lost(), lost("reorder_plan"))
        assert receiver.asked == 2
        receiver.status = 200
        assert shop.tick().sent == 2


def test_people_get_one_message_of_what_came_together_and_programs_one_each(tmp_path: Path) -> None:
    layer = ["raw_plan", "raw_products", "raw_stock"]
    with WebReceiver() as program, WebReceiver() as people:
        shop = Installation(tmp_path, web(program), web(people, kind="slack"))
        shop.tick(lost("clean_plan", kind="check_failed"), *map(lost, layer))
        assert shop.tick(*map(lost, layer)).sent == 0
        shop.tick(*map(fresh, layer))
    assert len(program.taken) == 7
    assert [payload["text"].split(": ", 1)[1] for payload in people.taken] == [
        "clean_plan is old",
        "3 × freshness_lost: raw_plan, raw_products, raw_stock",
        "Resolved: 3 × freshness_lost: raw_plan, raw_products, raw_stock",
    ]
    assert all(f"{asset} is old: text link" in str(people.taken[1]["blocks"]) for asset in layer)


def test_two_ticks_at_once_send_once(tmp_path: Path) -> None:
    with WebReceiver(delay=0.3) as receiver:
        shop = Installation(tmp_path, web(receiver))
        with ThreadPoolExecutor(4) as pool:
            sent = [one.result().sent for one in [pool.submit(shop.tick, lost()) for _ in range(4)]]
    assert (sorted(sent), len(receiver.taken)) == ([0, 0, 0, 1], 1)


def test_without_a_channel_the_table_has_it(tmp_path: Path) -> None:
    shop = Installation(tmp_path)
    shop.tick(lost(), lost("reorder_plan", hours=1))
    shop.tick(fresh(hours=2))
    assert [trouble.alert.subject for trouble in AlertLog(shop.lake).open()] == ["reorder_plan"]


def test_a_lake_that_cannot_be_written_does_not_make_a_flood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with WebReceiver() as receiver:
        shop = Installation(tmp_path, web(receiver))
        shop.tick(lost("reorder_plan"))
        with monkeypatch.context() as full_disk:
            full_disk.setattr(Lake, "append", refuse)
            for _ in range(3):
                with pytest.raises(LakeError, match="no space left"):
                    shop.tick(lost())
        shop.tick(fresh())
    assert receiver.titles[1:] == ["demand_forecast is old", "Resolved: demand_forecast is fresh again"]
    assert [state for state, _ in shop.rows()] == ["raised", "raised", "resolved"]


def refuse(*_: object) -> None:
    raise LakeError("table alerts: no space left on device")


def test_the_table_stays_few_files_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demand_forecast.lake.tables.MANY_FILES", 5)
    shop = Installation(tmp_path)
    for hour in range(12):
        shop.tick(lost(hours=hour), hours=hour)
    assert len(shop.lake._open("alerts").file_uris()) < 6
    assert shop.lake.read("alerts")["at"].n_unique() == 12


def test_no_secret_is_logged_raised_or_stored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    user = {"user": "ann", "password": "s3cret", "from": "a@b", "to": ["c@d"]}
    with WebReceiver(status=500) as failing, MailReceiver(user=("ann", "other")) as wrong_password:
        channels = [
            web(failing, name="failing"),
            {"kind": "slack", "name": "gone", "url": "http://127.0.0.1:9/services/s3cret"},
            {"kind": "webhook", "name": "no host", "url": "https://s3cret.invalid/hook"},
            {"kind": "webhook", "name": "no url", "url": "http://s3cret:s3cret@[bad"},
            {"kind": "email", "host": "127.0.0.1", "port": wrong_password.port, "tls": "none", **user},
        ]
        shop = Installation(tmp_path, *channels)
        with caplog.at_level(logging.DEBUG):
            told = shop.tick(lost())
    assert (told.sent, told.waiting) == (0, 5)
    warned = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.args[0] for record in warned] == ["failing", "gone", "no host", "no url", "email"]
    assert not any(record.exc_info for record in warned)
    everything = [caplog.text, repr(shop.settings), repr(told), str(shop.lake.read("alerts").to_dicts())]
    assert [text for text in everything if "s3cret" in text or "czNjcmV0" in text] == []
