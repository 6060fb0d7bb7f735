"""The promotion ledger: every decision about the champion, with its reasons, in one append-only table."""

from collections.abc import Mapping
from typing import Any, Protocol

import polars as pl

TABLE = "promotion_ledger"
PROVEN = ("promoted", "kept", "refused")  # by a backtest
ROLLED_BACK, ROLLBACK_FAILED = "rolled_back", "rollback_failed"
DECISIONS = (*PROVEN, ROLLED_BACK, ROLLBACK_FAILED)
LEDGER_SCHEMA: dict[str, pl.DataType] = {
    "decided_at": pl.Datetime("us", "UTC"),
    "decision": pl.String(),
    "from_version": pl.String(),
    "to_version": pl.String(),
    "by": pl.String(),
    "run_id": pl.String(),
    "metric": pl.String(),
    "champion_value": pl.Float64(),
    "challenger_value": pl.Float64(),
    "improvement": pl.Float64(),
    "bias": pl.Float64(),
    "bias_allowance": pl.Float64(),
    "calibration_error": pl.Float64(),
    "calibration_allowance": pl.Float64(),
    "loss_difference": pl.Float64(),
    "standard_error": pl.Float64(),
    "p_value": pl.Float64(),
    "verdict": pl.String(),
    "reasons": pl.String(),
    "reservations": pl.String(),
}
SAME_DECISION = ("run_id", "decision", "from_version", "to_version")
Row = Mapping[str, Any]


class LedgerError(ValueError):
    """A decision cannot be recorded; the message names the column and the repair."""


class Tables(Protocol):
    """What the ledger needs of the lake."""

    def exists(self, table: str) -> bool: ...

    def read(self, table: str) -> pl.DataFrame: ...

    def append(self, table: str, frames: pl.DataFrame) -> int: ...


class PromotionLedger:
    """The lake table `promotion_ledger`.

    `to_version` is the version that was considered: the champion from then on when `decision` is promoted or
    rolled_back. `from_version` is the champion at the time, null when there was none.
    """

    def __init__(self, lake: Tables) -> None:
        self.lake = lake

    def rows(self) -> list[dict[str, Any]]:
        """All decisions, the oldest first."""
        return self.table().to_dicts()

    def table(self) -> pl.DataFrame:
        """LEDGER_SCHEMA, a row a decision, the oldest first; columns that the table does not have yet are null."""
        if not self.lake.exists(TABLE):
            return pl.DataFrame(schema=LEDGER_SCHEMA)
        known = self.lake.read(TABLE).sort("decided_at", maintain_order=True)
        missing = {name: pl.lit(None, dtype) for name, dtype in LEDGER_SCHEMA.items() if name not in known.columns}
        return known.with_columns(**missing).select(*LEDGER_SCHEMA)

    def append(self, row: Row) -> bool:
        """Records a decision; False when the same run has recorded it already. Raises LedgerError for a bad row."""
        _check(row)
        if any(all(known[name] == row.get(name) for name in SAME_DECISION) for known in self.rows()):
            return False
        complete = {name: row.get(name) for name in LEDGER_SCHEMA}
        self.lake.append(TABLE, pl.DataFrame([complete], schema=LEDGER_SCHEMA))
        return True

    def last_promotion(self) -> dict[str, Any] | None:
        """The promotion or rollback that made today's champion; None before the first."""
        return self._last("promoted", ROLLED_BACK)

    def last_comparison(self) -> dict[str, Any] | None:
        """The last decision based on a backtest; None before the first."""
        return self._last(*PROVEN)

    def reservations(self) -> list[str]:
        """What is not sound, or not proven, of the version that serves, as the last comparison judged it."""
        live = self.last_promotion()
        for row in reversed(self.rows() if live else []):
            serves = row["to_version"] if row["decision"] == "promoted" else row["from_version"]
            if row["decision"] in PROVEN and serves == live["to_version"]:  # type: ignore[index]
                return (row["reservations"] or "").splitlines()
        return []

    def taken_back(self) -> set[str]:
        """The versions that were rolled back and not restored by a later rollback."""
        versions: set[str] = set()
        for row in self.rows():
            if row["decision"] == ROLLED_BACK:
                versions = versions - {row["to_version"]} | {row["from_version"]}
        return versions

    def _last(self, *decisions: str) -> dict[str, Any] | None:
        return next((row for row in reversed(self.rows()) if row["decision"] in decisions), None)


def _check(row: Row) -> None:
    if unknown := sorted(set(row) - set(LEDGER_SCHEMA)):
        raise LedgerError(f"{TABLE}: unknown column {unknown[0]}; known are {', '.join(LEDGER_SCHEMA)}")
    for name in ("decided_at", "to_version", "run_id", "reasons"):
        if not row.get(name):
            raise LedgerError(f"{TABLE}: a decision needs {name}; give it in the row")
    if row.get("decision") not in DECISIONS:
        raise LedgerError(f"{TABLE}: decision is {row.get('decision')!r}; it must be one of {', '.join(DECISIONS)}")
