"""The sample retailer: six stores, sixty products and three years of sales, with the faults of real data."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from demand_forecast.sources.sample import catalogue, mess, plan, retailer, write

SEED = 2026


@dataclass(frozen=True)
class Sample:
    """The retailer's frames.

    `sales`: date, store_id, product_id, units, price, a row per clean line, before anything went wrong.
    `prices`, `calendar`, `products`, `stores`, `stock`: as the files have them.
    `reports` (file, line, text) and `ledger` (line, then a sale's columns as text): the sales as they arrive.
    `truth`: store_id, product_id, date, demand, sales, in_stock, a row per day on which a product was on sale.
    `faults`: kind, source, file, line, store_id, product_id, date; line is null for a fault of a whole file.
    """

    sales: pl.DataFrame
    prices: pl.DataFrame
    calendar: pl.DataFrame
    products: pl.DataFrame
    stores: pl.DataFrame
    stock: pl.DataFrame
    reports: pl.DataFrame
    ledger: pl.DataFrame
    truth: pl.DataFrame
    faults: pl.DataFrame


def generate(seed: int = SEED) -> Sample:
    """The retailer that `seed` gives; touches no disk."""
    rng = np.random.default_rng(seed)
    prices = plan.draw_plan(rng)
    trade = retailer.draw_trade(prices, rng)
    sales = retailer.sales_lines(trade, prices, rng)
    stock = retailer.stock_rows(trade, rng)
    arrived = mess.spoil(sales, rng)
    return Sample(
        sales=sales,
        prices=plan.price_rows(prices),
        calendar=catalogue.calendar(),
        products=catalogue.products().select("SKU", "Name", "Department", "Category", "Brand", "Launched"),
        stores=catalogue.stores().select("Store", "City", "Region", "Format", "Size"),
        stock=stock,
        reports=arrived.reports,
        ledger=arrived.ledger,
        truth=retailer.truth_rows(trade),
        faults=arrived.faults,
    )


def write_sample(folder: Path, seed: int = SEED, truth: Path | None = None) -> None:
    """Writes the retailer's landing files and ledger into `folder`, over those of the same name.

    `truth`: the folder for what really happened, which no pipeline should be shown; None: not written.
    """
    sample = generate(seed)
    landing = folder / "landing"
    write.write_reports(landing / "sales", sample.reports)
    write.write_csv(landing / "products.csv", sample.products)
    write.write_csv(landing / "stores.csv", sample.stores)
    write.write_csv(landing / "plan" / "prices.csv", sample.prices)
    write.write_csv(landing / "plan" / "calendar.csv", sample.calendar)
    write.write_stock(landing / "stock", sample.stock)
    write.write_ledger(folder / "ledger.sqlite", sample.ledger)
    if truth:
        write.write_truth(truth, sample.truth, sample.faults, retailer.effects())
