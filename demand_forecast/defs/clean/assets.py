"""Rows that count, and beside them every row that does not, with its reason."""

from collections.abc import Callable

import dagster as dg
import polars as pl

from demand_forecast.defs.metadata import markdown_table, picture, table_metadata
from demand_forecast.defs.project import Project, today
from demand_forecast.domain.attributes import (
    InputReading,
    clean_plan,
    clean_products,
    clean_stock,
    clean_stores,
    require_static,
)
from demand_forecast.domain.cleaning import clean_sales as clean
from demand_forecast.domain.cleaning import rejections_by_reason
from demand_forecast.sources.collect import InputTable, date_formats, decimals

KINDS = {"polars", "deltalake"}
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
            kinds=KINDS,
            description="Typed, one row per sales line that counts. Rows in = clean rows + rejected rows.",
        ),
        dg.AssetSpec(
            "rejected_sales",
            deps=["raw_sales", "clean_products", "clean_stores"],
            group_name="clean",
            kinds=KINDS,
            description="Every sales line that does not count, as it arrived, with the reason. Nothing is lost.",
        ),
    ]
)
def cleaned_sales(context: dg.AssetExecutionContext, project: Project):  # type: ignore[no-untyped-def]
    from demand_forecast.reports.charts.data import rejections_chart, rows_by_day

    lake, settings = project.lake, project.settings
    require_static(settings.covariates, lake.read("raw_products"), lake.read("raw_stores"))
    products, stores = lake.read("clean_products"), lake.read("clean_stores")
    kept, rejected = clean(
        lake.scan("raw_sales"),
        cleaning=settings.cleaning,
        products=products["product_id"] if len(products) else None,
        stores=stores["store_id"] if len(stores) else None,
        past_only=settings.covariates.past_only,
        date_formats=date_formats(settings),
        decimals=decimals(settings),
        history_start=settings.history_start,
        today=today(settings),
    )
    reasons = rejections_by_reason(rejected)
    context.log.info(f"{len(kept) + len(rejected):,} rows in, {len(kept):,} clean, {len(rejected):,} rejected")
    daily = kept.group_by(day="date").len("rows")
    yield dg.MaterializeResult(
        asset_key="clean_sales",
        metadata=table_metadata(kept, lake.replace("clean_sales", kept))
        | {"rows_in": len(kept) + len(rejected), "rows_by_day": picture(rows_by_day(daily))},
    )
    yield dg.MaterializeResult(
        asset_key="rejected_sales",
        metadata=table_metadata(rejected, lake.replace("rejected_sales", rejected))
        | {"reasons": dg.MetadataValue.md(markdown_table(reasons)), "rejections": picture(rejections_chart(reasons))},
    )


def _attribute_asset(name: InputTable, description: str) -> dg.AssetsDefinition:
    @dg.asset(name=f"clean_{name}", deps=[f"raw_{name}"], group_name="clean", kinds=KINDS, description=description)
    def clean_attributes(project: Project) -> dg.MaterializeResult:
        settings = project.settings
        formats, marks = date_formats(settings, name), decimals(settings, name)
        reading = InputReading(settings.covariates, settings.cleaning, marks, formats)
        frame = CLEANERS[name](project.lake.read(f"raw_{name}"), reading)
        return dg.MaterializeResult(metadata=table_metadata(frame, project.lake.replace(f"clean_{name}", frame)))

    return clean_attributes


attributes = [
    _attribute_asset("products", "One row per product with its declared static columns."),
    _attribute_asset("stores", "One row per store with its declared static columns."),
    _attribute_asset("plan", "Known ahead: a price holds until the next row, every other column for its date."),
    _attribute_asset("stock", "Share of the day with goods to sell, and units at closing time, where reported."),
]
