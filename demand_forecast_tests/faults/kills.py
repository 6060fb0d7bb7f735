"""Nights killed at random moments: `python -m demand_forecast_tests.faults.kills --kills 50 --seed 2026`."""

import argparse
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import dagster as dg
import polars as pl
from polars.testing import assert_frame_equal

from demand_forecast.domain.cleaning.schemas import CONTRACTS, violations
from demand_forecast.lake.tables import Lake
from demand_forecast.publishing.package import CURRENT, read_package
from demand_forecast.tracking.ledger import PromotionLedger
from demand_forecast.workspace.home import Home
from demand_forecast_tests.behaviour.conftest import COLUMNS, MONDAY, Shopkeeper, csv, files_source, sales_rows

SHOPS = {shop: ["apple", "bread", "cheese", "dates"] for shop in ("North", "South", "West")}
DAYS, PLANNED = 70, 100
HORIZON = 7
SERIES = ["store_id", "product_id"]
FORECAST_ROW = [*SERIES, "forecast_origin", "horizon"]
KEYS = {
    "raw_sales": ["source", "file", "line", "content_hash"],
    "clean_sales": ["source", "file", "line"],
    "rejected_sales": ["source", "file", "line", "content_hash"],
    "daily_demand": [*SERIES, "date"],
    "first_sales": SERIES,
    "demand_features": [*FORECAST_ROW, "training"],
    "forecast_features": FORECAST_ROW,
    "forecast_plan": [*SERIES, "date"],
    "new_product_features": FORECAST_ROW,
    "demand_forecast": FORECAST_ROW,
    "published_forecasts": [*FORECAST_ROW, "role"],
    "reorder_plan": SERIES,
    "series_overview": SERIES,
}
COMPARED = sorted(KEYS.keys() - {"demand_features"})
BENTO_PARTS = ("bento.yaml", "src/package/current.json", "src/demand_forecast/service/service.py")
OF_A_RUN = pl.col("^(arrived_at|model_version)$")
SUCCEEDED = dg.DagsterEventType.RUN_SUCCESS.value  # PIPELINE_SUCCESS
START_UP, BETWEEN, FINISH = "(start-up)", "(between steps)", "(finish)"


@dataclass(frozen=True)
class Night:
    """What happens to the sources before it, and the command that follows."""

    name: str
    job: str
    happens: Callable[[Shopkeeper], None]


def day(number: int) -> date:
    return MONDAY + timedelta(days=number)


def doubled(number: int, place: int) -> bool:
    """Whether the plan promises the item's promotion on that day, which doubles its sales."""
    return (number * 5 + place * 3) % 11 < 3


def report(retailer: Shopkeeper, number: int, change: Callable[[int], int] = lambda units: units) -> None:
    """The day's report from the tills, each number of units as `change` makes it."""
    lines = []
    for row in sales_rows(1, SHOPS, day(number), seed=number):
        moment, shop, item, units, price = row.split(",")
        sold = int(units) * (2 if doubled(number, SHOPS[shop].index(item)) else 1)
        lines.append(f"{moment},{shop},{item},{change(sold)},{price}")
    retailer.write(f"sales/{day(number)}.csv", csv(lines))


def opened(retailer: Shopkeeper) -> None:
    """Seventy days of reports, the plan of a hundred, what is in stock, and the configuration."""
    for number in range(DAYS):
        report(retailer, number)
    items = next(iter(SHOPS.values()))
    plan = [f"{day(n)},{item},{int(doubled(n, place))}" for n in range(PLANNED) for place, item in enumerate(items)]
    retailer.write("plan.csv", csv(plan, "date,product_id,promo"))
    stock(retailer, DAYS - 1)
    source = files_source(
        sales={"path": "sales/*", "report": r"\d{4}-\d{2}-\d{2}(_late)?", "columns": COLUMNS},
        plan={"path": "plan.csv"},
        stock={"path": "stock.csv"},
    )
    retailer.configure(source=source, covariates={"known_future": ["promo"]})


def stock(retailer: Shopkeeper, number: int) -> None:
    rows = [
        f"{day(number)},{shop},{item},{1 - place % 2 / 2},{20 + place}"
        for shop in SHOPS
        for place, item in enumerate(SHOPS[shop])
    ]
    retailer.write("stock.csv", csv(rows, "date,store_id,product_id,in_stock,on_hand"))


def a_new_day(retailer: Shopkeeper) -> None:
    report(retailer, DAYS)


def a_correction_and_a_new_day(retailer: Shopkeeper) -> None:
    report(retailer, DAYS - 5, lambda units: units + 3)
    report(retailer, DAYS + 1)
    stock(retailer, DAYS + 1)


def late_rows_and_bad_ones(retailer: Shopkeeper) -> None:
    late = day(DAYS - 9)
    retailer.write(f"sales/{late}_late.csv", csv([f"{late},North,apple,4,2.5", f"{late},South,dates,x,2.5"]))
    report(retailer, DAYS + 2)


def twice_as_many(retailer: Shopkeeper) -> None:
    report(retailer, DAYS + 3, lambda units: 2 * units)


def a_new_product_and_a_correction(retailer: Shopkeeper) -> None:
    report(retailer, DAYS + 2, lambda units: units + 1)
    new = day(DAYS + 4)
    report(retailer, DAYS + 4)
    retailer.write(f"sales/{new}_late.csv", csv([f"{new},West,figs,6,4.5"]))


NIGHTS = (
    Night("the first run", "run", opened),
    Night("a new day", "night", a_new_day),
    Night("a correction and a new day", "run", a_correction_and_a_new_day),
    Night("late rows and bad ones", "night", late_rows_and_bad_ones),
    Night("twice as many sales", "run", twice_as_many),
    Night("a new product and a correction", "night", a_new_product_and_a_correction),
)


@dataclass(frozen=True)
class Usual:
    """What a night takes when nobody disturbs it: in all, and each of its steps."""

    seconds: float
    steps: dict[str, float]


@dataclass(frozen=True)
class Kill:
    night: str
    seconds: float
    step: str
    tables: int
    faults: list[str]


@dataclass
class Verdict:
    """What the kills did; `faults` says each thing that was not as it must be."""

    kills: list[Kill] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    compared: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def all_faults(self) -> list[str]:
        return [f"kill in {kill.step}: {fault}" for kill in self.kills for fault in kill.faults] + self.faults

    def compare(self, disturbed: Shopkeeper, reference: Shopkeeper) -> None:
        for name, difference in differences(disturbed, reference).items():
            if difference:
                self.faults.append(f"{name} is not the undisturbed run's: {difference}")
            else:
                self.compared[name] = reference.table(name).height

    def table(self) -> str:
        """For people: kills and faults by step, then what was compared in the end."""
        lines = ["| step that was running | kills | tables read whole | faults |", "|---|--:|--:|--:|"]
        by_step = Counter(kill.step for kill in self.kills)
        for step, count in by_step.most_common():
            mine = [kill for kill in self.kills if kill.step == step]
            lines.append(
                f"| {step} | {count} | {sum(kill.tables for kill in mine)} | {sum(len(kill.faults) for kill in mine)} |"
            )
        tables = sum(kill.tables for kill in self.kills)
        lines.append(
            f"| **{len(by_step)} steps** | **{len(self.kills)}** | **{tables}** | **{len(self.all_faults)}** |"
        )
        equal = ", ".join(f"{name} ({rows:,} rows)" for name, rows in self.compared.items())
        return "\n".join(
            [*lines, "", f"Equal to the undisturbed run's in the end: {equal or 'not compared'}.", *self.all_faults]
        )


def run_nights(
    retailer: Shopkeeper,
    nights: Sequence[Night],
    kills: int,
    random: Random,
    usual: dict[str, Usual],
    said: Callable[[str], None],
) -> Verdict:
    """Each of `nights`, killed its share of `kills` times at moments within its `usual` seconds before it ends."""
    began, verdict, pace = time.monotonic(), Verdict(), 1.0
    for number, night in enumerate(nights):
        night.happens(retailer)
        for turn in range(kills // len(nights) + (number < kills % len(nights))):
            step = random.choice(sorted(usual[night.name].steps)) if turn % 2 else None
            verdict.kills.append(killed(retailer, night, random, usual[night.name], pace, step))
            said(f"{len(verdict.kills):>3} {verdict.kills[-1]}")
        last = time.monotonic()
        verdict.faults += [f"{night.name}: {fault}" for fault in completed(retailer, night.job)]
        pace = (time.monotonic() - last) / usual[night.name].seconds  # how fast the machine is now
    verdict.seconds = time.monotonic() - began
    return verdict


def undisturbed(retailer: Shopkeeper, nights: Sequence[Night]) -> dict[str, Usual]:
    """What each night usually takes."""
    usual = {}
    for night in nights:
        night.happens(retailer)
        before, began = run_logs(retailer), time.monotonic()
        if faults := completed(retailer, night.job):
            raise AssertionError("\n".join(faults))
        usual[night.name] = Usual(time.monotonic() - began, step_seconds(run_logs(retailer) - before))
    return usual


def killed(
    retailer: Shopkeeper, night: Night, random: Random, usual: Usual, pace: float, step: str | None = None
) -> Kill:
    """One attempt that is killed at a random moment of the whole, or of `step`; where it was too quick again."""
    longest = usual.steps[step] if step else pace * usual.seconds
    while True:
        before, attempt, moment = run_logs(retailer), retailer.start(night.job), random.uniform(0, longest)
        while step and attempt.running() and step not in step_times(run_logs(retailer) - before):
            time.sleep(0.02)
        if attempt.running(moment):
            attempt.kill()
            attempt.wait()
            tables, faults = inspect(retailer)
            return Kill(night.name, moment, step_running(run_logs(retailer) - before), tables, faults)
        longest, step = (moment, None) if step is None else (pace * usual.seconds, None)


def completed(retailer: Shopkeeper, job: str) -> list[str]:
    """What is wrong after an attempt that nobody disturbs."""
    outcome = retailer.run(job)
    if outcome.status or "Traceback" in outcome.said:
        return [f"exit status {outcome.status}: {outcome.said}"]
    promotion, live = PromotionLedger(retailer.lake).last_promotion(), retailer.champion()
    served = read_package(home(retailer).serving).info.model_version
    if promotion is None or not live == promotion["to_version"] == served:
        return [f"champion {live}, served {served}, promoted {promotion}"]
    return inspect(retailer)[1]


def home(retailer: Shopkeeper) -> Home:
    return Home(retailer.settings.root)


def run_logs(retailer: Shopkeeper) -> set[Path]:
    return set((home(retailer).dagster / "history" / "runs").glob("????????-*.db"))


def events(logs: set[Path]) -> list[tuple[str, str | None, float]]:
    """Type, step and Unix time of each event in the event logs, in order."""
    found: list[tuple[str, str | None, float]] = []
    for log in logs:
        with closing(sqlite3.connect(f"file:{log}?mode=ro", uri=True)) as database, suppress(sqlite3.OperationalError):
            moment = "(julianday(timestamp) - 2440587.5) * 86400"
            rows = database.execute(f"select dagster_event_type, step_key, {moment} from event_logs order by id")
            found += rows.fetchall()
    return found


def step_times(logs: set[Path]) -> dict[str, list[float]]:
    """When each step has begun and, where it has, ended."""
    times: dict[str, list[float]] = {}
    for kind, step, moment in events(logs):
        if step and kind in ("STEP_START", "STEP_SUCCESS", "STEP_FAILURE"):
            times.setdefault(step, []).append(moment)
    return times


def step_seconds(logs: set[Path]) -> dict[str, float]:
    return {step: times[-1] - times[0] for step, times in step_times(logs).items()}


def step_running(logs: set[Path]) -> str:
    """The step that had begun and not ended in the run that these event logs (none or one) are of."""
    if any(kind == SUCCEEDED for kind, _, _ in events(logs)):
        return FINISH
    times = step_times(logs)
    running = [step for step, moments in times.items() if len(moments) == 1]
    return running[-1] if running else BETWEEN if times else START_UP


def inspect(retailer: Shopkeeper) -> tuple[int, list[str]]:
    """The number of tables, and what is wrong with them, the ledger, the aliases and the serving package."""
    lake, place = retailer.lake, home(retailer)
    tables = sorted(path.parent.name for path in place.lake.glob("*/_delta_log") if lake.exists(path.parent.name))
    faults = [fault for table in tables for fault in table_faults(lake, table)]
    faults += list(registry_faults(retailer)) + list(file_faults(place))
    return len(tables), faults


def table_faults(lake: Lake, name: str) -> list[str]:
    from deltalake import DeltaTable

    try:
        logged = sum(DeltaTable(lake.location(name)).get_add_actions(flatten=True).column("num_records").to_pylist())
        frame = lake.read(name)
    except Exception as error:
        return [f"{name} cannot be read: {type(error).__name__}: {error}"]
    found = [f"{name}: {rule} broken by {rows} rows" for rule, rows in broken_rules(name, frame).items()]
    if logged != frame.height:
        found.append(f"{name}: the log says {logged} rows, there are {frame.height}")
    if name in KEYS and frame.select(KEYS[name]).is_duplicated().any():
        found.append(f"{name}: a key is there twice")
    return found


def broken_rules(name: str, frame: pl.DataFrame) -> dict[str, int]:
    """Of the table's contract, asked of its rows in order: only the days that were made together lie in order."""
    if name not in CONTRACTS:
        return {}
    return violations(name, frame.sort(KEYS[name]) if name in KEYS else frame)


def registry_faults(retailer: Shopkeeper) -> Iterator[str]:
    """The ledger reads; no alias names a version that the ledger does not have."""
    known = {row["to_version"] for row in PromotionLedger(retailer.lake).rows()}
    database = home(retailer).mlflow / "mlflow.db"
    if not database.exists():
        return
    with closing(sqlite3.connect(database)) as registry:
        if not registry.execute("select 1 from sqlite_master where name = 'registered_model_aliases'").fetchone():
            return
        aliases = registry.execute(
            "select alias, version from registered_model_aliases where name = 'demand'"
        ).fetchall()
    yield from (
        f"alias {alias} is at {version}, unknown to the ledger"
        for alias, version in aliases
        if str(version) not in known
    )


def file_faults(place: Home) -> Iterator[str]:
    try:
        place.read_history_start()
        if (place.serving / CURRENT).exists():
            read_package(place.serving)
    except Exception as error:
        yield f"{type(error).__name__}: {error}"
    for bento in place.bentoml.glob("bentos/*/*/"):
        if missing := [name for name in BENTO_PARTS if not (bento / name).is_file()]:
            yield f"Bento {bento.name} lacks {missing}"
    if (place.dagster / "dagster.yaml").exists() and not (place.dagster / "dagster.yaml").read_text():
        yield "dagster.yaml is empty"


def differences(disturbed: Shopkeeper, reference: Shopkeeper) -> dict[str, str]:
    """For each table that is compared in what it differs, "" where it is equal."""
    return {name: _difference(name, disturbed, reference) for name in COMPARED}


def _difference(name: str, disturbed: Shopkeeper, reference: Shopkeeper) -> str:
    found, expected = (retailer.table(name).drop(OF_A_RUN).sort(KEYS[name]) for retailer in (disturbed, reference))
    try:
        assert_frame_equal(found, expected, check_column_order=False)
    except AssertionError as error:
        return str(error)
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--folder", type=Path, help="where to keep both retailers; left out: nowhere")
    given = parser.parse_args()
    os.environ.update({"OMP_NUM_THREADS": "1", "DEMAND_FORECAST_AUTOMATION__SETTLE_SECONDS": "0"})
    with TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        disturbed, reference = Shopkeeper(folder / "disturbed"), Shopkeeper(folder / "reference")
        usual = undisturbed(reference, NIGHTS)
        print("undisturbed:", ", ".join(f"{name} {night.seconds:.0f} s" for name, night in usual.items()), flush=True)
        verdict = run_nights(
            disturbed, NIGHTS, given.kills, Random(given.seed), usual, lambda text: print(text, flush=True)
        )
        verdict.compare(disturbed, reference)
    print(f"\nSeed {given.seed}, {len(NIGHTS)} nights, {verdict.seconds / 60:.0f} minutes.\n\n{verdict.table()}")
    if verdict.all_faults:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
