"""The champion taken back on a real registry: verified, written down, moved; and each way in which it cannot be."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from demand_forecast.domain.models import create
from demand_forecast.domain.models.training_rows import training_rows
from demand_forecast.domain.tables import now
from demand_forecast.lake.tables import Lake
from demand_forecast.tracking.ledger import PromotionLedger
from demand_forecast.tracking.registry import Tracking
from demand_forecast.tracking.rollback import RollbackError, roll_back
from demand_forecast_tests.domain.small_retailer import make_retailer


@pytest.fixture(scope="module")
def features() -> tuple[pl.DataFrame, object]:
    retailer = make_retailer(products=3)
    return retailer.features([retailer.last_day])


@pytest.fixture(scope="module")
def rows(features: tuple[pl.DataFrame, object]) -> pl.DataFrame:
    return features[0].filter(~pl.col("training"))


@pytest.fixture(scope="module")
def model(features: tuple[pl.DataFrame, object], rows: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    frame, contract = features
    create("seasonal_naive").fit(training_rows(frame, rows["forecast_origin"][0]), contract).save(folder)  # type: ignore[arg-type]
    return folder


@pytest.fixture
def tracking(registry: str, tmp_path: Path, request: pytest.FixtureRequest) -> Tracking:
    tracking = Tracking(registry, tmp_path / "artifacts", f"demand-{abs(hash(request.node.name))}")
    tracking.prepare()
    return tracking


@pytest.fixture
def ledger(tmp_path: Path) -> PromotionLedger:
    return PromotionLedger(Lake(tmp_path / "lake"))


@pytest.fixture
def promote(tracking: Tracking, ledger: PromotionLedger, model: Path) -> Callable[[], str]:
    def promote() -> str:
        with tracking.run("seasonal_naive") as run:
            tags = {"model": "seasonal_naive", "fingerprint": run.run_id, "forecast_origin": "2024-03-26"}
            version = tracking.register(run.run_id, model, tags)
        champion = tracking.champion()
        row = {
            "decided_at": now(),
            "decision": "promoted",
            "run_id": f"train {version}",
        }
        row |= {"from_version": champion.version if champion else None, "to_version": version, "reasons": "better"}
        tracking.promote(row, ledger)
        return version

    return promote


Back = Callable[..., None]


@pytest.fixture
def back(tracking: Tracking, ledger: PromotionLedger, rows: pl.DataFrame) -> Back:
    def back(run_id: str = "r", on: Tracking = tracking, asked: pl.DataFrame = rows) -> None:
        roll_back(on, ledger, asked, reasons="lost 3 of 4 weeks", by="sensor rollback", run_id=run_id)

    return back


def test_previous_is_champion_again_and_the_ledger_says_why(
    tracking: Tracking, ledger: PromotionLedger, promote: Callable[[], str], back: Back
) -> None:
    first, second = promote(), promote()
    back()
    assert tracking.aliases() == {"champion": first, "previous": second, "challenger": second}
    last = ledger.rows()[-1]
    told = ("decision", "from_version", "to_version", "by", "reasons")
    assert [last[name] for name in told] == ["rolled_back", second, first, "sensor rollback", "lost 3 of 4 weeks"]
    back("again")
    assert tracking.aliases() == {"champion": second, "previous": first, "challenger": second}
    third = promote()
    assert tracking.aliases() == {"champion": third, "previous": second, "challenger": third}


def test_a_run_that_dies_between_ledger_and_aliases_is_healed(
    tracking: Tracking, ledger: PromotionLedger, promote: Callable[[], str], back: Back
) -> None:
    class Dying(Tracking):
        def _point(self, alias: str, version: str | None) -> None:
            if alias == "champion":
                raise KeyboardInterrupt
            super()._point(alias, version)

    first, second = promote(), promote()
    with pytest.raises(KeyboardInterrupt):
        back(on=Dying(tracking.uri, tracking.artifact_root, tracking.name))
    assert tracking.aliases()["champion"] == second
    tracking.settle(ledger)
    assert tracking.aliases() == {"champion": first, "previous": second, "challenger": second}


def _lose(files: Path, rows: pl.DataFrame) -> pl.DataFrame:
    files.rename(files.with_name("lost"))
    return rows


def _break(files: Path, rows: pl.DataFrame) -> pl.DataFrame:
    (files / "model.json").write_text("{")
    return rows


def _endless(_: Path, rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(season_scale=pl.lit(float("inf"), rows.schema["season_scale"]))


def _other_features(_: Path, rows: pl.DataFrame) -> pl.DataFrame:
    return rows.drop("base_level")


def _half_a_series(_: Path, rows: pl.DataFrame) -> pl.DataFrame:
    return rows[1:]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_lose, "its files are not at"),
        (_break, "not a saved model"),
        (_endless, "rows that are not finite"),
        (_other_features, "base_level"),
        (_half_a_series, "dates once"),
    ],
)
def test_a_previous_that_does_not_serve_moves_nothing(
    tracking: Tracking,
    ledger: PromotionLedger,
    promote: Callable[[], str],
    back: Back,
    rows: pl.DataFrame,
    spoil: Callable[[Path, pl.DataFrame], pl.DataFrame],
    said: str,
) -> None:
    first, second = promote(), promote()
    before = tracking.aliases()
    asked = spoil(tracking.artifact_root / tracking.version(first).run_id / "artifacts" / "model", rows)
    for _ in range(2):
        with pytest.raises(
            RollbackError, match=f"(?s)version {first} does not serve: .*{said}.*version {second} stays"
        ):
            back(asked=asked)
        tracking.settle(ledger)
        assert tracking.aliases() == before
    assert [row["decision"] for row in ledger.rows()] == ["promoted", "promoted", "rollback_failed"]
    assert said in ledger.rows()[-1]["reasons"]


def test_without_a_previous_there_is_nothing_to_go_back_to(
    ledger: PromotionLedger, promote: Callable[[], str], back: Back, rows: pl.DataFrame
) -> None:
    with pytest.raises(RollbackError, match="nothing is live"):
        back()
    first = promote()
    with pytest.raises(RollbackError, match=f"version {first} is the first champion.*demand-forecast run"):
        back()
    promote()
    with pytest.raises(RollbackError, match="no feature rows"):
        back(asked=rows.clear())
    assert [row["decision"] for row in ledger.rows()] == ["promoted", "promoted"]
