"""How old a layer may be."""

import dagster as dg

from demand_forecast.definitions import defs


def test_an_old_day_collected_again_makes_no_table_fresh() -> None:
    """The partitioned table has no policy of its own: its newest days are asked for by a check, at the raw deadline."""
    graph = defs().resolve_asset_graph()
    assert graph.get(dg.AssetKey("raw_sales")).freshness_policy is None
    checked = defs().resolve_job_def("arrival_watch").asset_layer
    assert {key.name for key in checked.asset_graph.asset_check_keys} >= {"expected_days_have_arrived"}
    unpartitioned = [key for key in graph.get_all_asset_keys() if key != dg.AssetKey("raw_sales")]
    assert all(graph.get(key).freshness_policy for key in unpartitioned)
