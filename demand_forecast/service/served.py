"""A serving package in use: verified, its forecast in memory, its model beside it for what is not published."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from demand_forecast.domain.features import ContractError, kind_of
from demand_forecast.domain.models import ForecastModel, ModelError, load_model
from demand_forecast.domain.tables import SERIES
from demand_forecast.service.problems import Problem
from demand_forecast.service.published import Arm, Numbers, PublishedForecast, numbers_of
from demand_forecast.tracking.package import FEATURES, Package, PackageError, SeriesTable

SMOKED = 8  # series that the model forecasts again before it is served
TOLERANCE = 1e-6
SEARCHED = "searched"
TABLES = (FEATURES, "planned", "new_products", "series", "history")


class Served:
    """What one package answers from. Raises PackageError where its model does not make the forecast beside it."""

    def __init__(self, package: Package, arm: Arm = "champion") -> None:
        self.package, self.arm = package, arm
        self.info = package.info
        self.published = PublishedForecast(package, arm)
        try:
            self.model: ForecastModel = load_model(package.model_folder)
            self.model.contract.features()
        except (ModelError, ContractError) as error:
            raise PackageError(f"serving package {package.path}: {error}") from error
        self.tables = {name: found for name in TABLES if (found := package.table(name))}
        overview = self.tables.get("series")
        self.overview = _searchable(overview.all() if overview else None, self.published)
        self.new_kinds = _kinds(self.tables.get("new_products"))
        self.product_attributes = sorted(
            {name for kinds in self.new_kinds.values() for kind in kinds.values() for name in kind}
        )
        self._smoke()

    @property
    def name(self) -> str:
        return self.package.path.name

    def rows_of(self, table: str, series: Sequence[tuple[str, str]]) -> pl.DataFrame:
        """The rows of some series in one of TABLES. Raises Problem 503 where it was not packed, or is gone."""
        if table not in self.tables:
            raise Problem(503, f"package {self.name} was published without {table}; publish again: demand-forecast run")
        try:
            return self.tables[table].of(series)
        except PackageError as error:
            raise Problem(503, str(error)) from None

    def distribution(self, features: pl.DataFrame, rows: Sequence[int]) -> Numbers:
        """The forecast as the model makes it of `features`, aligned as that of the series in `rows` is published."""
        mean = self.model.expected(features) * self.published.alignment[list(rows)].reshape(-1)
        return numbers_of(self.model.distribution(features, mean), len(rows))

    def sold_as(self, kind: Mapping[str, str | None]) -> int:
        """How many series have these attributes."""
        known = [pl.col(name).eq_missing(value) for name, value in kind.items() if name in self.overview.columns]
        return self.overview.filter(known).height if known else 0

    def _smoke(self) -> None:
        """Forecasts a few series again: a model that is not the one of the forecast, or does not work, is found out."""
        place = f"serving package {self.package.path}"
        if FEATURES not in self.tables:
            raise PackageError(f"{place}: no {FEATURES}; publish again: demand-forecast run")
        count = len(self.published.keys)
        rows = sorted({*np.linspace(0, count - 1, min(SMOKED, count)).astype(int).tolist()})
        features = self.tables[FEATURES].of([self.published.keys[row] for row in rows])
        try:
            again = self.distribution(features, rows)
        except (ModelError, ContractError, ValueError) as error:
            raise PackageError(f"{place}: its model does not forecast: {error}") from error
        if not np.allclose(again, self.published.values[rows], rtol=TOLERANCE, atol=TOLERANCE):
            raise PackageError(
                f"{place}: its model forecasts otherwise than its forecast says; publish again: demand-forecast run"
            )


def _kinds(new_products: SeriesTable | None) -> dict[str, dict[str, dict[str, str | None]]]:
    """By store and packed product_id, the attributes of the new products that it stands for."""
    kinds: dict[str, dict[str, dict[str, str | None]]] = {}
    for store_id, product_id in new_products.spans if new_products else ():
        kinds.setdefault(store_id, {})[product_id] = kind_of(product_id)
    return kinds


def _searchable(overview: pl.DataFrame | None, published: PublishedForecast) -> pl.DataFrame:
    """One row per series of the forecast, in its order, with a column of lower-case text to search in."""
    keys = pl.DataFrame(published.keys, schema=list(SERIES), orient="row")
    found = keys if overview is None else keys.join(overview, on=SERIES, how="left", maintain_order="left")
    texts = [name for name, dtype in found.schema.items() if dtype == pl.String]
    return found.with_columns(pl.concat_str(texts, separator=" ", ignore_nulls=True).str.to_lowercase().alias(SEARCHED))
