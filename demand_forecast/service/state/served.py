"""A serving package in use: its forecast in memory, and its model for what is not published."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from demand_forecast.domain.features import ContractError, kind_of
from demand_forecast.domain.models import ForecastModel, ModelError, load_model
from demand_forecast.domain.tables import SERIES
from demand_forecast.publishing.package import FEATURES, Package, PackageError, SeriesTable
from demand_forecast.service.contract.problems import Problem
from demand_forecast.service.state.published_forecast import Arm, Numbers, PublishedForecast, numbers_of

SMOKED = 8  # series that the model forecasts again before the package is served
TOLERANCE = 1e-6
SEARCHED = "searched"
TABLES = (FEATURES, "planned", "new_products", "series", "history")


class Kind(NamedTuple):
    """A kind of new product: the `product_id` under which it is packed, and the number of `series` of that kind (None
    if the package does not have it)."""

    product_id: str
    attributes: dict[str, str | None]
    series: int | None


class Served:
    """One package, loaded and verified. Raises PackageError if its model does not reproduce its forecast."""

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
        new_products = self.tables.get("new_products")
        self.new_product_stores = sorted({store_id for store_id, _ in new_products.spans} if new_products else ())
        self.kinds = _kinds(new_products, self.overview)
        self._smoke()

    @property
    def product_attributes(self) -> list[str]:
        """The attributes that distinguish the kinds of new products."""
        return sorted({name for kind in self.kinds for name in kind.attributes})

    @property
    def name(self) -> str:
        return self.package.path.name

    def rows_of(self, table: str, series: Sequence[tuple[str, str]]) -> pl.DataFrame:
        """The rows of some series in one of TABLES. Raises Problem 503 if the package does not have it, or is gone."""
        if table not in self.tables:
            raise Problem(503, f"package {self.name} was published without {table}; publish again: demand-forecast run")
        try:
            return self.tables[table].of(series)
        except PackageError as error:
            raise Problem(503, str(error)) from None

    def distribution(self, features: pl.DataFrame, rows: Sequence[int]) -> Numbers:
        """The model's forecast from `features` of the series in `rows`, aligned as the published one.

        Shape (rows, numbers, horizon). Raises ModelError, ContractError.
        """
        mean = self.model.expected(features) * self.published.alignment[list(rows)].reshape(-1)
        return numbers_of(self.model.distribution(features, mean), len(rows))

    def _smoke(self) -> None:
        """Forecasts a few series again and compares them with what is published. Raises PackageError."""
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


def _kinds(new_products: SeriesTable | None, overview: pl.DataFrame) -> list[Kind]:
    """The kinds of new products in the package, the same for every store; the most common first."""
    packed = sorted({product_id for _, product_id in new_products.spans} if new_products else ())
    kinds = {product_id: kind_of(product_id) for product_id in packed}
    names = sorted({name for kind in kinds.values() for name in kind})
    known = {*names} <= {*overview.columns}
    counted = overview.group_by(names).len().rows() if known and names else [(len(overview),)]
    series = {tuple(key): count for *key, count in counted}
    found = [
        Kind(product_id, kind, series.get(tuple(kind[name] for name in names), 0) if known else None)
        for product_id, kind in kinds.items()
    ]
    return sorted(found, key=lambda kind: -(kind.series or 0))


def _searchable(overview: pl.DataFrame | None, published: PublishedForecast) -> pl.DataFrame:
    """The overview, one row per series in the order of the forecast, with a column of lower-case text to search."""
    keys = pl.DataFrame(published.keys, schema=list(SERIES), orient="row")
    found = keys if overview is None else keys.join(overview, on=SERIES, how="left", maintain_order="left")
    texts = [name for name, dtype in found.schema.items() if dtype == pl.String]
    return found.with_columns(pl.concat_str(texts, separator=" ", ignore_nulls=True).str.to_lowercase().alias(SEARCHED))
