"""Past days of sales as they were last accepted: the table `accepted_sales` names the version of clean_sales."""

import polars as pl

from demand_forecast.defs.project import Project, read_register
from demand_forecast.domain.cleaning.past_days import Jump, jump_of
from demand_forecast.domain.tables import now
from demand_forecast.lake.tables import Lake, LakeError

TABLE = "accepted_sales"


def jump_since_accepted(project: Project) -> Jump | None:
    """How clean_sales differs from the version that was last accepted; None where there is none, or it is gone, or no
    row of its days was written since. Sources named in `removed_sources` are left out: the configuration says why.

    Raises LakeError without clean_sales.
    """
    lake, accepted = project.lake, _accepted(project.lake)
    current = lake.version("clean_sales")
    if accepted is None or accepted == current:
        return None
    since = lake.first_change("clean_sales", accepted)
    if since is None:
        return None
    removed = {*project.settings.removed_sources}
    named = {one.source for one in read_register(lake) if {one.name, one.source} & removed}
    chosen = (pl.col("date") >= since) & ~pl.col("source").is_in([*named])
    try:
        before = lake.read("clean_sales", accepted, chosen)
    except LakeError:  # somebody vacuumed
        return None
    return jump_of(before.lazy(), lake.scan("clean_sales").filter(chosen))


def accept_past_days(project: Project) -> None:
    """Accepts clean_sales as it is now. Raises LakeError without it, or where it cannot be written."""
    lake = project.lake
    lake.notes("clean_sales")
    if _accepted(lake) != lake.version("clean_sales"):
        row = {"clean_sales": lake.version("clean_sales"), "at": now()}
        lake.replace(TABLE, pl.DataFrame([row], schema={"clean_sales": pl.Int64, "at": pl.Datetime("us", "UTC")}))


def _accepted(lake: Lake) -> int | None:
    """The version of clean_sales that was last accepted."""
    return lake.read(TABLE)["clean_sales"].item() if lake.exists(TABLE) else None
