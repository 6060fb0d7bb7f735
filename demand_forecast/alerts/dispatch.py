"""Records a tick's alerts and sends each channel what it has not had yet."""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from demand_forecast.alerts.alert import Alert, bundle
from demand_forecast.alerts.channels import UndeliveredError, send
from demand_forecast.alerts.log import AlertLog, Line, Trouble
from demand_forecast.domain.tables import now
from demand_forecast.lake.tables import Lake
from demand_forecast.settings import Alerts, Channel
from demand_forecast.workspace.file_lock import file_lock

BUDGET = 20.0  # seconds of sending in one tick, shared by the channels; what is left is due at the next
LARGEST = 20  # alerts in one message
NOT_TAKEN = (
    "alert channel %s did not take %s: %s. It is tried again at the next tick; if this stays, correct alerts.channels"
)


@dataclass(frozen=True)
class Dispatched:
    """Result of a tick: the alerts that were new, how many deliveries succeeded and how many are still due."""

    news: list[Alert]
    sent: int
    waiting: int


def dispatch(
    alerts: Iterable[Alert],
    settings: Alerts,
    lake: Lake,
    lock: Path,
    logger: logging.Logger,
    clock: Callable[[], datetime] = now,
) -> Dispatched:
    """Records the alerts in the table `alerts` and sends what is due; one caller at a time.

    A channel gets an alert once; again when its kind changes or when it is still raised after `repeat_hours`; and its
    end once, if it had the alert. Delivery is at least once: a process killed between sending and recording sends
    again. A failing channel is logged and does not raise. Raises LakeError where the table cannot be read or written.
    """
    seen = list(alerts)
    with file_lock(lock):
        log, at = AlertLog(lake), clock()
        news = log.news(seen)
        due = _due(log, settings, {alert.key for alert in seen if alert.state == "raised"}, at)
        taken = _deliver(settings.channels, due, logger)
        log.write(_lines(news, log, taken, at))
    sent = sum(map(len, taken.values()))
    return Dispatched(news, sent, sum(map(len, due.values())) - sent)


def _due(log: AlertLog, settings: Alerts, seen: set[str], at: datetime) -> dict[str, list[Trouble]]:
    """By channel, the troubles to send, the oldest first."""
    repeat = timedelta(hours=settings.repeat_hours)
    troubles = sorted(log.troubles.values(), key=lambda trouble: trouble.alert.at)
    return {
        channel.label: [
            trouble for trouble in troubles if trouble.is_due(channel, at, repeat, trouble.alert.key in seen)
        ]
        for channel in settings.channels
    }


def _deliver(channels: list[Channel], due: dict[str, list[Trouble]], logger: logging.Logger) -> dict[str, list[str]]:
    """Sends what is due; gives, by key, the channels that accepted it. One that fails waits for the next tick."""
    taken: dict[str, list[str]] = defaultdict(list)
    for channel in channels:
        end = time.monotonic() + BUDGET / len(channels)
        for batch in _batches(channel, [trouble.alert for trouble in due[channel.label]]):
            if time.monotonic() > end:
                break
            try:
                send(channel, bundle(batch))
            except UndeliveredError as error:
                logger.warning(NOT_TAKEN, channel.label, batch[0].key, error)
                if not error.refused:
                    break
            else:
                for alert in batch:
                    taken[alert.key].append(channel.label)
    return taken


def _batches(channel: Channel, due: list[Alert]) -> Iterator[list[Alert]]:
    """One message per alert for programs, which pair raised and resolved by key; one per kind and state for people."""
    if channel.kind == "webhook":
        yield from ([alert] for alert in due)
        return
    alike: dict[tuple[str, str], list[Alert]] = defaultdict(list)
    for alert in due:
        alike[alert.kind, alert.state].append(alert)
    for alerts in alike.values():
        yield from (alerts[start : start + LARGEST] for start in range(0, len(alerts), LARGEST))


def _lines(news: list[Alert], log: AlertLog, taken: dict[str, list[str]], at: datetime) -> list[Line]:
    """A line per new alert, and one per delivery of an older alert."""
    last = {key: log.troubles[key].alert for key in taken}
    delivered = [Line(alert, tuple(taken[key]), at) for key, alert in last.items()]
    return [Line(alert, (), at) for alert in news if last.get(alert.key) is not alert] + delivered
