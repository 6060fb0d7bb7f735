"""The prediction log of the running service, appended to the lake."""

import dagster as dg
import polars as pl

from demand_forecast.defs.forecasts.assets import FORGOTTEN_AFTER, KEPT_HORIZONS
from demand_forecast.defs.metadata import TABLE_KINDS, Metadata, lake_metadata, markdown_table
from demand_forecast.defs.project import Project
from demand_forecast.lake.tables import Lake
from demand_forecast.publishing.answers import AnswerReader, finished_segments, segment_name
from demand_forecast.workspace.file_lock import file_lock

TABLE = "served_predictions"


@dg.asset(
    deps=["forecast_service"],
    group_name="monitoring",
    kinds=TABLE_KINDS,
    description="Every answer of the running service about a forecast, one row a series, with the arm that gave it, or "
    "would have: taken once from the segment files below home that are finished, which are deleted then.",
)
def served_predictions(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
    lake, reader = project.lake, AnswerReader()
    with file_lock(project.home.taking_answers):
        files = finished_segments(project.home.predictions)
        known = _known_segments(lake)
        rows = lake.append(TABLE, reader.frames(file for file in files if segment_name(file) not in known))
        for file in files:
            file.unlink(missing_ok=True)
    _forget(project)
    if reader.bad:
        context.log.warning(f"{reader.bad:,} of {reader.lines:,} lines were not readable and are skipped")
    context.log.info(f"{rows:,} answers in {len(files)} segments")
    taken: Metadata = {"segments": len(files), "answers": rows, "lines": reader.lines, "bad_lines": reader.bad}
    taken["kept_by_arm"] = dg.MetadataValue.md(markdown_table(_by_arm(lake)))
    return dg.MaterializeResult(metadata=taken | lake_metadata(lake, TABLE))


def _known_segments(lake: Lake) -> set[str]:
    """Segments that are in the table already, for instance from a run killed before it deleted the files."""
    if not lake.exists(TABLE):
        return set()
    return set(lake.scan(TABLE).select(pl.col("segment").unique()).collect()["segment"])


def _forget(project: Project) -> None:
    """Drops answers from origins whose forecasts are not kept any more."""
    lake, kept = project.lake, -KEPT_HORIZONS * project.settings.horizon
    if newest := lake.newest(TABLE, "forecast_origin"):
        lake.drop_before(TABLE, project.calendar.ahead(newest, kept), "forecast_origin")
    lake.forget(TABLE, FORGOTTEN_AFTER)
    lake.compact(TABLE)


def _by_arm(lake: Lake) -> pl.DataFrame:
    """`endpoint, arm, model_version, shadow, requests, answers, milliseconds` (median) of what is kept."""
    by = ["endpoint", "arm", "model_version", "shadow"]
    figures = (
        lake.scan(TABLE)
        .group_by(by)
        .agg(requests=pl.col("request_id").n_unique(), answers=pl.len(), milliseconds=1000 * pl.col("seconds").median())
    )
    return figures.sort(by).collect()
