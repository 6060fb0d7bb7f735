"""Model families, one a file: every module in this folder is imported, and a family is registered by being defined."""

from importlib import import_module
from pkgutil import iter_modules

from demand_forecast.domain.models.base import ForecastModel, ModelError
from demand_forecast.domain.models.registry import (
    BASELINE_MODEL,
    create,
    families,
    family,
    learners,
    load_model,
    with_candidates,
)

__all__ = [
    "BASELINE_MODEL",
    "ForecastModel",
    "ModelError",
    "create",
    "families",
    "family",
    "import_families",
    "learners",
    "load_model",
    "with_candidates",
]


def import_families() -> None:
    """Imports every module of the folder, and with it the families that they define."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")


import_families()
