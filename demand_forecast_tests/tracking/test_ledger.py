from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from demand_forecast.lake.tables import Lake
from demand_forecast.tracking.ledger import LEDGER_SCHEMA, LedgerError, PromotionLedger

MOMENT = datetime(2026, 10, 1, 3, tzinfo=UTC)


def decision(**given: Any) -> dict[str, Any]:
    row = {"decided_at": MOMENT, "decision": "kept", "from_version": "1", "to_version": "2", "run_id": "a"}
    return (
        row | {"by": "nightly", "metric": "wrmsse", "improvement": 0.004, "reasons": "better by less than 1%"} | given
    )


@pytest.fixture
def ledger(tmp_path: Path) -> PromotionLedger:
    return PromotionLedger(Lake(tmp_path / "lake"))


def test_decisions_are_read_back_oldest_first_with_every_column(ledger: PromotionLedger) -> None:
    assert ledger.rows() == []
    assert ledger.append(decision(run_id="b", decided_at=MOMENT + timedelta(days=1)))
    assert ledger.append(decision())
    assert [row["run_id"] for row in ledger.rows()] == ["a", "b"]
    assert ledger.rows()[0] == {name: decision().get(name) for name in LEDGER_SCHEMA}


def test_a_ledger_from_before_the_figures_of_chance_is_read_and_appended_to(ledger: PromotionLedger) -> None:
    new = ("loss_difference", "standard_error", "p_value", "verdict")
    new += ("bias_allowance", "calibration_allowance", "reservations")
    schema = {name: dtype for name, dtype in LEDGER_SCHEMA.items() if name not in new}
    old = {name: decision().get(name) for name in schema}
    ledger.lake.append("promotion_ledger", pl.DataFrame([old], schema=schema))
    assert ledger.rows() == [old | dict.fromkeys(new)]
    assert ledger.table().schema == LEDGER_SCHEMA
    figures = {"loss_difference": -0.01, "standard_error": 0.004, "p_value": 0.01, "verdict": "better"}
    figures |= {"bias_allowance": 0.12, "calibration_allowance": 0.1, "reservations": "bias is out of bounds"}
    assert ledger.append(decision(run_id="b", decided_at=MOMENT + timedelta(days=1), **figures))
    assert [{name: row[name] for name in new} for row in ledger.rows()] == [dict.fromkeys(new), figures]
    assert not ledger.append(decision())


def test_a_decision_that_a_run_repeats_is_one_line(ledger: PromotionLedger) -> None:
    assert ledger.append(decision())
    assert not ledger.append(decision(decided_at=MOMENT + timedelta(minutes=5)))
    assert ledger.append(decision(run_id="next"))
    assert len(ledger.rows()) == 2


def test_the_first_decision_has_no_champion_to_compare_with(ledger: PromotionLedger) -> None:
    first = decision(decision="promoted", from_version=None, improvement=None)
    assert ledger.last_promotion() is None
    assert ledger.append(first)
    assert not ledger.append(first)
    ledger.append(decision(run_id="later", decided_at=MOMENT + timedelta(days=1)))
    promotion = ledger.last_promotion()
    assert promotion is not None
    assert (promotion["from_version"], promotion["to_version"]) == (None, "2")


def test_a_rollback_makes_a_champion_and_bars_the_loser_until_it_is_brought_back(ledger: PromotionLedger) -> None:
    told = [("promoted", None, "1"), ("promoted", "1", "2"), ("kept", "2", "3"), ("rolled_back", "2", "1")]
    told += [("rollback_failed", "1", "2"), ("rolled_back", "1", "2")]
    barred, champions = [], []
    for day, (what, before, after) in enumerate(told):
        row = {"decision": what, "from_version": before, "to_version": after, "run_id": str(day)}
        ledger.append(decision(**row, decided_at=MOMENT + timedelta(days=day)))
        barred.append(ledger.taken_back())
        champions.append((ledger.last_promotion() or {})["to_version"])
    assert champions == ["1", "2", "2", "1", "1", "2"]
    assert barred == [set(), set(), set(), {"2"}, {"2"}, {"1"}]
    comparison = ledger.last_comparison()
    assert comparison is not None
    assert comparison["to_version"] == "3"


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"winner": "2"}, "winner"),
        ({"decision": "maybe"}, "'maybe'"),
        ({"decision": None}, "promoted, kept, refused, rolled_back, rollback_failed"),
        ({"reasons": ""}, "reasons"),
        ({"to_version": None}, "to_version"),
        ({"run_id": None}, "run_id"),
    ],
)
def test_a_wrong_row_is_refused_by_name_and_leaves_no_line(
    ledger: PromotionLedger, wrong: dict[str, Any], named: str
) -> None:
    with pytest.raises(LedgerError, match=named):
        ledger.append(decision(**wrong))
    assert ledger.rows() == []


def test_reservations_are_those_of_the_version_that_serves_as_last_compared(ledger: PromotionLedger) -> None:
    days = (MOMENT + timedelta(days=number) for number in range(9))

    def decide(made: str, before: str | None, considered: str, reservations: str | None = None) -> list[str]:
        at = next(days)
        line = {"from_version": before, "to_version": considered, "reservations": reservations, "run_id": str(at)}
        ledger.append(decision(decision=made, decided_at=at, **line))
        return ledger.reservations()

    assert ledger.reservations() == []
    assert decide("promoted", None, "1", "bias is out of bounds\nonly 14 of 28 days are proven") == [
        "bias is out of bounds",
        "only 14 of 28 days are proven",
    ]
    assert decide("refused", "1", "2", "bias is out of bounds") == ["bias is out of bounds"]
    assert decide("kept", "1", "3") == []
    assert decide("promoted", "1", "4", "it beats seasonal naive by less than the margin") != []
    assert decide("rolled_back", "4", "1") == [], "as version 1 was compared last"
    assert decide("rollback_failed", "1", "4") == []
