"""A retailer to whom reports come, and what the sensors say of it."""

from datetime import date

import dagster as dg

from demand_forecast.defs.automation.arrival import landing
from demand_forecast.defs.project import Project
from demand_forecast.defs.raw.assets import collect_new
from demand_forecast_tests.landing_files import write_reports


def collect(project: Project) -> None:
    collect_new(project, None, project.landing())


def bring(project: Project, day: date, days: int = 1) -> None:
    write_reports(project.settings.path.parent, days, day)


def look(
    project: Project,
    instance: dg.DagsterInstance | None = None,
    cursor: str | None = None,
    sensor: dg.SensorDefinition = landing,
) -> dg.SensorResult:
    instance = instance or dg.DagsterInstance.ephemeral()
    with dg.build_sensor_context(instance, cursor, resources={"project": project}) as context:
        return sensor(context)


def tick(project: Project) -> dg.RunRequest:
    (request,) = look(project).run_requests
    return request


def why_not(project: Project) -> str:
    said = look(project)
    assert not said.run_requests
    return said.skip_reason.skip_message


@dg.op(config_schema={"fails": bool})
def end(context: dg.OpExecutionContext) -> None:
    if context.op_config["fails"]:
        raise RuntimeError("the database of models was gone")


@dg.job
def night() -> None:
    end()


def run(instance: dg.DagsterInstance, request: dg.RunRequest, fails: bool = False) -> None:
    """A run under the request's key, as the daemon would have started it."""
    night.execute_in_process(
        instance=instance,
        tags={"dagster/run_key": request.run_key},
        run_config={"ops": {"end": {"config": {"fails": fails}}}},
        raise_on_error=False,
    )


def days(request: dg.RunRequest) -> tuple[date, date]:
    ends = (request.tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end"))
    first, last = map(date.fromisoformat, ends)
    return first, last
