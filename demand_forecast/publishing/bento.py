"""The Bento: the service's sources and a serving package in one folder, to be served on any machine."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib.metadata import requires, version
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import demand_forecast
from demand_forecast.domain.models import families
from demand_forecast.publishing.package import ABANDONED, CURRENT, KEPT

NAME = (
    "demand-forecast"  # BentoML first tries a tag as a module: under our package's name it would find the installed one
)
SOURCES = Path(demand_forecast.__file__).parent
PAGE = tuple(f"service/page/{files}" for files in ("*.html", "*.js", "*.css", "*.svg", "vendor/*"))
ROOMS = ("settings", "workspace", "domain", "publishing", "service")
PACKED = ("__init__.py", *(f"{room}/**/*.py" for room in ROOMS), *PAGE)
SERVICE = "demand_forecast.service.service:DemandForecast"
NEEDS = (
    *("bentoml", "fastapi", "numpy", "orjson", "polars", "prometheus-client", "pydantic", "pydantic-settings"),
    *("pyyaml", "rapidfuzz", "scipy"),
)
IMAGE_ENVIRONMENT = {"BENTOML_HOST": "0.0.0.0", "BENTOML_DO_NOT_TRACK": "true"}  # noqa: S104  in a container of its own


class BentoError(RuntimeError):
    """The Bento could not be built; the message names the package and what BentoML said."""


def build_bento(package: Path, bentoml_home: Path) -> str:
    """Packs a serving package with the service's sources and returns the Bento's tag.

    `package` is the folder that `write_package` returned. The tag is `demand-forecast:<model version>-<hash of the
    sources>`: a Bento is built for a new champion or a new service, with the forecast of that day; a server that sees
    home takes later forecasts from there. The last three Bentos are kept. Needs no network. Raises BentoError.
    """
    name = f"{package.name.rpartition('-')[0]}-{_source_hash()}"
    store = bentoml_home / "bentos" / NAME
    if not (store / name / "bento.yaml").is_file():
        # not below home: BentoML refuses to build from a path with a hidden part such as `.demand_forecast`
        with TemporaryDirectory(prefix="bento-") as folder, _staged(bentoml_home) as staging:
            _stage(Path(folder), package)
            _build(Path(folder), name, staging)
            store.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(store / name, ignore_errors=True)
            (staging / "bentos" / NAME / name).rename(store / name)
    (store / "latest").write_text(name, encoding="utf-8")
    _prune(store, keep=name)
    return f"{NAME}:{name}"


@contextmanager
def _staged(bentoml_home: Path) -> Iterator[Path]:
    """A store to build in: BentoML copies file by file, and a killed build must not leave half a Bento."""
    for left in bentoml_home.glob(".building-*"):
        if time.time() - left.stat().st_mtime > ABANDONED:
            shutil.rmtree(left, ignore_errors=True)
    bentoml_home.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".building-", dir=bentoml_home) as staging:
        yield Path(staging)


def _sources() -> list[Path]:
    found = {file for pattern in PACKED for file in SOURCES.glob(pattern) if file.is_file()}
    return sorted(file for file in found if "__pycache__" not in file.parts)


def _source_hash() -> str:
    content = sha256()
    for file in _sources():
        content.update(file.relative_to(SOURCES).as_posix().encode() + file.read_bytes())
    return content.hexdigest()[:8]


def _stage(folder: Path, package: Path) -> None:
    for file in _sources():
        target = folder / SOURCES.name / file.relative_to(SOURCES)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    shutil.copytree(package, folder / "package" / package.name)
    (folder / "package" / CURRENT).write_text(f'{{"package": "{package.name}"}}', encoding="utf-8")
    (folder / "requirements.txt").write_text("".join(f"{line}\n" for line in pinned()), encoding="utf-8")
    (folder / "bentofile.yaml").write_text(_bentofile(), encoding="utf-8")


def _bentofile() -> str:
    import yaml

    return yaml.safe_dump(
        {
            "service": SERVICE,
            "name": NAME,
            "description": "The champion's published demand forecast, and what its model says of other plans.",
            "include": [f"{SOURCES.name}/", "package/"],
            "python": {"requirements_txt": "requirements.txt", "lock_packages": False},
            "docker": {"python_version": f"{sys.version_info.major}.{sys.version_info.minor}"},
            "envs": [{"name": name, "value": value} for name, value in IMAGE_ENVIRONMENT.items()],
        }
    )


def _build(folder: Path, bento_version: str, bentoml_home: Path) -> None:
    # in a process of its own: BentoML keeps its first store for the life of a process, and building imports the service
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "bentoml", "build", "--version", bento_version, str(folder)],
        env=os.environ | {"BENTOML_HOME": str(bentoml_home), "BENTOML_DO_NOT_TRACK": "true"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise BentoError(f"Bento {NAME}:{bento_version} in {bentoml_home.parent}: not built: {''.join(last)}")


def pinned() -> list[str]:
    """The requirements of service and models, and theirs, each at the version installed here: `name==version`."""
    found: dict[str, str] = {}
    of_models = (library for family in families().values() for library in family.libraries)
    waiting = [Requirement(name) for name in (*NEEDS, *of_models)]
    while waiting:
        needed = waiting.pop()
        name = canonicalize_name(needed.name)
        if name not in found:
            found[name] = f"{name}=={version(name)}"
            waiting += [item for line in requires(name) or () if _applies(item := Requirement(line))]
    return sorted(found.values())


def _applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def _prune(store: Path, keep: str) -> None:
    bentos = sorted(store.glob("*/bento.yaml"), key=lambda path: path.stat().st_mtime, reverse=True)
    for bento in [path.parent for path in bentos if path.parent.name != keep][KEPT - 1 :]:
        shutil.rmtree(bento, ignore_errors=True)
