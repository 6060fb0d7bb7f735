"""The one Definitions object: everything below `defs/`, bound to the retailer that the configuration names."""

from pathlib import Path

import dagster as dg

from demand_forecast.defs.automation.flow import condition_of
from demand_forecast.defs.automation.freshness import policy_of
from demand_forecast.defs.progress import progress_logger
from demand_forecast.defs.project import SETTINGS, Project


def _automated(spec: dg.AssetSpec) -> dg.AssetSpec:
    owned = spec.replace_attributes(owners=SETTINGS.owners, automation_condition=condition_of(spec))
    policy = policy_of(spec)
    return dg.apply_freshness_policy(owned, policy, overwrite_existing=False) if policy else owned


@dg.definitions
def defs() -> dg.Definitions:
    loaded = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    assets = [asset for asset in loaded.assets or [] if isinstance(asset, dg.AssetsDefinition)]
    return dg.Definitions(
        assets=dg.map_asset_specs(_automated, assets),
        asset_checks=loaded.asset_checks,
        jobs=loaded.jobs,
        schedules=loaded.schedules,
        sensors=loaded.sensors,
        resources={"project": Project(config=str(SETTINGS.path))},
        loggers={"progress": progress_logger},
        executor=dg.in_process_executor,
    )
