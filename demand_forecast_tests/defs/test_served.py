"""Answers taken into the lake: each once, however often a run is killed."""

from datetime import timedelta

import dagster as dg
import polars as pl
import pytest

from demand_forecast.defs.monitoring.served import served_predictions
from demand_forecast.defs.project import Project
from demand_forecast.publishing.answers import SERVED
from demand_forecast_tests.answered import ORIGIN, line, write_segment


def take(project: Project) -> dict[str, object]:
    """Takes what is there, and gives what the UI shows of it."""
    result = dg.materialize([served_predictions], resources={"project": project})
    metadata = result.asset_materializations_for_node("served_predictions")[0].metadata
    return {name: value.value for name, value in metadata.items()}


def requests(project: Project) -> list[str]:
    return project.lake.read("served_predictions")["request_id"].sort().to_list()


def test_without_a_service_there_is_an_empty_table(project: Project) -> None:
    assert take(project)["answers"] == 0
    assert dict(project.lake.read("served_predictions").schema) == SERVED


def test_segments_are_taken_in_one_commit_and_deleted(project: Project) -> None:
    folder = project.home.predictions
    take(project)
    write_segment(folder, "1-7.jsonl", line("a"), b"nonsense\n", line("b"))
    write_segment(folder, "2-7.open", line("c"), line("torn")[:-9])
    shown = take(project)
    assert requests(project) == ["a", "b", "c"]
    assert (shown["segments"], shown["answers"], shown["lines"], shown["bad_lines"]) == (2, 3, 4, 1)
    assert "|/v1/forecast|champion|3|false|3|3|2|" in str(shown["kept_by_arm"])
    assert list(folder.iterdir()) == []
    assert shown["lake_version"] == 1


def test_a_run_killed_before_it_deletes_takes_nothing_twice(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    write_segment(project.home.predictions, "1-7.open", line("a"))

    class Killed(BaseException): ...

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.unlink", die)
        with pytest.raises(Killed):
            served_predictions(dg.build_asset_context(), project)
    (left,) = project.home.predictions.iterdir()
    assert requests(project) == ["a"]
    left.rename(left.with_suffix(".jsonl"))  # and its writer had been about to close it
    write_segment(project.home.predictions, "2-7.jsonl", line("b"))
    take(project)
    assert requests(project) == ["a", "b"]
    assert list(project.home.predictions.iterdir()) == []


def test_answers_are_kept_for_two_horizons(project: Project) -> None:
    horizon = timedelta(days=project.settings.horizon)
    origins = {"old": ORIGIN - 2 * horizon - timedelta(days=1), "kept": ORIGIN - 2 * horizon, "new": ORIGIN}
    for number, (name, origin) in enumerate(origins.items()):
        write_segment(project.home.predictions, f"{number}-7.jsonl", line(name, origin=origin))
    take(project)
    assert requests(project) == ["kept", "new"]
    assert project.lake.scan("served_predictions").filter(pl.col("q20").is_not_null()).collect().is_empty()
