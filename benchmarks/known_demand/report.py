"""The figures as markdown tables and CSV."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

FIGURES = {
    "out": "days out",
    "lost": "units lost",
    "seen": "seen",
    "bias": "bias",
    "bias_unaligned": "before alignment",
    "backtest_bias_true": "backtest",
    "backtest_bias": "backtest says",
}
FORECASTS = ["scenario", "seller", *FIGURES.values(), "calibration error"]
VERDICTS = ["scenario", "model", "alignment", "default gates", "why"]
SERVICE = ["scenario", "asked", "seller", "promised", "kept", "kept - promised"]
SIGNED = ("seen", "bias", "bias_unaligned", "backtest_bias_true", "backtest_bias")


def write_report(
    out: Path, name: str, what: str, forecasts: pl.DataFrame, service: pl.DataFrame, verdicts: pl.DataFrame
) -> str:
    """Writes `<name>.md`, `<name>.csv` (forecasts) and `<name>_service.csv` into `out`; the markdown is returned."""
    out.mkdir(parents=True, exist_ok=True)
    text = "\n\n".join(
        [
            f"# {name}",
            what,
            "## Forecasts against the true expected demand",
            _table(
                ["scenario", "seller", *FIGURES.values(), "calibration error"], map(_forecast_row, _rows(forecasts))
            ),
            "## What was promoted, and what the default gates say",
            _table(["scenario", "model", "alignment", "default gates", "why"], map(_verdict, _rows(verdicts))),
            "## Service promised and kept",
            _table(["scenario", "asked", "seller", "promised", "kept", "kept - promised"], map(_kept, _rows(service))),
        ]
    )
    (out / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    rounded = pl.col(pl.Float64).round(6)
    forecasts.join(verdicts, on="scenario", maintain_order="left").with_columns(rounded).write_csv(out / f"{name}.csv")
    service.with_columns(rounded).write_csv(out / f"{name}_service.csv")
    return text


def _rows(frame: pl.DataFrame) -> Iterable[dict[str, Any]]:
    return frame.iter_rows(named=True)


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _forecast_row(row: Mapping[str, Any]) -> list[str]:
    figures = [f"{row[name]:{'+' if name in SIGNED else ''}.1%}" for name in FIGURES]
    return [row["scenario"], row["seller"], *figures, f"{row['calibration']:.3f}"]


def _verdict(row: Mapping[str, Any]) -> list[str]:
    return [row["scenario"], row["model"], f"{row['alignment']:g}", row["gates"], row["why"]]


def _kept(row: Mapping[str, Any]) -> list[str]:
    apart = 100 * (row["kept"] - row["promised"])
    return [
        row["scenario"],
        f"{row['asked']:.0%}",
        row["seller"],
        f"{row['promised']:.1%}",
        f"{row['kept']:.1%}",
        f"{apart:+.1f}",
    ]
