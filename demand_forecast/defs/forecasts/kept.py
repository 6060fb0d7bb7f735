"""Nights on which the champion cannot read what is configured: its last forecast, and all that is made of it, stays."""

import json

import dagster as dg

from demand_forecast.defs.features.assets import last_day
from demand_forecast.defs.features.readable import contract_of, obstacle_of
from demand_forecast.defs.metadata import lake_metadata
from demand_forecast.defs.models.group_model import level_of
from demand_forecast.defs.project import Project
from demand_forecast.domain.features import ContractError, obstacle
from demand_forecast.lake.tables import Lake
from demand_forecast.tracking.registry import ModelVersion

KEPT, SINCE = "kept", "since"  # notes of demand_forecast: why it was not made tonight, and since which last day


def standstill(project: Project, champion: ModelVersion) -> str | None:
    """Why the champion makes no forecast tonight; None where it does."""
    if why := obstacle_of(project, champion):
        return f"version {champion.version} cannot read tonight's features: {why}"
    return groups_obstacle(project)


def groups_obstacle(project: Project) -> str | None:
    """Why the newest model of groups cannot forecast what is configured, so that nothing can be aligned with it; None
    where it can, or there is none."""
    newest, settings = project.group_tracking.newest(), project.settings
    if newest is None:
        return None
    declared = settings.covariates
    gone = [name for name in json.loads(newest.tag("level_columns")) if name not in declared.static]
    try:
        contract = contract_of(project.group_tracking, newest)
    except ContractError as error:
        return f"the model of groups cannot be read: {error}"
    own = declared.model_copy(update={"static": [*contract.inputs.static]})
    why = f"covariate {gone[0]} is not declared any more" if gone else None
    why = why or obstacle(contract, own, project.frequency, settings.horizon)
    return f"the model of groups (level {level_of(newest).name}) cannot read tonight's features: {why}" if why else None


def keep(context: dg.AssetExecutionContext, project: Project, why: str) -> dg.MaterializeResult:
    """Notes with the last forecast that it stays, and since when."""
    lake = project.lake
    since = lake.notes("demand_forecast").get(SINCE, str(last_day(lake)))
    lake.replace("demand_forecast", lake.read("demand_forecast"), {KEPT: why, SINCE: since})
    context.log.warning(f"the last forecast stays: {why}")
    return dg.MaterializeResult(metadata={KEPT: why, SINCE: since} | lake_metadata(lake, "demand_forecast"))


def kept_because(lake: Lake) -> str | None:
    """Why the newest forecast was not made tonight; None where it was. Raises LakeError without demand_forecast."""
    return lake.notes("demand_forecast").get(KEPT)


def left_as_it_is(context: dg.AssetExecutionContext, lake: Lake, table: str) -> dg.MaterializeResult | None:
    """The table, made of the last forecast, where that stays: what is read together is of one night. None where the
    table is to be made."""
    why = kept_because(lake)
    if why is None or not lake.exists(table):
        return None
    context.log.info("left as it was, as the forecast that it was made of")
    return dg.MaterializeResult(metadata={KEPT: why} | lake_metadata(lake, table))
