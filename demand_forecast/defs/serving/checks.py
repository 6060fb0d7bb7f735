"""What is served is whole and is the champion."""

import dagster as dg

from demand_forecast.defs.project import Project
from demand_forecast.tracking.package import PackageError, read_package


@dg.asset_check(
    asset="forecast_service",
    blocking=True,
    description="The serving package verifies (checksums, columns) and holds the champion.",
)
def package_verifies(project: Project) -> dg.AssetCheckResult:
    champion = project.tracking.champion()
    try:
        package = read_package(project.home.serving)
    except PackageError as error:
        return dg.AssetCheckResult(passed=False, description=str(error))
    return dg.AssetCheckResult(
        passed=champion is not None and package.info.model_version == champion.version,
        description=f"{package.path.name}: {package.forecast.height:,} rows by version {package.info.model_version}",
    )
