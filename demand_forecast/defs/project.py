"""The retailer that this code location serves: its settings, and the resource by which assets reach its data."""

from contextlib import suppress
from datetime import date, datetime, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import polars as pl

import demand_forecast.domain
from demand_forecast.defs.configuration import open_settings
from demand_forecast.domain.demand.calendar import Calendar, Frequency, calendar_of
from demand_forecast.domain.demand.periods import Recognised, recognise
from demand_forecast.lake.tables import Lake, LakeError
from demand_forecast.settings import Settings
from demand_forecast.sources.collecting.identity import settle
from demand_forecast.sources.collecting.index import KNOWN, add_known, known_sales
from demand_forecast.sources.landing import Landing
from demand_forecast.sources.register import REGISTER, KnownSource, Register, as_held
from demand_forecast.tracking.registry import Tracking
from demand_forecast.workspace.home import Home


@cache
def settings_of(config: str) -> Settings:
    return open_settings(config)


class Project(dg.ConfigurableResource):
    """One retailer: its settings, its lake, its model registry."""

    config: str  # path of the configuration file

    @property
    def settings(self) -> Settings:
        return settings_of(self.config)

    @property
    def frequency(self) -> Frequency:
        """The retailer's frequency: as daily_demand was made, before the first as the rows that arrived are dated."""
        lake, said = self.lake, self.settings.frequency
        noted = lake.notes("daily_demand").get("frequency", "") if lake.exists("daily_demand") else ""
        if noted.split(" ")[0] == said:
            return noted
        if said == "daily" or not lake.exists("raw_sales"):
            return said
        return self.recognise(lake.scan("raw_sales").group_by(date="day").agg(rows=pl.len()).collect()).calendar.code

    def recognise(self, days: pl.DataFrame) -> Recognised:
        """How the retailer keeps its weeks or months; `days`: `date, rows` of its sales."""
        names = (source.sales.columns.get("date") for source in self.settings.all_sources if source.sales)
        return recognise(days, self.settings, tuple(name for name in names if isinstance(name, str)))

    @property
    def calendar(self) -> Calendar:
        return calendar_of(self.frequency)

    @property
    def held_settings(self) -> Settings:
        """The settings with every source under the name by which raw_sales has its rows."""
        return as_held(self.settings, read_register(self.lake))

    @property
    def home(self) -> Home:
        return Home(self.settings.root)

    @property
    def lake(self) -> Lake:
        return Lake(self.home.lake)

    def landing(self) -> Landing:
        """What was learned about landing files until now."""
        return Landing(self.home.landing)

    @property
    def tracking(self) -> Tracking:
        return self._tracking(self.settings.name)

    @property
    def group_tracking(self) -> Tracking:
        """The models of groups of series, registered beside those of series."""
        return self._tracking(f"{self.settings.name}_groups")

    def _tracking(self, name: str) -> Tracking:
        home = self.home
        uri = self.settings.tracking_uri or f"sqlite:///{home.mlflow / 'mlflow.db'}"
        return Tracking(uri, home.mlflow / "artifacts", name)


@cache
def code_version() -> str:
    """A hash of the code that makes tables and models: other code, other content."""
    files = sorted(Path(demand_forecast.domain.__file__).parent.rglob("*.py"))
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def recipe(*parts: object) -> str:
    """A hash of how a table is made: by this code, with `parts`."""
    return sha256(repr((code_version(), *parts)).encode()).hexdigest()[:16]


def first_sales_day(settings: Settings) -> date:
    """First partition of raw_sales: `history_start`, else what the first run found, else a year ago."""
    today = datetime.now(ZoneInfo(settings.automation.timezone)).date()
    return settings.history_start or Home(settings.root).read_history_start() or today - timedelta(days=365)


def known_deliveries(lake: Lake) -> pl.DataFrame:
    """What raw_sales holds: one row per file (or table), day and content, with the columns `KNOWN`.

    Kept in the table raw_deliveries with the version of raw_sales that it was made of: only rows added since are read.
    Raises LakeError where raw_sales cannot be read.
    """
    version = lake.version("raw_sales")
    if version is None:
        return pl.DataFrame(schema=KNOWN)
    made_of = lake.notes(DELIVERIES).get("raw_sales") if lake.exists(DELIVERIES) else None
    if made_of == str(version):
        return lake.read(DELIVERIES)
    added = lake.added_since("raw_sales", int(made_of)) if made_of else None
    known = (
        known_sales(lake.scan("raw_sales")) if added is None else add_known(lake.read(DELIVERIES), known_sales(added))
    )
    with suppress(LakeError):  # another process was first; what is not kept now is read next time
        lake.replace(DELIVERIES, known, {"raw_sales": str(version)})
    return known


def read_register(lake: Lake) -> Register:
    """The table raw_sources; empty before the first collection. Raises LakeError where it cannot be read."""
    return [KnownSource(*row) for row in lake.read(SOURCES).select(*REGISTER).rows()] if lake.exists(SOURCES) else []


def settle_sources(project: "Project", known: pl.DataFrame, landing: Landing) -> Settings:
    """Writes the table raw_sources as the configuration has the sources now; gives `held_settings` by it.

    Raises SourceError where nobody says what a new source is to one that is gone, LakeError.
    """
    register = read_register(project.lake)
    settled = settle(project.settings, register, known, landing)
    project.lake.replace(SOURCES, pl.DataFrame(settled, schema=REGISTER, orient="row"))
    return as_held(project.settings, settled)


DELIVERIES = "raw_deliveries"
SOURCES = "raw_sources"
SETTINGS = open_settings()
SALES_DAYS = dg.DailyPartitionsDefinition(
    start_date=datetime.combine(first_sales_day(SETTINGS), datetime.min.time()),
    timezone=SETTINGS.automation.timezone,
)


def all_closed_days() -> tuple[date, date]:
    """First and last day that have a partition: days that are over, from the start of history; where there is none
    yet, that start and the day before it."""
    first, last = SALES_DAYS.start.date(), SALES_DAYS.get_last_partition_key()
    return first, date.fromisoformat(last) if last else first - timedelta(days=1)
