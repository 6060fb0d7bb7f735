"""Status: home, champion, forecast and its age, service, failed checks, open alerts."""

from datetime import datetime, timedelta
from typing import Any

from rich.console import Console

from demand_forecast.alerts.log import AlertLog, Trouble
from demand_forecast.cli.service_probe import ServiceState, ask_service
from demand_forecast.cli.summary import check_lines, decision_of, forecast_totals, reserved
from demand_forecast.domain.demand.calendar import Calendar
from demand_forecast.domain.tables import now
from demand_forecast.lake.tables import Lake
from demand_forecast.publishing.package import PackageError, current_name
from demand_forecast.reports.terminal import Line, print_lines
from demand_forecast.settings import Settings
from demand_forecast.sources.days import local_day
from demand_forecast.tracking.ledger import PromotionLedger
from demand_forecast.workspace.home import Home

INDENT = 10  # column at which values begin
LATE = 2  # periods without sales from which a forecast is called old; one is usual while a night runs
WARNING = "yellow"


def print_status(settings: Settings, out: Console) -> None:
    """Home and configuration; champion, forecast and service; checks that failed, alerts that are open.

    Raises LakeError where a table cannot be read.
    """
    from demand_forecast.defs.project import Project

    home = Home(settings.root)
    lake = Lake(home.lake)
    forecast, calendar = forecast_totals(lake), Project(config=str(settings.path)).calendar
    for label, lines in (
        ("Home", [Line(str(home.root))]),
        ("Config", [Line(str(settings.path))]),
        ("Live", _live(lake, settings, forecast)),
        ("Forecast", _forecast(lake, settings, calendar, forecast)),
        ("Service", _service(ask_service(settings.serving), home)),
        ("Checks", _checks()),
        ("Alerts", _alerts(AlertLog(lake).open())),
    ):
        print_lines(out, lines, label, INDENT)


def _live(lake: Lake, settings: Settings, forecast: dict[str, Any]) -> list[Line]:
    """Who is champion and since when, its reservations; the last decision and its reasons."""
    ledger = PromotionLedger(lake)
    promotion, decisions = ledger.last_promotion(), ledger.rows()
    if not decisions:
        return [Line(f"Nothing is live in {settings.root}: run `demand-forecast run` first.", WARNING)]
    live = Line("no champion yet", WARNING)
    if promotion is not None:
        version = promotion["to_version"]
        model = f"{forecast['model']} " if forecast.get("version") == version else ""
        since = f"champion since {_moment(promotion['decided_at'])}"
        live = Line(f"{model}version {version}, {since}{', with reservations' if ledger.reservations() else ''}")
    last = decisions[-1]
    decided = Line(f"{_moment(last['decided_at'])}: {decision_of(last)}")
    reasons = [Line(reason, "dim", "-") for reason in last["reasons"].splitlines()]
    return [live, *reserved(ledger.reservations()), *([] if last == promotion else [decided]), *reasons]


def _forecast(lake: Lake, settings: Settings, calendar: Calendar, row: dict[str, Any]) -> list[Line]:
    """What was forecast, from which day on, by whom and when it was made."""
    if not row:
        return [Line("none yet", WARNING)]
    known = calendar.span(row["origin"])[1]
    old = (local_day(settings, now()) - known).days
    made = _moment(lake.written_at("demand_forecast"))
    lines = [
        Line(f"by {row['model']} version {row['version']}, made {made}"),
        Line(f"{row['rows']:,} rows, {row['first']} to {row['last']}, {row['units']:,.0f} units expected"),
        Line(f"knows the sales to {known}, {_days(old)}"),
    ]
    late = (old - 1) // calendar.step
    if late >= LATE:
        lines[-1] = Line(f"{lines[-1].text}: bring newer ones and run `demand-forecast night`", WARNING, "!")
    return lines


def _service(found: ServiceState, home: Home) -> list[Line]:
    """Whether the service answers, what it serves, and whether that is what was published last."""
    if found.trouble:
        return [Line(f"{found.url}: {found.trouble}; `make serve` starts it", WARNING)]
    if not found.model:
        return [Line(f"{found.url} serves; which package, /v1/model says to who sends a key")]
    served = found.model["package"]
    what = f"{found.model['model']} version {found.model['model_version']}, from {found.model['forecast_origin']}"
    lines = [Line(f"{found.url} serves package {served}: {what}")]
    try:
        published = current_name(home.serving)
    except PackageError as error:
        return [*lines, Line(str(error), WARNING, "!")]
    if published != served:
        refused = found.model.get("refused") or {}
        why = refused.get("reason", "a running service takes it over within seconds")
        lines.append(Line(f"package {published} is published: {why}", WARNING, "!"))
    return lines


def _checks() -> list[Line]:
    import dagster as dg

    from demand_forecast.definitions import defs
    from demand_forecast.defs.check_results import last_results

    try:
        keys = defs().resolve_asset_graph().asset_check_keys
        with dg.DagsterInstance.get() as instance:
            return check_lines([found for _, found in last_results(instance, keys)])
    except Exception as error:  # whatever keeps Dagster from reading its records: the rest is known all the same
        return [Line(f"not known: {type(error).__name__}: {error}", WARNING)]


def _alerts(troubles: list[Trouble]) -> list[Line]:
    if not troubles:
        return [Line("none open")]
    lines = [Line(f"{len(troubles)} open", WARNING)]
    for trouble in troubles:
        alert = trouble.alert
        lines.append(Line(f"{alert.title} ({alert.kind}, since {_moment(trouble.since)})", WARNING, "!"))
        lines += [Line(line, sign=" ") for line in (*alert.text.splitlines(), alert.link)]
    return lines


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC ({_ago(now() - at)})"


def _days(days: int) -> str:
    return "today" if days == 0 else "yesterday" if days == 1 else f"{days} days ago"


def _ago(past: timedelta) -> str:
    minutes = round(past.total_seconds() / 60)
    for unit, length in (("day", 24 * 60), ("hour", 60), ("minute", 1)):
        if (count := minutes // length) > 0:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"
