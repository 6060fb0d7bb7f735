"""The result of a run, printed on a terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from demand_forecast.cli.run_profile import Profile, Stage
from demand_forecast.lake.tables import Lake
from demand_forecast.reports.terminal import Line, print_hanging, print_lines
from demand_forecast.settings import Settings
from demand_forecast.tracking.ledger import PromotionLedger
from demand_forecast.workspace.home import Home

if TYPE_CHECKING:
    from demand_forecast.defs.check_results import CheckResult

GIGABYTE = 1e9
DECISIONS = {
    "promoted": "version {to_version} promoted to champion",
    "kept": "champion version {from_version} kept, version {to_version} considered",
    "refused": "version {to_version} refused",
    "rolled_back": "version {from_version} taken back, version {to_version} is champion again",
    "rollback_failed": "version {from_version} not taken back: version {to_version} does not serve",
}
SIGNS = {"ERROR": ("✗", "red"), "WARN": ("!", "yellow")}  # of a check that did not pass, by its severity
PERCENT = "+.1%"
MEASURES = {
    "wape": ("WAPE", ".3f"),
    "bias": ("bias", PERCENT),
    "rmsse": ("RMSSE", ".3f"),
    "wrmsse": ("WRMSSE", ".3f"),
    "wql": ("WQL", ".3f"),
    "fva_wape": ("added WAPE", PERCENT),
    "fva_wrmsse": ("added WRMSSE", PERCENT),
    "fva_wql": ("added WQL", PERCENT),
}


def print_summary(settings: Settings, checks: Sequence["CheckResult"], out: Console) -> None:
    """Rows in, clean and rejected; each candidate's metrics; the promotion decision; checks; where to go next.

    Raises LakeError where a table cannot be read.
    """
    lake = Lake(Home(settings.root).lake)
    for table in (_rows_table(lake), _metrics_table(lake)):
        out.print()
        out.print(table)
    out.print("added: value added over seasonal naive, the share of its error that is gone", style="dim")
    _print_decision(lake, out)
    _print_forecast(lake, out)
    print_checks(checks, out)
    _print_next(settings, out)


def _rows_table(lake: Lake) -> Table:
    kept = lake.scan("clean_sales").select(pl.len()).collect().item()
    reasons = lake.scan("rejected_sales").group_by("reason").len("rows").sort("rows", descending=True).collect()
    table = _table("What arrived")
    table.add_column("sales rows")
    table.add_column(justify="right")
    table.add_row("in", f"{kept + reasons['rows'].sum():,}")
    table.add_row("clean", f"{kept:,}")
    table.add_row("rejected", f"{reasons['rows'].sum():,}")
    for reason, rows in reasons.iter_rows():
        table.add_row(f"  {reason}", f"{rows:,}")
    return table


def _metrics_table(lake: Lake) -> Table:
    from demand_forecast.domain.evaluation.scoring import summary_table

    metrics = lake.read("backtest_metrics")
    origins = metrics["forecast_origin"].drop_nulls().unique().sort()
    compared = f"on {len(origins)} rolling origins, {_dates(origins)}" if len(origins) else "could not be compared"
    table = _table(f"Candidates {compared}")
    table.add_column("model", no_wrap=True)
    for label, _ in MEASURES.values():
        table.add_column(label, justify="right")
    for row in summary_table(metrics).iter_rows(named=True):
        table.add_row(row["model"], *(_shown(row[name], form) for name, (_, form) in MEASURES.items()))
    return table


def _table(title: str) -> Table:
    look = {"title_justify": "left", "title_style": "bold", "collapse_padding": True}
    return Table(title=title, box=SIMPLE_HEAD, show_edge=False, **look)  # type: ignore[arg-type]


def _dates(days: pl.Series) -> str:
    return f"{days[0]} to {days[-1]}" if len(days) > 1 else str(days[0])


def _shown(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def decision_of(line: Mapping[str, Any]) -> str:
    """A line of the promotion ledger in words."""
    reserved = " with reservations" if line["decision"] == "promoted" and line.get("reservations") else ""
    return DECISIONS[line["decision"]].format(**line) + reserved


def _print_decision(lake: Lake, out: Console) -> None:
    ledger = PromotionLedger(lake)
    last = ledger.rows()[-1]
    out.print()
    print_hanging(out, "[bold]Promotion[/]: ", decision_of(last))
    for reason in last["reasons"].splitlines():
        print_hanging(out, "  - ", reason)
    if reservations := ledger.reservations():
        out.print("[bold yellow]With reservations[/]:")
        print_lines(out, reserved(reservations), "", 2)


def reserved(reservations: Sequence[str]) -> list[Line]:
    return [Line(reservation, "yellow", "!") for reservation in reservations]


def forecast_totals(lake: Lake) -> dict[str, Any]:
    """`model, version, origin, first, last, rows, units` of the forecast (first and last day); empty without one."""
    if not lake.exists("demand_forecast"):
        return {}
    columns = {"model": pl.col("model").first(), "version": pl.col("model_version").first()}
    days = {"origin": pl.col("forecast_origin").max(), "first": pl.col("date").min(), "last": pl.col("date").max()}
    totals = {"rows": pl.len(), "units": pl.col("mean").sum()}
    return lake.scan("demand_forecast").select(**columns, **days, **totals).collect().row(0, named=True)


def _print_forecast(lake: Lake, out: Console) -> None:
    if row := forecast_totals(lake):
        what = "{rows:,} rows, {first} to {last}, {units:,.0f} units expected, by {model} version {version}"
        out.print()
        print_hanging(out, "[bold]Forecast[/]: ", what.format(**row))


def print_checks(checks: Sequence["CheckResult"], out: Console) -> None:
    """Prints how many checks passed, and what the others found."""
    counts, *found = check_lines(checks)
    out.print()
    print_hanging(out, "[bold]Checks[/]: ", counts.text)
    print_lines(out, found, "", 2)


def check_lines(checks: Sequence["CheckResult"]) -> list[Line]:
    """The counts, then a line for each check that failed, then for each that warned."""
    bad = sorted((found for found in checks if not found.passed), key=lambda found: (found.severity, found.asset))
    failed = sum(found.severity == "ERROR" for found in bad)
    counts = {"passed": len(checks) - len(bad), "failed": failed, "warned": len(bad) - failed}
    summary = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return [Line(summary or "none evaluated"), *map(_check_line, bad)]


def _check_line(found: "CheckResult") -> Line:
    sign, style = SIGNS[found.severity]
    return Line(f"{found.asset}: {found.check}: {found.text or 'it says no more'}", style, sign)


def _print_next(settings: Settings, out: Console) -> None:
    home = Home(settings.root)
    out.print("\n[bold]Next[/]", highlight=False)
    for command, what in (
        ("make ui", "the same run, tables and pictures in the Dagster UI"),
        ("make serve", "the champion as a web service"),
        ("reports", f"the evaluation report and the drift report: {home.reports}"),
    ):
        print_hanging(out, f"  {command:<12} ", what)


def print_profile(profile: Profile, out: Console) -> None:
    """The stages of a run: seconds, share of the whole, seconds inside the models' own fit, rows."""
    failed = "" if profile.success else ", failed"
    table = _table(f"Run {profile.run_id[:8]} of {profile.job}, {profile.started:%Y-%m-%d %H:%M}{failed}")
    table.add_column("stage", no_wrap=True)
    for label in ("seconds", "share", "in fit", "rows"):
        table.add_column(label, justify="right")
    for stage in profile.stages:
        table.add_row(*_stage_row(stage, profile.seconds))
    table.add_section()
    table.add_row(*_stage_row(Stage("total", profile.seconds, profile.fit_seconds), profile.seconds))
    out.print(table)
    print_duration(profile, out)


def _stage_row(stage: Stage, total: float) -> list[str]:
    fit = f"{stage.fit_seconds:.1f}" if stage.fit_seconds else ""
    rows = "" if stage.rows is None else f"{stage.rows:,}"
    return [stage.name, f"{stage.seconds:.1f}", f"{stage.seconds / total:.1%}" if total else "", fit, rows]


def print_duration(profile: Profile, out: Console) -> None:
    """One line: how long, how much of it inside and outside the models' own fit, peak memory."""
    fit, whole = profile.fit_seconds, profile.seconds
    memory = f", {profile.peak_bytes / GIGABYTE:.1f} GB peak memory" if profile.peak_bytes else ""
    inside = f"{_clock(fit)} ({fit / whole:.0%}) inside the models' fit"
    outside = f"{_clock(whole - fit)} ({1 - fit / whole:.0%}) outside"
    out.print()
    print_hanging(out, "[bold]Time[/]: ", f"{_clock(whole)}, of which {inside} and {outside}{memory}")


def _clock(seconds: float) -> str:
    return f"{round(seconds) // 60}:{round(seconds) % 60:02d}"
