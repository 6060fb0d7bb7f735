"""The days about which the sources say something that the lake does not hold."""

from collections.abc import Collection, Iterable
from datetime import date, timedelta

import polars as pl

from demand_forecast.settings import Settings
from demand_forecast.sources.collecting.batches import batches, read_all
from demand_forecast.sources.collecting.scan import scan_of_sales
from demand_forecast.sources.configured import NamedInput, deliveries, named_inputs
from demand_forecast.sources.days import Days, possible, union
from demand_forecast.sources.delivery import Delivery
from demand_forecast.sources.landing import Landing


def pending_days(
    settings: Settings,
    known: pl.DataFrame,
    landing: Landing | None = None,
    inputs: Iterable[NamedInput] | None = None,
    columns: Collection[str] | None = None,
) -> Days | None:
    """First and last day that have something new (in these `inputs` of sales), None if nothing has. Reads what its file
    hash does not prove known; of a table that was collected before, the days from `automation.ledger_lookback` before
    its newest known day on, or all where the configuration asks for a column that is not among the `columns` held.

    Raises SourceError where a source cannot be read.
    """
    scan = scan_of_sales(settings, known, landing=landing)
    if columns is None or set(scan.columns) <= set(columns):
        scan.lookback = timedelta(days=settings.automation.ledger_lookback)
    spans: list[Days | None] = []
    unsure: list[Delivery] = []
    for delivery in deliveries(settings, "sales", scan.landing, scan.collected.sources, inputs):
        whole = delivery.span() if delivery.span and not scan.collected.has_any_of(delivery) else None
        spans.append(possible(whole, scan.today))
        unsure += [] if spans[-1] else [delivery]
    for batch in batches(unsure, scan):
        spans += [(day, day) for day in batch.new["day"].unique()]
    return union(spans)


def days_not_held(settings: Settings, known: pl.DataFrame, name: str, days: Collection[date]) -> set[date]:
    """Of the `days` that the table of source `name` has, those that the lake lacks, and of the newest ones (see
    `automation.ledger_lookback`) those of which it holds another content. Reads the newest days.

    Raises SourceError where the source cannot be read.
    """
    held = known.filter(source=name)
    newest = held["day"].max()
    if not isinstance(newest, date):
        return set(days)
    window = newest - timedelta(days=settings.automation.ledger_lookback), max(days, default=newest)
    scan = scan_of_sales(settings, held, window, full=True)
    inputs = [one for one in named_inputs(settings, "sales") if one.name == name]
    read_all(deliveries(settings, "sales", scan.landing, inputs=inputs), scan)
    other = {day for groups in scan.groups for day in groups.filter("new")["day"]}
    return {day for day in days if day in other} | {*days}.difference(held["day"])
