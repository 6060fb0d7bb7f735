"""When models are trained again: each reason, the bounds, and what is no reason."""

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from demand_forecast.domain.watching.live_accuracy import SCORES
from demand_forecast.domain.watching.retraining import (
    DRIFT_HISTORY,
    RetrainDecision,
    decide_retraining,
    windows_table,
)
from demand_forecast.settings import Monitoring

NEWEST = date(2026, 5, 31)
PROMISED = 0.4
GOOD, BAD = 0.4, 0.6  # WQL


def scores(weeks: list[float | None], naive: float = 0.9, version: str = "2", step: int = 1) -> pl.DataFrame:
    """A champion whose WQL was `weeks`, the newest last; None: nothing was scored in the week."""
    rows: list[dict[str, Any]] = []
    for back, wql in enumerate(reversed(weeks)):
        for day in range(0, 7, step):
            for role, loss, name in (("champion", wql, version), ("baseline", naive, "")):
                if wql is None or loss is None:
                    continue
                moment = NEWEST - timedelta(days=7 * back + day)
                rows.append(
                    dict.fromkeys(SCORES, 1.0)
                    | {"date": moment, "forecast_origin": moment - timedelta(days=step), "horizon": 1, "role": role}
                    | {"model": role, "model_version": name, "level": "series", "demand_class": "all", "pairs": 10}
                    | {"units": 100.0, "quantile_loss": 100.0 * loss}
                )
    return pl.DataFrame(rows, schema=SCORES)


def drift(weeks: list[float]) -> pl.DataFrame:
    rows = [(NEWEST - timedelta(days=7 * back + 1), share, share >= 0.5) for back, share in enumerate(reversed(weeks))]
    return pl.DataFrame(rows, schema=DRIFT_HISTORY, orient="row")


def decided(weeks: list[float | None], drifted: list[float] | None = None, **given: Any) -> RetrainDecision:
    naive, step = given.pop("naive", 0.9), given.pop("step", 1)
    known: dict[str, Any] = {"day": NEWEST, "champion": "2", "promised": PROMISED, "rules": Monitoring()}
    known["trained"] = NEWEST - timedelta(days=28)
    found = scores(weeks, naive, step=step) if weeks else pl.DataFrame(schema=SCORES)
    return decide_retraining(found, drift(drifted or []), **known | given)


@pytest.mark.parametrize(
    ("weeks", "drifted", "given", "decision"),
    [
        ([GOOD] * 4, [0.1] * 4, {}, "keep"),
        ([GOOD, GOOD, BAD, BAD], [], {}, "retrain"),
        ([BAD, GOOD, GOOD, BAD], [], {}, "retrain"),
        ([BAD, BAD, BAD, GOOD], [], {}, "keep"),  # the newest is not out
        ([GOOD, GOOD, GOOD, BAD], [], {}, "keep"),  # one is not enough
        ([0.5] * 4, [], {}, "keep"),  # 1.25 times the promise is not above it
        ([0.51] * 4, [], {}, "retrain"),
        ([0.51] * 4, [], {"promised": None}, "keep"),  # nothing was promised
        ([GOOD] * 4, [], {"naive": 0.39}, "retrain"),  # worse than seasonal naive
        ([GOOD] * 4, [], {"naive": GOOD}, "keep"),
        ([GOOD] * 4, [0.1, 0.1, 0.5, 0.5], {}, "retrain"),  # errors need not be bad
        ([GOOD] * 4, [0.5, 0.5, 0.5, 0.49], {}, "keep"),
        ([GOOD, GOOD, BAD, GOOD], [0.1, 0.1, 0.1, 0.9], {}, "retrain"),  # one by error, one by drift
        ([BAD, None, None, BAD], [], {}, "retrain"),  # weeks without scores are gaps, not evidence
        ([BAD, BAD, None, None], [], {}, "retrain"),  # the newest scored day counts, not today
        ([BAD] * 4, [], {"champion": "3"}, "keep"),  # another version's errors
        ([BAD] * 4, [], {"trained": NEWEST - timedelta(days=14)}, "retrain"),
        ([BAD] * 4, [], {"trained": NEWEST - timedelta(days=13)}, "keep"),  # one whole window since
        ([BAD] * 4, [], {"trained": NEWEST}, "keep"),  # the same evidence trains once
        ([], [], {}, "keep"),
        ([], [], {"trained": NEWEST - timedelta(days=29)}, "keep"),
        ([], [], {"trained": NEWEST - timedelta(days=30)}, "retrain"),
        ([], [], {"trained": NEWEST, "changed": ["covariate promo is not declared any more"]}, "retrain"),
        ([BAD] * 4, [0.9] * 4, {"trained": None}, "keep"),
        ([GOOD, GOOD, BAD, BAD], [], {"step": 7}, "retrain"),  # weekly periods
        ([BAD, BAD, BAD, GOOD], [], {"step": 7}, "keep"),
    ],
)
def test_decisions(weeks: list[Any], drifted: list[float], given: dict[str, Any], decision: str) -> None:
    assert decided(weeks, drifted, **given).decision == decision


def test_reasons_are_sentences_with_figures() -> None:
    said = decided([GOOD, GOOD, BAD, BAD], [0.1, 0.1, 0.1, 0.75], naive=0.5).reasons
    for sentence in (
        "2026-05-25 to 2026-05-31: 75% of the columns that can move drifted, 50% are too many",
        "2026-05-18 to 2026-05-24: the champion's WQL 0.600 is 1.50 times the 0.400 of its backtest, "
        "more than 1.25 times",
        "2026-05-25 to 2026-05-31: the champion's WQL 0.600 is 20.0% above seasonal naive's",
        "2 of 4 windows of 7 days since the training are out of bounds, the newest among them; "
        "2 with the newest are enough",
    ):
        assert sentence in said
    assert said[-1] == "the last training, at 2026-05-03, is 28 days old; from 30 days on models are trained again"
    assert decided([BAD], trained=None).reasons == ("no model was trained yet: run `demand-forecast run`",)


def test_windows_are_shown_with_their_figures() -> None:
    table = windows_table(decided([GOOD, BAD, None, BAD], [0.2] * 4).windows)
    assert table["out"].to_list() == [False, True, False, True]
    assert table["wql"].to_list() == [pytest.approx(GOOD), pytest.approx(BAD), None, pytest.approx(BAD)]
    assert table["error_ratio"].to_list() == [pytest.approx(1.0), pytest.approx(1.5), None, pytest.approx(1.5)]
    assert table["last"].to_list()[-1] == NEWEST
