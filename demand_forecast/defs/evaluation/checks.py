"""Checks of the comparison and of the promotion."""

import dagster as dg
import polars as pl

from demand_forecast.defs.project import Project
from demand_forecast.domain.tables import series_key
from demand_forecast.tracking.ledger import PromotionLedger


@dg.asset_check(
    asset="backtest", blocking=True, description="Every candidate forecast the same series and days, none is unknown."
)
def same_rows_for_every_candidate(project: Project) -> dg.AssetCheckResult:
    made = project.lake.scan("backtest")
    key = pl.struct(*series_key(), "forecast_origin", "horizon")
    counts = made.group_by("model").agg(rows=key.n_unique(), unknown=pl.col("mean").is_null().sum()).collect()
    return dg.AssetCheckResult(
        passed=counts["rows"].n_unique() <= 1 and not counts["unknown"].sum(),
        description=", ".join(
            f"{row['model']} {row['rows']:,} rows" for row in counts.sort("model").iter_rows(named=True)
        )
        or "nothing could be compared",
    )


@dg.asset_check(
    asset="promoted_model", blocking=True, description="The champion is the version that the ledger promoted last."
)
def champion_is_in_the_ledger(project: Project) -> dg.AssetCheckResult:
    promotion = PromotionLedger(project.lake).last_promotion()
    champion = project.tracking.champion()
    live, recorded = champion and champion.version, promotion and promotion["to_version"]
    text = f"live: {live or 'none'}; ledger: {recorded or 'none'}"
    return dg.AssetCheckResult(passed=live == recorded, description=text)


@dg.asset_check(
    asset="promoted_model",
    description="The champion is sound and proven. One that serves with reservations is the best there was, or "
    "seasonal naive: a retailer is never left without a forecast. This only warns.",
)
def champion_has_no_reservations(project: Project) -> dg.AssetCheckResult:
    reservations = PromotionLedger(project.lake).reservations()
    return dg.AssetCheckResult(
        passed=not reservations,
        severity=dg.AssetCheckSeverity.WARN,
        description=". ".join(reservations) or "none",
    )
