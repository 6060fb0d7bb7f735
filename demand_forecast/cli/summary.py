"""What came out of a run, for a terminal."""

from datetime import date
from typing import Any

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from demand_forecast.alerts.log import AlertLog
from demand_forecast.cli.run_profile import Profile, Stage
from demand_forecast.lake.tables import Lake
from demand_forecast.settings import Settings
from demand_forecast.workspace.home import Home

GIGABYTE = 1e9
DECISIONS = {
    "promoted": "version {to_version} promoted to champion",
    "kept": "champion version {from_version} kept, version {to_version} considered",
    "refused": "version {to_version} refused",
    "rolled_back": "version {from_version} taken back, version {to_version} is champion again",
    "rollback_failed": "version {from_version} not taken back: version {to_version} does not serve",
}
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


def print_summary(settings: Settings, out: Console) -> None:
    """Rows in, clean and rejected; each candidate's metrics; the promotion decision; where to go next."""
    lake = Lake(Home(settings.root).lake)
    for table in (_rows_table(lake), _metrics_table(lake)):
        out.print()
        out.print(table)
    out.print("added: value added over seasonal naive, the share of its error that is gone", style="dim")
    _print_decision(lake, out)
    _print_forecast(lake, out)
    _print_next(settings, out)


def print_status(settings: Settings, out: Console) -> None:
    """Which model is live and why, what it forecasts, how many rows stand behind it, and which alerts are open."""
    lake = Lake(Home(settings.root).lake)
    _print_alerts(lake, out)
    if not lake.exists("promotion_ledger"):
        out.print(
            f"Nothing is live in {settings.root}: run `demand-forecast run` first.", highlight=False, soft_wrap=True
        )
        return
    _print_decision(lake, out)
    _print_forecast(lake, out)


def _print_alerts(lake: Lake, out: Console) -> None:
    troubles = AlertLog(lake).open()
    if not troubles:
        return
    table = _table(f"Open alerts: {len(troubles)}")
    for label in ("since (UTC)", "kind", "alert"):
        table.add_column(label, no_wrap=label != "alert", overflow="fold")  # a link cut short leads nowhere
    for trouble in troubles:
        what = "\n".join([trouble.alert.title, *trouble.alert.text.splitlines(), trouble.alert.link])
        table.add_row(f"{trouble.since:%Y-%m-%d %H:%M}", trouble.alert.kind, Text(what))
    out.print(table)


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
    table = _table(f"Candidates on {len(origins)} rolling origins, {_dates(origins)}")
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


def _print_decision(lake: Lake, out: Console) -> None:
    last: dict[str, Any] = lake.read("promotion_ledger").sort("decided_at").row(-1, named=True)
    out.print(f"\n[bold]Promotion[/]: {DECISIONS[last['decision']].format(**last)}", highlight=False)
    for reason in last["reasons"].splitlines():
        out.print(f"  - {reason}", highlight=False, markup=False, soft_wrap=True)


def _print_forecast(lake: Lake, out: Console) -> None:
    if not lake.exists("demand_forecast"):
        return
    forecast = lake.scan("demand_forecast").select(
        rows=pl.len(),
        first=pl.col("date").min(),
        last=pl.col("date").max(),
        model=pl.col("model").first(),
        version=pl.col("model_version").first(),
        units=pl.col("mean").sum(),
    )
    row = forecast.collect().row(0, named=True)
    days: tuple[date, date] = (row["first"], row["last"])
    out.print(
        f"\n[bold]Forecast[/]: {row['rows']:,} rows, {days[0]} to {days[1]}, {row['units']:,.0f} units expected, "
        f"by {row['model']} version {row['version']}",
        highlight=False,
        soft_wrap=True,
    )


def _print_next(settings: Settings, out: Console) -> None:
    home = Home(settings.root)
    out.print("\n[bold]Next[/]", highlight=False)
    for command, what in (
        ("make ui", "the same run, tables and pictures in the Dagster UI"),
        ("make serve", "the champion as a web service"),
        (str(home.reports), "the evaluation report and the drift report"),
    ):
        out.print(f"  {command:<12} {what}", highlight=False, markup=False, soft_wrap=True)


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
    out.print(
        f"\n[bold]Time[/]: {_clock(whole)}, of which {_clock(fit)} ({fit / whole:.0%}) inside the models' fit and "
        f"{_clock(whole - fit)} ({1 - fit / whole:.0%}) outside{memory}",
        highlight=False,
        soft_wrap=True,
    )


def _clock(seconds: float) -> str:
    return f"{round(seconds) // 60}:{round(seconds) % 60:02d}"
