import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demand_forecast.publishing.bento import BentoError, build_bento, pinned
from demand_forecast_tests.served_night import ROOT, Night, Serve

BUILD = """
import sys, pathlib
from demand_forecast.publishing.bento import build_bento
build_bento(*map(pathlib.Path, sys.argv[1:]))
"""
START = """
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
owners = packages_distributions()
allowed = set(sys.argv[2:]) - {"polars"} | {"demand-forecast"}

class OnlyAllowed:
    def find_spec(self, name, path=None, target=None):
        given_by = {owner.lower().replace("_", "-") for owner in owners.get(name.partition(".")[0], ())}
        if given_by and not given_by & allowed:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, OnlyAllowed())
try:
    import demand_forecast.service.service
except ModuleNotFoundError as error:
    print("without", error.name)
allowed.add("polars")
from demand_forecast.service.service import DemandForecast
import _bentoml_impl.server.serving, _bentoml_impl.worker.service, bentoml_cli.cli, uvicorn
DemandForecast.inject_config()
print(type(DemandForecast.to_asgi()).__name__)
from demand_forecast.service.state.served import Served
from demand_forecast.publishing.package import read_package
print(Served(read_package(Path(sys.argv[1]))).info.model)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bento")


@pytest.fixture(scope="module")
def package(night: Night, place: Path) -> Path:
    return night.publish(place / ".demand_forecast" / "serving")


@pytest.fixture(scope="module")
def tag(package: Path, place: Path) -> str:
    return build_bento(package, place / ".demand_forecast" / "bentoml")


def stored(place: Path, tag: str) -> Path:
    return place / ".demand_forecast" / "bentoml" / "bentos" / tag.replace(":", "/")


def test_it_holds_the_sources_the_package_and_nothing_else(tag: str, place: Path, package: Path) -> None:
    """Asked before it is served, which compiles the sources."""
    sources = stored(place, tag) / "src"
    assert sorted(path.name for path in sources.iterdir()) == ["bentofile.yaml", "demand_forecast", "package"]
    assert not list(sources.rglob("__pycache__"))
    packed = {path.relative_to(sources / "package") for path in (sources / "package").rglob("*") if path.is_file()}
    published = {path.relative_to(package.parent) for path in package.parent.rglob("*") if path.is_file()}
    assert packed == published
    page = Path("demand_forecast", "service", "page")
    fetched_by = {".npmrc", "package.json", "package-lock.json"}  # `make vendor`
    served = {path.relative_to(ROOT) for path in (ROOT / page).rglob("*") if path.is_file()}
    served -= {page / name for name in fetched_by}
    assert {page / name for name in ("planner.js", "docs.js", "vendor/uPlot.min.css")} < served
    assert served == {path.relative_to(sources) for path in (sources / page).rglob("*") if path.is_file()}


@pytest.mark.slow
def test_the_bento_serves_its_champion_from_any_folder_without_configuration(
    serve: Serve, tag: str, place: Path, tmp_path: Path
) -> None:
    assert not (place / "config.yaml").exists()
    with serve(place, tag, cwd=tmp_path) as client:
        assert client.get("/readyz").status_code == 200
        assert client.get("/v1/model").json()["model_version"] == "3"
        asked = {"series": [{"store_id": "South", "product_id": "P-01"}], "horizon": 2}
        forecasts = [
            client.post(f"/v1/{path}", json=asked).json()["forecasts"][0]["mean"] for path in ("forecast", "what_if")
        ]
        assert forecasts[0] == forecasts[1]
        said = client.get("/v1/model").json()["prediction_log"]
        assert said == {"written": False, "lost": 0, "reason": "not configured: no home folder"}
    assert list(tmp_path.iterdir()) == []


def test_an_equal_bento_is_not_built_again(tag: str, place: Path, package: Path) -> None:
    stamp = (stored(place, tag) / "bento.yaml").stat().st_mtime_ns
    assert build_bento(package, place / ".demand_forecast" / "bentoml") == tag
    assert (stored(place, tag) / "bento.yaml").stat().st_mtime_ns == stamp
    assert tag.startswith("demand-forecast:3-")


def test_the_last_three_bentos_are_kept(tag: str, place: Path, package: Path) -> None:
    store = stored(place, tag).parent
    for number in range(5):
        (store / f"2-{number}").mkdir()
        (store / f"2-{number}" / "bento.yaml").touch()
        os.utime(store / f"2-{number}" / "bento.yaml", (number, number))
    build_bento(package, place / ".demand_forecast" / "bentoml")
    assert {path.name for path in store.iterdir()} == {"latest", stored(place, tag).name, "2-3", "2-4"}


def test_the_service_starts_with_nothing_but_its_pinned_requirements(package: Path) -> None:
    names, versions = zip(*(line.split("==") for line in pinned()), strict=True)
    assert all(versions)
    assert set(names).isdisjoint({"mlflow", "dagster", "pandas"})
    start = [sys.executable, "-c", START, str(package.parent), *names]
    done = subprocess.run(start, capture_output=True, text=True, check=False)
    assert (done.stdout.splitlines(), done.returncode) == (["without polars", "Gateway", "lightgbm"], 0), done.stderr


@pytest.mark.slow
def test_a_package_that_cannot_be_packed_is_named(place: Path, tmp_path: Path) -> None:
    unusable = tmp_path / "not a version-0"
    unusable.mkdir()
    with pytest.raises(BentoError, match="Bento demand-forecast:not a version"):
        build_bento(unusable, tmp_path / "bentoml")


@pytest.mark.slow
def test_a_build_that_is_killed_leaves_no_half_of_a_bento(package: Path, tmp_path: Path) -> None:
    """Killed as soon as BentoML has begun to copy into its store; the next build makes it whole."""
    build = subprocess.Popen([sys.executable, "-c", BUILD, str(package), str(tmp_path)], start_new_session=True)
    while build.poll() is None and not next(tmp_path.rglob("bentos/*/*/bento.yaml"), None):
        time.sleep(0.01)
    os.killpg(build.pid, signal.SIGKILL)
    build.wait()
    tag = build_bento(package, tmp_path)
    bento = tmp_path / "bentos" / tag.replace(":", "/")
    assert (bento / "src" / "package" / package.name / "manifest.json").is_file()
    assert (bento / "src" / "bentofile.yaml").is_file()
