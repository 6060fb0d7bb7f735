"""Checks that the serving package is complete and holds the champion."""

import dagster as dg

from demand_forecast.defs.forecasts.kept import kept_because
from demand_forecast.defs.project import Project
from demand_forecast.publishing.package import PackageError, read_package, read_trial


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
        passed=champion is not None
        and (package.info.model_version == champion.version or kept_because(project.lake) is not None),
        description=f"{package.path.name}: {package.forecast.height:,} rows by version {package.info.model_version}",
    )


@dg.asset_check(
    asset="forecast_service",
    description="The challenger's package, where one is tried out, verifies and forecasts the champion's days; servers "
    "go on with the champion alone where it does not.",
)
def trial_package_verifies(project: Project) -> dg.AssetCheckResult:
    folder = project.home.serving
    try:
        trial = read_trial(folder)
        if trial is None:
            return dg.AssetCheckResult(passed=True, description="none tried out")
        live, tried = read_package(folder), read_package(folder, trial.package)
    except PackageError as error:
        return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, description=str(error))
    return dg.AssetCheckResult(
        passed=tried.info.forecast_origin == live.info.forecast_origin,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{trial.mode}: {tried.path.name}, forecast of {tried.info.forecast_origin}; the champion's of "
        f"{live.info.forecast_origin}",
    )
