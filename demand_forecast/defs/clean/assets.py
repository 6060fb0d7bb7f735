"""Clean sales lines, and every rejected line with its reason; the tables beside them."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date

import dagster as dg
import polars as pl

from demand_forecast.defs.metadata import (
    TABLE_KINDS,
    Metadata,
    declared_columns,
    lake_metadata,
    markdown_table,
    picture,
    recent_days,
)
from demand_forecast.defs.project import Project, read_register, recipe
from demand_forecast.domain.cleaning.inputs import (
    InputReading,
    clean_plan,
    clean_products,
    clean_stock,
    clean_stores,
    left_out,
    require_static,
    unreadable,
)
from demand_forecast.domain.cleaning.rules import ABSURD, NO_CLASSES, rejections_by_reason
from demand_forecast.domain.cleaning.rules import clean_sales as clean
from demand_forecast.domain.cleaning.text import identifier
from demand_forecast.domain.features.launches import product_groups
from demand_forecast.lake.tables import Lake
from demand_forecast.settings import Cleaning
from demand_forecast.sources.configured import date_readings, decimals
from demand_forecast.sources.delivery import InputTable
from demand_forecast.sources.register import readings, standing

IDS = {"clean_products": ("product_id", "unknown_product"), "clean_stores": ("store_id", "unknown_store")}
UNREADABLE = "unreadable"  # the note with a line for each column and file that has cells that cannot be read
TOLD = 20  # such lines
CLEANERS: dict[InputTable, Callable[[pl.DataFrame, InputReading], pl.DataFrame]] = {
    "products": clean_products,
    "stores": clean_stores,
    "plan": clean_plan,
    "stock": clean_stock,
}


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            "clean_sales",
            deps=["raw_sales", "clean_products", "clean_stores"],
            group_name="clean",
            kinds=TABLE_KINDS,
            description="Typed, one row per sales line that counts. Rows in = clean rows + rejected rows.",
        ),
        dg.AssetSpec(
            "rejected_sales",
            deps=["raw_sales", "clean_products", "clean_stores"],
            group_name="clean",
            kinds=TABLE_KINDS,
            description="Every sales line that does not count, as it arrived, with the reason. Nothing is lost.",
        ),
    ]
)
def cleaned_sales(context: dg.AssetExecutionContext, project: Project):  # type: ignore[no-untyped-def]
    lake, how = project.lake, _how(project)
    read = lake.versions(["raw_sales", *IDS])
    since = _first_day_to_clean(project, how)
    if since is None:
        context.log.info("no new row, nothing to clean")
    else:
        kept, rejected = _clean(project, since, read["raw_sales"])
        if since > date.min and _absurd_again(lake, rejected, since):
            since = date.min  # what was absurd may be a level that lasts: its first lines count, too
            kept, rejected = _clean(project, since, read["raw_sales"])
        days = "" if since == date.min else f" from {since} on"
        rows = len(kept) + len(rejected)
        context.log.info(f"{rows:,} rows in{days}, {len(kept):,} clean, {len(rejected):,} rejected")
        notes = {"how": how, "since": str(since)} | {table: str(version) for table, version in read.items()}
        lake.replace_since("rejected_sales", rejected, since, "day")
        lake.replace_since("clean_sales", kept, since, notes=notes)  # last: its notes say how far both have come
    meaning = declared_columns(project.settings.covariates)
    yield dg.MaterializeResult(asset_key="clean_sales", metadata=_clean_metadata(lake, meaning))
    yield dg.MaterializeResult(asset_key="rejected_sales", metadata=_rejected_metadata(lake, meaning))


def _how(project: Project) -> str:
    settings = project.settings
    register = read_register(project.lake)
    reading = readings(settings, register), standing(settings, register).counting
    return recipe(settings.cleaning.model_dump(), reading, settings.covariates.past_only, settings.history_start)


def _first_day_to_clean(project: Project, how: str) -> date | None:
    """The first day whose lines must be cleaned again; None where none must, date.min where all must.

    New lines affect their own days; a product or shop that became known, the days on which it was rejected; a
    cancellation may undo a sale of any day.
    """
    lake = project.lake
    notes = lake.notes("clean_sales") if lake.exists("clean_sales") else {}
    added = lake.added_since("raw_sales", int(notes["raw_sales"])) if notes.get("how") == how else None
    if added is None:
        return date.min
    touched = [added.select(pl.col("day").min()).collect().item()]
    touched += [_first_refused(lake, table, notes[table], project.settings.cleaning) for table in IDS]
    first = min((day for day in touched if day is not None), default=None)
    return date.min if first and project.settings.cleaning.cancellation else first


def _first_refused(lake: Lake, table: str, version: str, cleaning: Cleaning) -> date | None:
    """The first day with a line rejected for an id that was added to `table` since `version`; date.min where an id was
    removed."""
    if str(lake.version(table)) == version:
        return None
    column, reason = IDS[table]
    before, now = lake.read(table, int(version))[column], lake.read(table)[column]
    if before.is_empty() or not before.is_in(now.implode()).all():
        return date.min
    new = now.filter(~now.is_in(before.implode()))
    named = identifier(pl.col(column), cleaning.id_case)
    refused = lake.scan("rejected_sales").filter(pl.col("reason") == reason, named.is_in(new.implode()))
    return refused.select(pl.col("day").min()).collect().item()  # type: ignore[no-any-return]


def _absurd_again(lake: Lake, rejected: pl.DataFrame, since: date) -> bool:
    """Whether a series with absurd lines among `rejected` had some before `since`, too."""
    of_series = ["store_id", "product_id"]
    tonight = rejected.filter(pl.col("reason") == ABSURD).select(of_series).unique()
    if tonight.is_empty():
        return False
    before = lake.scan("rejected_sales").filter(pl.col("reason") == ABSURD, pl.col("day") < since)
    return before.join(tonight.lazy(), on=of_series, how="semi").head(1).collect().height > 0


def _classes(products: pl.DataFrame, static: Sequence[str]) -> pl.DataFrame:
    """`product_id, class` of the finest declared text column of products that groups several."""
    grouping = [name for name in product_groups(products, static) if products[name].n_unique() < len(products)]
    named = products.select("product_id", pl.col(grouping[-1:]).name.map(lambda _: "class"))
    return named.drop_nulls() if grouping else NO_CLASSES


def _clean(project: Project, since: date, version: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    lake, settings = project.lake, project.settings
    require_static(settings.covariates, lake.read("raw_products"), lake.read("raw_stores"))
    products, stores = lake.read("clean_products"), lake.read("clean_stores")
    register = read_register(lake)
    dates, marks = readings(settings, register)
    stand = standing(settings, register)
    return clean(
        lake.scan("raw_sales", version).filter(pl.col("day") >= since),
        cleaning=settings.cleaning,
        products=products["product_id"] if len(products) else None,
        stores=stores["store_id"] if len(stores) else None,
        past_only=settings.covariates.past_only,
        dates=dates,
        decimals=marks,
        families=stand.families,
        withdrawn=stand.withdrawn,
        history_start=settings.history_start,
        before=None if since == date.min else lake.scan("clean_sales").filter(pl.col("date") < since),
        classes=_classes(products, settings.covariates.static),
    )


def _clean_metadata(lake: Lake, meaning: Mapping[str, str]) -> Metadata:
    from demand_forecast.reports.charts.data import rows_by_day

    recent = recent_days(lake, "clean_sales").group_by(day="date").len("rows").collect()
    return {"rows_by_day": picture(rows_by_day(recent))} | lake_metadata(lake, "clean_sales", meaning)


def _rejected_metadata(lake: Lake, meaning: Mapping[str, str]) -> Metadata:
    from demand_forecast.reports.charts.data import rejections_chart

    reasons = rejections_by_reason(lake.scan("rejected_sales").select("reason").collect())
    shown = {
        "reasons": dg.MetadataValue.md(markdown_table(reasons)),
        "rejections": picture(rejections_chart(reasons)),
    }
    return shown | lake_metadata(lake, "rejected_sales", meaning)


def _attribute_asset(name: InputTable, description: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=f"clean_{name}", deps=[f"raw_{name}"], group_name="clean", kinds=TABLE_KINDS, description=description
    )
    def clean_attributes(context: dg.AssetExecutionContext, project: Project) -> dg.MaterializeResult:
        lake, settings, table = project.lake, project.settings, f"clean_{name}"
        reading = InputReading(
            settings.covariates, settings.cleaning, decimals(settings, name), date_readings(settings, name)
        )
        notes = {"raw": str(lake.version(f"raw_{name}")), "how": recipe(reading)}
        if not lake.exists(table) or not notes.items() <= lake.notes(table).items():
            raw = lake.read(f"raw_{name}")
            cleaned = CLEANERS[name](raw, reading)
            lines = [*_told(unreadable(raw, cleaned, reading)), *_told(left_out(name, raw, reading), "is left out")]
            lake.replace(table, cleaned, notes | {UNREADABLE: json.dumps(lines)})
        for line in read_unreadable(lake, table):
            context.log.warning(line)
        return dg.MaterializeResult(metadata=lake_metadata(lake, table, declared_columns(settings.covariates)))

    return clean_attributes


def _told(cells: pl.DataFrame, left_out: str = "") -> Iterator[str]:
    """A line for each column and file: its first cell that cannot be read, and how many more there are."""
    firsts = cells.group_by("column", "file", maintain_order=True).agg(pl.all().first(), more=pl.len() - 1)
    for row in firsts.head(TOLD).iter_rows(named=True):
        said = repr(row["value"]) if row["value"] else "nothing"
        read = f"cannot be read: the row {left_out}" if left_out else "is no number: unknown"
        more = f", as are {row['more']:,} more" if row["more"] else ""
        yield f"{row['column']}: {said} in {row['file']}, line {row['line']}, {read}{more}"
    if len(firsts) > TOLD:
        yield f"and {len(firsts) - TOLD:,} more columns and files"


def read_unreadable(lake: Lake, table: str) -> list[str]:
    """A line for each column and file with cells that could not be read. Raises LakeError without the table."""
    lines: list[str] = json.loads(lake.notes(table).get(UNREADABLE, "[]"))
    return lines


attributes = [
    _attribute_asset("products", "One row per product with its declared static columns."),
    _attribute_asset("stores", "One row per store with its declared static columns."),
    _attribute_asset("plan", "Known ahead: a price holds until the next row, every other column for its date."),
    _attribute_asset("stock", "Share of the day with goods to sell, and units at closing time, where reported."),
]
