"""Which models can read the features of tonight, as the configuration declares them now."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from demand_forecast.defs.features.contract import read_contract
from demand_forecast.defs.project import Project
from demand_forecast.domain.features import ContractError, FeatureContract, obstacle, undeclared_then
from demand_forecast.domain.models.base import contract_in
from demand_forecast.tracking.registry import ModelVersion, Tracking


@cache
def _contract_of(uri: str, artifacts: Path, name: str, version: str) -> FeatureContract:
    with TemporaryDirectory() as folder:
        return contract_in(Tracking(uri, artifacts, name).download(version, Path(folder)))


def contract_of(tracking: Tracking, version: ModelVersion) -> FeatureContract:
    """The contract of a registered version, which never changes.

    Raises ContractError where this release cannot read it, RegistryError where the version is gone.
    """
    return _contract_of(tracking.uri, tracking.artifact_root, tracking.name, version.version)


def require_readable(project: Project, contract: FeatureContract) -> None:
    """Raises ContractError where models of `contract` cannot forecast what is configured."""
    if why := _obstacle(project, contract):
        raise ContractError(f"{why}; declare it as it was, or train again: demand-forecast run")


def obstacle_of(project: Project, version: ModelVersion) -> str | None:
    """Why a registered version cannot forecast what is configured; None where it can."""
    try:
        return _obstacle(project, contract_of(project.tracking, version))
    except ContractError as error:
        return str(error)


def outdated(project: Project, version: ModelVersion) -> str | None:
    """Why a registered version is not of what is configured now: it cannot read it, or was trained before a covariate
    was declared, so that its recipe trained again is another model; None where it is.
    """
    if why := obstacle_of(project, version):
        return f"version {version.version} cannot read tonight's features: {why}"
    later = undeclared_then(contract_of(project.tracking, version), project.settings.covariates)
    return f"version {version.version} was trained before covariate {later[0]} was declared" if later else None


def changes(project: Project) -> list[str]:
    """What was configured otherwise since the newest training, that a training has to learn; a line each.

    Raises LakeError without demand_features.
    """
    contract = read_contract(project.lake)
    why = _obstacle(project, contract)
    later = undeclared_then(contract, project.settings.covariates)
    said = [f"the newest training does not fit what is configured: {why}"] if why else []
    return [*said, *(f"covariate {name} was declared after the newest training" for name in later)]


def contract_of_tonight(project: Project) -> FeatureContract | None:
    """The contract that the features of tonight are made by: that of the newest training, else the champion's; None
    where neither can be followed. Raises LakeError without demand_features.
    """
    newest, champion = read_contract(project.lake), project.tracking.champion()
    if _obstacle(project, newest) is None:
        return newest
    if champion is None or obstacle_of(project, champion):
        return None
    return contract_of(project.tracking, champion)


def _obstacle(project: Project, contract: FeatureContract) -> str | None:
    settings = project.settings
    return obstacle(contract, settings.covariates, project.frequency, settings.horizon)
