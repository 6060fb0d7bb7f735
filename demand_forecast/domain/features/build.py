"""The one builder of features, for training, for the nightly forecast and for the online service.

A row is (series, forecast origin, horizon). The panel has no holes, so the row of any day of a series is arithmetic and
reading it is a gather: no joins. Series are worked through in shards, which bounds memory.
"""

from collections.abc import Sequence

import polars as pl

from demand_forecast.domain.demand.calendar import Calendar
from demand_forecast.domain.demand.exposure import outcome_exposure, outcome_units
from demand_forecast.domain.features.contract import ContractError, FeatureContract
from demand_forecast.domain.features.declaration import Feature, PanelInputs, with_levels
from demand_forecast.domain.features.history import History
from demand_forecast.domain.tables import series_key

SHARD_ROWS = 1_000_000  # of the panel; about 500 MB while its features are computed


def build_features(history: History, rows: pl.DataFrame, contract: FeatureContract) -> pl.DataFrame:
    """`rows` with everything that was known at their forecast origin about their target day, in the same order.

    `rows`: `store_id, product_id, forecast_origin, horizon`, and any other column, which is kept. Adds `date` (the
    target), the contract's columns (float32; Int32 codes for categories; null where not known), `expected_open` (0..1),
    `units` and `exposure`, the share of the time in which they could be sold (null after the history's last day; both 0
    of a day that says nothing of demand).
    Raises ContractError for a series, an origin or a horizon that the history does not have.
    """
    series = history.series.select(*series_key(), "series")
    numbered = rows.join(series, on=series_key(), how="left", maintain_order="left")
    unknown = numbered.filter(pl.col("series").is_null())
    if len(unknown):
        store, product = unknown.select(series_key()).row(0)
        raise ContractError(f"{product} in {store} has no history in daily_demand: nothing is known to forecast from")
    return build_numbered(history.only(numbered["series"]), numbered.drop(series_key()), contract)


def build_numbered(history: History, rows: pl.DataFrame, contract: FeatureContract) -> pl.DataFrame:
    """`build_features` for rows that have the number of their `series` in place of its key. Raises as it does."""
    features = contract.features()
    _covers(history, contract)
    placed = _placed(history, rows.with_row_index("place"), contract.horizon)
    shards = placed.sort("series", "place").partition_by("shard", include_key=False) or [placed.drop("shard")]
    parts = [_build_shard(history, shard, features, contract) for shard in shards]
    others = [name for name in rows.columns if name not in ("series", "forecast_origin", "horizon")]
    return pl.concat(parts).sort("place").select(*_layout(features), *others)


def _layout(features: Sequence[Feature]) -> list[str]:
    names = [feature.name for feature in features if feature.read_at != "row"]
    return [*series_key(), "forecast_origin", "horizon", "date", *names, "expected_open", "units", "exposure"]


def _covers(history: History, contract: FeatureContract) -> None:
    inputs = contract.inputs
    if history.inputs.frequency != inputs.frequency:
        raise ContractError(
            f"the history is {history.inputs.frequency}, the model is {inputs.frequency}: train it again"
        )
    have = {*history.panel.columns, *history.series.columns}
    missing = [name for name in (*inputs.static, *inputs.future, *inputs.past_only) if name not in have]
    if missing:
        raise ContractError(
            f"covariate {missing[0]} is not in the history, the model was trained with it; "
            "declare it under covariates: again, or train the model again"
        )


def _placed(history: History, rows: pl.DataFrame, horizon: int) -> pl.DataFrame:
    """`rows` with their series' columns and the panel rows of their `origin` and `target`."""
    calendar, origin = history.calendar, pl.col("forecast_origin")
    after = calendar.between(pl.col("first"), origin)
    placed = rows.join(history.series, on="series", how="left", maintain_order="left").with_columns(
        pl.col("horizon").cast(pl.Int32), shard=pl.col("start") // SHARD_ROWS, origin=pl.col("start") + after
    )
    known = (after >= 0) & (calendar.dated(origin) == origin) & (origin <= history.last_day)
    outside = placed.filter(~known | ~pl.col("horizon").is_between(1, min(horizon, history.horizon)))
    if len(outside):
        store, product, origin, h = outside.select(*series_key(), "forecast_origin", "horizon").row(0)
        raise ContractError(
            f"{product} in {store}: no features {h} periods after {origin}: the history ends on {history.last_day}, "
            f"the horizon is 1 to {min(horizon, history.horizon)}"
        )
    return placed.with_columns(target=pl.col("origin") + pl.col("horizon"))


def _build_shard(
    history: History, placed: pl.DataFrame, features: Sequence[Feature], contract: FeatureContract
) -> pl.DataFrame:
    panel, placed = _slice(history, placed)
    panel = with_levels(panel, roots(features), history.calendar)
    groups: dict[tuple[str, int], list[Feature]] = {}
    for feature in features:
        groups.setdefault((feature.read_at, feature.ahead), []).append(feature)
    parts = [placed]
    for (read_at, ahead), group in groups.items():
        if read_at not in ("row", "series"):
            source = panel.select(known_ahead(contract.inputs)) if read_at == "target" else panel
            parts.append(read_features(source, group, _index(placed, read_at, ahead, history.calendar)))
    outcome = panel.select("date", outcome_units(), outcome_exposure()).select(pl.all().gather(placed["target"]))
    return _for_its_days(finished(pl.concat([*parts, outcome], how="horizontal"), features, contract), history.calendar)


def _for_its_days(rows: pl.DataFrame, calendar: Calendar) -> pl.DataFrame:
    """`rows` with the base level of a usual period as that of the target's days: a short month sells less."""
    return rows.with_columns((pl.col("base_level") * calendar.length(pl.col("date"))).cast(pl.Float32))


def _slice(history: History, placed: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The panel of the shard's series alone, and the rows placed in it."""
    own = history.series.filter(pl.col("series").is_between(placed["series"].min(), placed["series"].max()))
    start = own["start"][0] if len(own) else 0
    panel = history.panel.slice(start, int(own["rows"].sum()))
    # float64: sums over windows of whole units stay exact, so features do not depend on where the history begins
    panel = panel.with_columns(pl.col(pl.Float32).cast(pl.Float64))
    return panel, placed.with_columns(pl.col("start", "origin", "target") - start)


def known_ahead(inputs: PanelInputs) -> list[str]:
    """The only columns that a feature read at the target can see."""
    price = ["price_planned"] if inputs.price == "known_future" else []
    return ["series", "date", "age", "open_planned", *price, *inputs.future]


def _index(placed: pl.DataFrame, read_at: str, ahead: int, calendar: Calendar) -> pl.Series:
    """The panel row that each row reads; null before the series' history and after the origin."""
    seasons = -(-pl.col("horizon") // calendar.season) * calendar.season
    row = {
        "origin": pl.col("origin"),
        "target": pl.col("target"),
        "last_same_season": pl.col("target") - seasons,
        "last_year": pl.col("target") - calendar.year + ahead,
    }[read_at]
    latest = pl.col("target") if read_at == "target" else pl.col("origin")
    return placed.select(index=pl.when((row >= pl.col("start")) & (row <= latest)).then(row).cast(pl.UInt32))["index"]


def read_features(panel: pl.DataFrame, features: Sequence[Feature], index: pl.Series) -> pl.DataFrame:
    """The features at the panel rows of `index`; what looks at one row of the panel only is computed there alone."""
    narrow = [feature for feature in features if _reads_one_row(feature.expression)]
    rows = panel.select(roots(narrow)).select(pl.all().gather(index))
    rows = rows.select(feature.expression.alias(feature.name) for feature in narrow)
    within = [feature for feature in features if feature not in narrow]
    series = panel.select(feature.expression.over("series").alias(feature.name) for feature in within)
    return pl.concat([rows, series.select(pl.all().gather(index))], how="horizontal")


def _reads_one_row(expression: pl.Expr) -> bool:
    """Whether no part of `expression` looks at another row; polars answers for the outermost part only."""
    return expression.meta.is_row_separable() and all(map(_reads_one_row, expression.meta.pop()))


def roots(features: Sequence[Feature]) -> list[str]:
    """The columns that `features` read."""
    return sorted({name for feature in features for name in feature.expression.meta.root_names()})


def finished(wide: pl.DataFrame, features: Sequence[Feature], contract: FeatureContract) -> pl.DataFrame:
    """`wide`, which holds `features` as they were read, with them as they are kept, and `expected_open`."""
    unknown = [
        pl.coalesce(feature.name, feature.otherwise).alias(feature.name) for feature in features if feature.otherwise
    ]
    relative = [
        (pl.col(feature.name) / pl.col(feature.relative_to)).alias(feature.name)
        for feature in features
        if feature.relative_to
    ]
    opened = pl.coalesce("open_planned", "open_usual", pl.lit(1.0)).cast(pl.Float32).alias("expected_open")
    static = [feature.expression.alias(feature.name) for feature in features if feature.read_at == "series"]
    wide = wide.with_columns(unknown).with_columns(
        *static, *relative, opened, pl.col("units", "exposure").cast(pl.Float32)
    )
    return wide.with_columns(_stored(feature, contract) for feature in features if feature.read_at != "row")


def _stored(feature: Feature, contract: FeatureContract) -> pl.Expr:
    column = pl.col(feature.name)
    if not feature.category:
        number = column.cast(pl.Float32)
        return pl.when(number.is_finite()).then(number).alias(feature.name)
    texts = contract.categories[feature.name]
    return column.cast(pl.String).replace_strict(list(texts), range(len(texts)), default=None, return_dtype=pl.Int32)
