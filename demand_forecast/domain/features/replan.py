"""Features for a what-if: what the builder would have made of the same days under another plan."""

import polars as pl

from demand_forecast.domain.demand.plan import open_planned
from demand_forecast.domain.features.build import finished, known_ahead, read_features, roots
from demand_forecast.domain.features.contract import ContractError, FeatureContract
from demand_forecast.domain.features.history import History
from demand_forecast.domain.tables import DAY_KEY, series_key

PLANNED = "price_planned"  # as the builder's panel calls a price that is known ahead


def planned_days(history: History) -> pl.DataFrame:
    """What is known ahead of the days around the next forecast: all that a feature of it reads at its target day.

    `store_id, product_id, date, age, open_planned`, `price` where it is planned, and the future covariates (texts as
    String), of every series: from `event_reach` periods before the first forecast day to as many after the last one;
    null where the plan says nothing. A price holds until the next one; where none is planned it is the last one asked.
    """
    calendar, inputs = history.calendar, history.inputs
    days = history.panel.filter(pl.col("date") > calendar.ahead(history.last_day, -calendar.event_reach))
    if inputs.price == "known_future":
        days = days.with_columns(pl.coalesce(PLANNED, "price").alias(PLANNED))
    named = days.join(history.series.select("series", *series_key()), on="series", maintain_order="left")
    known = [name for name in known_ahead(inputs) if name not in ("series", "date")]
    texts = pl.col(inputs.future_category).cast(pl.String)
    return named.select(*DAY_KEY, *known).with_columns(texts).rename({PLANNED: "price"}, strict=False)


def read_plan_again(
    rows: pl.DataFrame, planned: pl.DataFrame, changed: pl.DataFrame, contract: FeatureContract
) -> pl.DataFrame:
    """`rows` as the builder would have made them had the plan said `changed` instead of `planned`.

    `rows`: rows of the next forecast; `planned`: the `planned_days` of their series, all of them; `changed`: the same
    days with other values. A changed price is to be laid on all days until the next one. Where a feature reads the
    same from both, the value is kept to the bit. A price that `contract.inputs.price` says is not `known_future` is in
    neither and changes nothing that a model reads. The price at which an announced product starts is its usual one
    too: see `lay_launch_price`.
    Raises ContractError for days that are not the same, and for a text that the contract does not know.
    """
    planned, changed = (frame.rename({"price": PLANNED}, strict=False) for frame in (planned, changed))
    days = _panel(planned, changed)
    before, after = days[: len(planned)], days[len(planned) :]
    if not after.select(DAY_KEY).equals(before.select(DAY_KEY)):
        raise ContractError("the changed plan has other days than the plan: give every planned day of the series once")
    moved = {name for name in planned.columns if not after[name].equals(before[name])}
    _known_texts(before, after, moved, contract)
    features = [
        feature
        for feature in contract.features()
        if feature.read_at == "target" and not moved.isdisjoint(roots([feature]))
    ]
    if not features:
        return rows
    place = _places(rows, before)
    read = read_features(days, features, pl.concat([place, place + len(before)]))
    old, new = read[: len(rows)], read[len(rows) :]
    made = finished(rows.with_columns(new), features, contract)
    other = new.select(pl.col(name).ne_missing(old[name]) for name in new.columns)
    kept = (made[name].zip_with(other[name], rows[name]) for name in new.columns)
    return rows.with_columns(*kept, made["expected_open"])


def lay_launch_price(
    rows: pl.DataFrame, planned: pl.DataFrame, price: float, contract: FeatureContract
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`rows` and `planned` of products that never sold, as the builder would have made them had the plan said `price`.

    It is the only price that they ever had, so it is the usual and the highest one too. Another price from some later
    day on is laid after, by `read_plan_again`. Without planned prices both stay as they are.
    Raises as `read_plan_again`.
    """
    if "price" not in planned.columns:
        return rows, planned
    launch = pl.lit(price, pl.Float32)
    priced = planned.with_columns(price=launch)
    rows = rows.with_columns(price_usual=launch, price_highest=launch, price_last=launch)
    return read_plan_again(rows, planned, priced, contract), priced


def _panel(planned: pl.DataFrame, changed: pl.DataFrame) -> pl.DataFrame:
    """Both plans one below the other, each sorted, as the builder's panel has them: series numbered, in float64.

    What is changed has the plan's own precision first: a price is as exact as one that was read from a table.
    """
    both = pl.concat([planned, changed.select(planned.columns).cast(planned.schema)])  # type: ignore[arg-type]
    plan = pl.int_range(pl.len()) >= len(planned)
    numbered = both.sort(plan, *DAY_KEY).with_columns(
        pl.col(pl.Float32).cast(pl.Float64), series=pl.struct(plan, *series_key()).rle_id()
    )
    return numbered.with_columns(open_planned())


def _known_texts(before: pl.DataFrame, after: pl.DataFrame, moved: set[str], contract: FeatureContract) -> None:
    for name in moved.intersection(contract.inputs.future_category):
        known = contract.categories[name]
        unknown = set(after[name].drop_nulls()).difference(known, before[name])
        if unknown:
            raise ContractError(f"{name}: {min(unknown)} is not known; known are {', '.join(known) or 'none'}")


def _places(rows: pl.DataFrame, panel: pl.DataFrame) -> pl.Series:
    """The panel row of each row's target day."""
    numbered = panel.select(*DAY_KEY).with_row_index("place")
    places = rows.select(DAY_KEY).join(numbered, on=DAY_KEY, how="left", maintain_order="left")
    if places["place"].null_count():
        store, product, day = places.filter(pl.col("place").is_null()).select(DAY_KEY).row(0)
        raise ContractError(f"{product} in {store}: {day} is not among the planned days")
    return places["place"]
