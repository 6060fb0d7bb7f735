import json
import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from demand_forecast.domain.tables import QUANTILE_COLUMNS
from demand_forecast.publishing.package import (
    FORECAST_SCHEMA,
    TRIAL,
    NoPackageError,
    PackageError,
    PackageInfo,
    read_package,
    read_trial,
    write_package,
)

ORIGIN = date(2026, 9, 30)
TRAINED = datetime(2026, 9, 30, 3, tzinfo=UTC)


def info(version: str = "3") -> PackageInfo:
    return PackageInfo(
        model="lightgbm",
        model_version=version,
        forecast_origin=ORIGIN,
        trained_at=TRAINED,
        data_versions={"daily_demand": 4},
        metrics={"wape": 0.31, "fva_wape": None},
        promotion={"decision": "promoted", "decided_at": TRAINED.isoformat()},
    )


def table(scale: float = 1.0) -> pl.DataFrame:
    """The table demand_forecast of two series and three days, in no order."""
    rows = [
        {
            "store_id": "S1",
            "product_id": product,
            "date": ORIGIN + timedelta(days=horizon),
            "forecast_origin": ORIGIN,
            "horizon": horizon,
            "mean": scale * horizon,
            **{name: scale * horizon * place / 5 for place, name in enumerate(QUANTILE_COLUMNS, 1)},
            "variance": scale * horizon,
            "correlation": 0.1,
            "model": "lightgbm",
            "model_version": "3",
            "alignment": 1.0 + horizon / 10,
        }
        for horizon in (2, 3, 1)
        for product in ("P2", "P1")
    ]
    numbers = pl.selectors.matches("^(mean|q.*|variance|correlation)$")
    return pl.DataFrame(rows).cast({"horizon": pl.Int32, numbers: pl.Float32})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.json").write_text("{}")
    (folder / "mean.txt").write_bytes(b"tree\x00")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home" / "serving"


Publish = Callable[..., Path]


@pytest.fixture
def publish(folder: Path, model: Path) -> Publish:
    def write(forecast: pl.DataFrame | None = None, version: str = "3") -> Path:
        return write_package(
            folder, model_folder=model, forecast=table() if forecast is None else forecast, info=info(version)
        )

    return write


def test_what_is_published_is_read(folder: Path, publish: Publish) -> None:
    path = publish()
    package = read_package(folder)
    assert package.path == path
    assert package.info == info()
    assert (package.model_folder / "mean.txt").read_bytes() == b"tree\x00"
    assert_frame_equal(package.forecast, table().select(*FORECAST_SCHEMA).sort("store_id", "product_id", "date"))


def test_equal_content_is_the_same_package_and_other_content_another(folder: Path, publish: Publish) -> None:
    first = publish()
    stamp = (first / "manifest.json").stat().st_mtime_ns
    assert publish(table().reverse()) == first
    assert (first / "manifest.json").stat().st_mtime_ns == stamp
    second = publish(table(scale=2))
    assert second != first
    assert read_package(folder).path == second
    assert publish() == first
    assert read_package(folder).path == first


def test_the_last_three_packages_are_kept(folder: Path, publish: Publish) -> None:
    paths = [publish(table(scale)) for scale in (1, 2, 3, 4, 5)]
    assert {path for path in folder.iterdir() if path.is_dir()} == set(paths[2:])
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == ["current.json"]


def test_what_is_about_to_be_tried_out_is_not_pruned(folder: Path, publish: Publish) -> None:
    first, _, third = publish(), publish(table(2)), publish(table(3))
    os.utime(first, (0, 0))
    again = write_package(folder, model_folder=third / "model", forecast=table(), info=info(), live=False)
    publish(table(4))
    assert again == first
    assert first.is_dir()


def test_a_trial_that_is_not_readable_keeps_nobody_from_publishing(folder: Path, publish: Publish) -> None:
    publish()
    (folder / TRIAL).write_text("{")
    with pytest.raises(PackageError, match=r"trial.json is not readable"):
        read_trial(folder)
    assert publish(table(2)) == read_package(folder).path


def test_before_the_first_night_it_says_what_to_run(folder: Path) -> None:
    with pytest.raises(NoPackageError, match=r"no champion is published in .*serving: run `demand-forecast run`"):
        read_package(folder)


@pytest.mark.parametrize("name", ["model/mean.txt", "forecast.parquet"])
def test_a_changed_file_is_named(folder: Path, publish: Publish, name: str) -> None:
    with (publish() / name).open("ab") as file:
        file.write(b"x")
    with pytest.raises(PackageError, match=f"{name} is not the file that was published; publish again"):
        read_package(folder)


def test_a_missing_file_and_a_foreign_one_are_named(folder: Path, publish: Publish) -> None:
    path = publish()
    (path / "model" / "mean.txt").rename(path / "model" / "other.txt")
    with pytest.raises(PackageError, match=r"model/mean.txt is missing"):
        read_package(folder)
    (path / "model" / "mean.txt").write_bytes(b"tree\x00")
    with pytest.raises(PackageError, match=r"model/other.txt is not the file"):
        read_package(folder)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"package": "9-none"}', '{"package": "../serving"}', '{"package": 3}']
)
def test_a_broken_pointer_is_named(folder: Path, publish: Publish, content: str) -> None:
    publish()
    (folder / "current.json").write_text(content)
    with pytest.raises(PackageError, match=r"current.json.*publish again"):
        read_package(folder)


def test_a_spoiled_package_is_made_whole_when_it_is_published_again(folder: Path, publish: Publish) -> None:
    (publish() / "forecast.parquet").write_bytes(b"x")
    publish()
    assert read_package(folder).forecast.height == 6


def test_tables_beside_the_forecast_are_read_series_by_series(folder: Path, model: Path) -> None:
    sold = pl.DataFrame({"store_id": "S1", "product_id": ["P2", "P1", "P2"], "date": ORIGIN, "units": [3.0, 1.0, 2.0]})
    write_package(folder, model_folder=model, forecast=table(), info=info(), tables={"history": sold})
    package = read_package(folder)
    history = package.table("history")
    assert history is not None
    assert history.of([("S1", "P2"), ("S1", "P9"), ("S1", "P1")])["units"].to_list() == [3.0, 2.0, 1.0]
    assert history.all()["product_id"].to_list() == ["P1", "P2", "P2"]
    assert package.table("features") is None
    history.file.unlink()
    with pytest.raises(PackageError, match=r"history.arrow is not readable any more"):
        history.of([("S1", "P1")])


def test_features_of_other_rows_than_the_forecast_are_refused(folder: Path, model: Path) -> None:
    features = table().filter(pl.col("horizon") > 1)
    with pytest.raises(PackageError, match="features of version 3: not the rows that were forecast"):
        write_package(folder, model_folder=model, forecast=table(), info=info(), tables={"features": features})


def test_another_format_is_refused(folder: Path, publish: Publish) -> None:
    file = publish() / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 1}))
    with pytest.raises(PackageError, match="format 1, this version reads 4"):
        read_package(folder)
    file.write_text("{")
    with pytest.raises(PackageError, match=r"manifest.json is not readable"):
        read_package(folder)


FAULTS: list[tuple[Callable[[pl.DataFrame], pl.DataFrame], str]] = [
    (lambda frame: frame[1:], "each of the same 3 dates once"),
    (lambda frame: pl.concat([frame, frame[:1]]), "each of the same 3 dates once"),
    (lambda frame: frame.with_columns(date=pl.col("date").shift(1, fill_value=ORIGIN)), "dates once"),
    (
        lambda frame: frame.with_columns(forecast_origin=pl.lit(date(2026, 9, 1))),
        "other forecast origins than 2026-09-30",
    ),
    (lambda frame: frame.clear(), "other forecast origins"),
    (lambda frame: frame.drop("q30"), "no column q30"),
    (lambda frame: frame.with_columns(q90=pl.lit(float("nan"))), "not finite"),
    (lambda frame: frame.with_columns(mean=pl.lit(None, pl.Float32)), "not finite"),
]


@pytest.mark.parametrize(("spoil", "named"), FAULTS)
def test_a_forecast_that_cannot_be_served_is_refused_and_the_last_one_stays(
    folder: Path, publish: Publish, spoil: Callable[[pl.DataFrame], pl.DataFrame], named: str
) -> None:
    good = publish()
    with pytest.raises(PackageError, match=named):
        publish(spoil(table(scale=2)))
    assert read_package(folder).path == good
    assert sorted(path.name for path in folder.iterdir()) == sorted([good.name, "current.json"])
