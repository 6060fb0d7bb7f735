"""Alert channels: webhook, Slack-compatible webhook, e-mail. Errors contain neither addresses nor passwords."""

import json
import smtplib
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from email.message import EmailMessage
from typing import Any
from urllib import request
from urllib.error import HTTPError, URLError

from demand_forecast.alerts.alert import Alert
from demand_forecast.settings import Channel

TIMEOUT = 5.0  # seconds to connect, and between two answers
PAUSE = 0.5  # seconds before the second try
TOO_MANY = 429
SLACK_LONGEST = 3000  # characters of a section's text


class UndeliveredError(RuntimeError):
    """A channel did not accept an alert. `refused`: it rejected this one; it may accept others."""

    def __init__(self, what: str, refused: bool = False) -> None:
        super().__init__(what)
        self.refused = refused


def send(channel: Channel, alert: Alert) -> None:
    """Sends the alert to the channel, trying twice. Raises UndeliveredError."""
    try:
        _try(channel, alert)
    except UndeliveredError as error:
        if error.refused:
            raise
        time.sleep(PAUSE)
        _try(channel, alert)


def _try(channel: Channel, alert: Alert) -> None:
    try:
        SEND[channel.kind](channel, alert)
    except HTTPError as error:
        refused = 400 <= error.code < 500 and error.code != TOO_MANY
        raise UndeliveredError(f"HTTP status {error.code}", refused) from None
    except smtplib.SMTPResponseException as error:
        raise UndeliveredError(f"{type(error).__name__}, SMTP status {error.smtp_code}") from None
    except Exception as error:  # from None, and by its type alone: the message may hold the address
        reason = error.reason if isinstance(error, URLError) else error
        raise UndeliveredError(type(reason).__name__) from None


def webhook_payload(alert: Alert) -> dict[str, str]:
    """The fields of the alert; `at` in ISO 8601."""
    return {
        "kind": alert.kind,
        "subject": alert.subject,
        "state": alert.state,
        "title": alert.headline,
        "text": alert.text,
        "link": alert.link,
        "at": alert.at.isoformat(),
        "key": alert.key,
    }


def slack_payload(alert: Alert) -> dict[str, Any]:
    """`text` for notifications, and the message as blocks of Slack's Block Kit."""
    sign = ":white_check_mark:" if alert.state == "resolved" else ":rotating_light:"
    title, text = _mrkdwn(alert.headline), _mrkdwn(alert.text)
    where = f"{alert.kind} · {_mrkdwn(alert.subject)} · {alert.at:%Y-%m-%d %H:%M} UTC · <{alert.link}|open>"
    return {
        "text": f"{sign} {title}",
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": f"{sign} *{title}*\n{text}"[:SLACK_LONGEST]}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": where}]},
        ],
    }


def _mrkdwn(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def email_message(channel: Channel, alert: Alert) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = channel.sender, ", ".join(channel.to)
    message["Subject"] = f"[demand-forecast] {alert.headline}"
    message.set_content(
        f"{alert.text}\n\n{alert.kind} of {alert.subject}, {alert.at:%Y-%m-%d %H:%M} UTC\n{alert.link}\n"
    )
    return message


class _NoRedirect(request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without the alert, and count as taken."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _post(channel: Channel, payload: Mapping[str, Any]) -> None:
    body, headers = json.dumps(payload).encode(), {"Content-Type": "application/json"}
    posted = request.Request(str(channel.url), body, headers)  # noqa: S310 - the settings take http and https alone
    with request.build_opener(_NoRedirect).open(posted, timeout=TIMEOUT):
        pass


def _mail(channel: Channel, alert: Alert) -> None:
    with _connected(channel) as server:
        if channel.tls == "starttls":
            server.starttls(context=ssl.create_default_context())
        if channel.user:
            server.login(channel.user, channel.password or "")
        server.send_message(email_message(channel, alert))


def _connected(channel: Channel) -> AbstractContextManager[smtplib.SMTP]:
    host = str(channel.host)
    if channel.tls == "ssl":
        return smtplib.SMTP_SSL(host, channel.port, timeout=TIMEOUT, context=ssl.create_default_context())
    return smtplib.SMTP(host, channel.port, timeout=TIMEOUT)


SEND: dict[str, Callable[[Channel, Alert], None]] = {
    "webhook": lambda channel, alert: _post(channel, webhook_payload(alert)),
    "slack": lambda channel, alert: _post(channel, slack_payload(alert)),
    "email": _mail,
}
