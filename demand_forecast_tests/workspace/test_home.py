import os
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

import pytest

from demand_forecast.workspace.home import Home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    home = Home(tmp_path / "home")
    for name in home.environment():
        monkeypatch.setenv(name, "before")
    return home


def test_everything_is_below_one_folder(home: Home) -> None:
    home.prepare()
    made = {path.relative_to(home.root).as_posix() for path in home.root.rglob("*")}
    assert made == {"lake", "dagster", "dagster/dagster.yaml", "mlflow", "bentoml", "reports", "serving"}
    assert os.environ["DAGSTER_HOME"] == str(home.root / "dagster")
    assert os.environ["BENTOML_HOME"] == str(home.root / "bentoml")


def test_an_instance_that_was_changed_by_hand_stays(home: Home) -> None:
    home.prepare()
    (home.dagster / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    home.prepare()
    assert (home.dagster / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"


def test_the_start_of_history_only_moves_back(home: Home) -> None:
    home.prepare()
    assert home.read_history_start() is None
    for day in (date(2024, 3, 1), date(2024, 5, 1), date(2023, 12, 31), date(2024, 1, 1)):
        home.note_history_start(day)
    assert home.read_history_start() == date(2023, 12, 31)


def test_who_reads_while_another_writes_sees_the_old_or_the_new(home: Home) -> None:
    """As does the next run after one that was killed while it wrote."""
    home.prepare()
    home.note_history_start(date(2024, 1, 1))
    earlier = [date(2024, 1, 1) - timedelta(days=n) for n in range(1, 300)]
    with ThreadPoolExecutor(1) as writer:
        writing = writer.submit(lambda: [home.note_history_start(day) for day in earlier])
        while not writing.done():
            assert home.read_history_start() in {date(2024, 1, 1), *earlier}
    assert home.read_history_start() == earlier[-1]


def test_modules_that_have_moved_are_corrected_in_an_older_instance(home: Home) -> None:
    file, known = home.dagster / "dagster.yaml", "demand_forecast.workspace."
    home.prepare()
    written = file.read_text()
    file.write_text(written.replace(known, "demand_forecast.") + "# mine\n")
    home.prepare()
    assert known in written
    assert file.read_text() == written + "# mine\n"
