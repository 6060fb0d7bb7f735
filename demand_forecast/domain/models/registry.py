"""Every model family by its name, and which of them are candidates."""

import difflib
from pathlib import Path

from demand_forecast.domain.models.base import FAMILIES, ForecastModel, ModelError, read_description
from demand_forecast.domain.models.seasonal_naive import SeasonalNaive
from demand_forecast.settings import ConfigError, Settings

BASELINE_MODEL = SeasonalNaive.name  # every other candidate is measured against it


def families() -> dict[str, type[ForecastModel]]:
    """The families whose libraries are installed: the baseline, the others by name, those made of others last."""
    order = sorted(FAMILIES, key=lambda name: (bool(FAMILIES[name].members()), name != BASELINE_MODEL, name))
    return {name: FAMILIES[name] for name in order if not FAMILIES[name].missing()}


def family(name: str) -> type[ForecastModel]:
    """The family of this name. Raises ModelError where there is none, or where a library that it needs is missing."""
    problem = _problem(name)
    if problem:
        raise ModelError(problem)
    return FAMILIES[name]


def create(name: str, *, seed: int = 7, threads: int = 0) -> ForecastModel:
    """A model, not fitted. `threads` 0: as many as the machine has. Raises ModelError as `family`."""
    return family(name)(seed=seed, threads=threads)


def load_model(folder: Path | str) -> ForecastModel:
    """The model that was saved in `folder`, of whatever family. Raises ModelError where there is none."""
    return family(read_description(Path(folder))["name"]).load(Path(folder))


def learners(name: str) -> list[str]:
    """The library that it learns with, or each of its members: the first of `libraries`. Raises as `family`."""
    parts = family(name).members() or (name,)
    return [library for part in parts for library in family(part).libraries[:1]]


def with_candidates(settings: Settings) -> Settings:
    """`settings` with the candidates known and usable: those that it names, else the families that are so by default.

    Raises ConfigError with the key, the file and the nearest known name.
    """
    names = settings.training.candidates
    place = f"{settings.path}: training.candidates"
    for problem in filter(None, map(_problem, names)):
        raise ConfigError(f"{place}: {problem}")
    if names and BASELINE_MODEL not in names:
        raise ConfigError(f"{place}: {BASELINE_MODEL} must be among them: every other is measured against it")
    named = names or [name for name, one in families().items() if one.by_default]
    training = settings.training.model_copy(update={"candidates": named})
    return settings.model_copy(update={"training": training})


def _problem(name: str) -> str | None:
    """Why no model of this name can be made here; None where one can."""
    if name not in FAMILIES:
        near = difflib.get_close_matches(name, FAMILIES, n=1, cutoff=0)
        return f"unknown model {name}; did you mean {near[0]}? Known here: {', '.join(families())}"
    missing = FAMILIES[name].missing()
    return f"{name} needs {missing[0]}, which is not installed; install it, or leave {name} out" if missing else None
