"""What each channel sends to a real receiver, and what it says when that does not take it."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from demand_forecast.alerts.alert import Alert, quoted
from demand_forecast.alerts.channels import UndeliveredError, send
from demand_forecast.settings import Channel
from demand_forecast_tests.alerts.receivers import MailReceiver, WebReceiver

ALERT = Alert(
    kind="run_failed",
    subject="nightly",
    state="raised",
    title="Run of nightly failed at raw_sales",
    text="raw_sales: landing/*.csv: no such <file> & folder",
    link="http://ui:3000/runs/4f1c",
    at=datetime(2026, 5, 4, 3, 10, tzinfo=UTC),
    key="run:raw_sales",
)
MAIL = {"kind": "email", "host": "127.0.0.1", "from": "forecast@shop.test", "to": ["ann@shop.test", "bob@shop.test"]}


def channel(**given: Any) -> Channel:
    return Channel.model_validate(given)


def test_a_webhook_gets_every_field() -> None:
    with WebReceiver() as receiver:
        send(channel(kind="webhook", url=receiver.url), ALERT)
    assert receiver.taken == [
        {
            "kind": "run_failed",
            "subject": "nightly",
            "state": "raised",
            "title": "Run of nightly failed at raw_sales",
            "text": "raw_sales: landing/*.csv: no such <file> & folder",
            "link": "http://ui:3000/runs/4f1c",
            "at": "2026-05-04T03:10:00+00:00",
            "key": "run:raw_sales",
        }
    ]


def test_slack_gets_a_text_and_blocks_with_its_own_escapes() -> None:
    with WebReceiver() as receiver:
        send(channel(kind="slack", url=receiver.url), ALERT)
    (payload,) = receiver.taken
    section, context = payload["blocks"]
    assert payload["text"] == ":rotating_light: Run of nightly failed at raw_sales"
    assert section["type"] == "section"
    assert section["text"]["type"] == "mrkdwn"
    assert "*Run of nightly failed at raw_sales*\nraw_sales: landing/*.csv: no such &lt;file&gt; &amp;" in str(
        section["text"]["text"]
    )
    assert context["elements"][0]["text"].endswith("<http://ui:3000/runs/4f1c|open>")


def test_a_mail_has_a_subject_and_a_link() -> None:
    with MailReceiver() as receiver:
        send(channel(**MAIL, port=receiver.port, tls="none"), ALERT)
    (mail,) = receiver.taken
    assert (mail["From"], mail["To"]) == ("forecast@shop.test", "ann@shop.test, bob@shop.test")
    assert mail["Subject"] == "[demand-forecast] Run of nightly failed at raw_sales"
    assert ALERT.text in mail.get_content()
    assert ALERT.link in mail.get_content()


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of 127.0.0.1, trusted by this process."""
    file = tmp_path / "loopback.pem"
    asked = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=loopback -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*asked.split(), "-keyout", file, "-out", tmp_path / "only.pem"], check=True, capture_output=True)
    file.write_text(file.read_text() + (tmp_path / "only.pem").read_text())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "only.pem"))
    return file


def test_a_mail_goes_encrypted_and_with_the_password(certificate: Path) -> None:
    with MailReceiver(certificate, user=("ann", "s3cret")) as receiver:
        given = MAIL | {"port": receiver.port, "user": "ann", "password": "s3cret"}
        send(channel(**given), ALERT)
        assert len(receiver.taken) == 1
        with pytest.raises(UndeliveredError, match="SMTP status 530"):
            send(channel(**given | {"tls": "none", "user": None}), ALERT)
    assert len(receiver.taken) == 1


def test_a_server_that_cannot_be_trusted_gets_no_password(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    untrusted = pytest.raises(UndeliveredError, match="SSLCertVerificationError")
    with MailReceiver(certificate, user=("ann", "s3cret")) as receiver, untrusted:
        send(channel(**MAIL, port=receiver.port, user="ann", password="s3cret"), ALERT)
    assert not receiver.taken


@pytest.mark.parametrize(("status", "asked", "refused"), [(500, 2, False), (429, 2, False), (404, 1, True)])
def test_a_failing_receiver_is_asked_twice_and_one_that_refuses_once(status: int, asked: int, refused: bool) -> None:
    failing = pytest.raises(UndeliveredError, match=f"^HTTP status {status}$")
    with WebReceiver(status=status) as receiver, failing as caught:
        send(channel(kind="webhook", url=receiver.url), ALERT)
    assert (receiver.asked, caught.value.refused) == (asked, refused)


def test_a_redirect_is_no_delivery() -> None:
    with WebReceiver(status=302) as receiver, pytest.raises(UndeliveredError, match="HTTP status 302"):
        send(channel(kind="webhook", url=receiver.url), ALERT)


def test_a_receiver_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demand_forecast.alerts.channels.TIMEOUT", 0.1)
    with WebReceiver(delay=1) as receiver, pytest.raises(UndeliveredError, match=r"^TimeoutError$"):
        send(channel(kind="webhook", url=receiver.url), ALERT)


def test_what_others_wrote_is_quoted_short_and_without_credentials() -> None:
    text = "\n  postgresql://me:p/w@d@db:5432/shop is down (user=me Password=pw) \nsecond line"
    assert quoted(text) == "postgresql://***@db:5432/shop is down (user=me Password=***"
    assert len(quoted("x" * 10_000)) == 500
