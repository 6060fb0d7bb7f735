"""`python -m benchmarks.second_day`: a home whose configuration changes again and again."""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from benchmarks.second_day.retailer import Retailer
from demand_forecast.lake.tables import Lake
from demand_forecast.tracking.ledger import PromotionLedger

HERE = Path(__file__).parent
THREADS = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "2"}


class Change(NamedTuple):
    """A change of the configuration, or of files, as its owner would say it."""

    text: str
    make: Callable[[Retailer], object]


def named(name: str, **keys: Any) -> Callable[[Retailer], object]:
    return lambda shop: shop.source.update({"name": name, **keys})


def top(**keys: Any) -> Callable[[Retailer], object]:
    return lambda shop: shop.config.update(keys)


def covariates(**kinds: list[str]) -> Callable[[Retailer], object]:
    return lambda shop: shop.covariates(**kinds)


def _rename_city(shop: Retailer) -> None:
    stores = pl.read_csv(shop.folder / "stores.csv")
    stores.rename({"city": "town"}).write_csv(shop.folder / "stores.csv")
    shop.covariates(static=["department", "town"], known_future=["holiday"])


def _rename_folder(shop: Retailer) -> None:
    (shop.folder / "sales").rename(shop.folder / "tills")
    shop.source["sales"]["path"] = "tills/*.csv"


def _remove_kiosk(shop: Retailer) -> None:
    shop.config["sources"] = [one for one in shop.config["sources"] if one["sales"]["path"] != "kiosk.csv"]


CHANGES = (
    Change("first day", lambda _: None),
    Change("source named", named("shop")),
    Change("folder renamed", _rename_folder),
    Change("a new shop's source put first", Retailer.open_kiosk),
    Change("the new source removed again", _remove_kiosk),
    Change("known future added", covariates(known_future=["promo"])),
    Change("known future swapped", covariates(known_future=["holiday"])),
    Change("static added", covariates(static=["department", "city"], known_future=["holiday"])),
    Change("store column renamed", _rename_city),
    Change("past only added", covariates(static=["department"], known_future=["holiday"], past_only=["visitors"])),
    Change("all covariates removed", covariates()),
    Change("horizon 14 to 28", top(horizon=28)),
    Change("horizon 28 to 14", top(horizon=14)),
    Change("weekly", top(frequency="weekly", horizon=8)),
    Change("daily again", top(frequency="daily", horizon=14)),
    Change("CSV to SQL", Retailer.to_sql),
    Change("SQL said to be renamed", named("ledger", renamed_from="shop")),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.second_day", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("second-day"), help="a folder that does not exist yet")
    parser.add_argument("--only", default="", help="regular expression for the changes to make")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the result table")
    asked = parser.parse_args()
    retailer = Retailer(asked.work.resolve())
    rows: list[dict[str, Any]] = []
    for change in CHANGES:
        if change is not CHANGES[0] and not re.search(asked.only, change.text):
            continue
        change.make(retailer)
        retailer.save()
        for command in ("night", "run") if rows else ("run",):
            rows.append({"change": change.text, **measure(retailer, command)})
            print(rows[-1], flush=True)
    asked.out.mkdir(parents=True, exist_ok=True)
    text = to_markdown(rows)
    (asked.out / "second_day.md").write_text(text + "\n", encoding="utf-8")
    print(f"\n{text}")


def measure(retailer: Retailer, command: str) -> dict[str, Any]:
    """Exit status of one command, its seconds, and what lies in the lake after it."""
    arguments = [sys.executable, "-m", "demand_forecast.cli", command, "--config", str(retailer.file)]
    started = time.monotonic()
    with (retailer.folder / "commands.log").open("a") as log:
        print(f"\n=== {command}\n", file=log, flush=True)
        done = subprocess.run(  # noqa: S603 - our own command
            arguments, env={**os.environ, **THREADS}, stdout=log, stderr=log, check=False
        )
    return {"command": command, "exit": done.returncode, "s": round(time.monotonic() - started), **found(retailer)}


def found(retailer: Retailer) -> dict[str, Any]:
    """Units that count, who is champion, and the forecast that is published."""
    lake = Lake(retailer.folder / "home" / "lake")
    units = lake.scan("clean_sales").select(pl.col("units").sum()).collect().item() if lake.exists("clean_sales") else 0
    promotion = PromotionLedger(lake).last_promotion()
    says = {"units": round(units), "champion": promotion["to_version"] if promotion else "none"}
    if not lake.exists("demand_forecast"):
        return says | {"forecast by": "none"}
    forecast = lake.read("demand_forecast")
    first, last = forecast.select(pl.col("date").min(), pl.col("date").max().alias("last")).row(0)
    days = f"{first} to {last}"
    shown = {"rows": forecast.height, "days": days, "expected": round(forecast["mean"].sum())}
    return says | {"forecast by": "/".join(forecast["model_version"].unique().sort())} | shown


def to_markdown(rows: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, ["---"] * len(names), *([str(row.get(name, "")) for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
