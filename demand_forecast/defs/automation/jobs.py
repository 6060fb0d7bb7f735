"""The jobs: the whole graph, and the nightly path that forecasts with the champion without training."""

import dagster as dg

WHOLE_GRAPH = "whole_graph"
NIGHTLY = "nightly"
RECONCILE = "reconcile"
PROVING = dg.AssetSelection.groups("models", "evaluation")
RECONCILING = dg.AssetSelection.assets("reconciliation")

whole_graph = dg.define_asset_job(
    WHOLE_GRAPH,
    selection=dg.AssetSelection.all() - RECONCILING,
    description="From what has arrived to trained, compared and promoted models, a forecast, orders and a Bento.",
)
nightly = dg.define_asset_job(
    NIGHTLY,
    selection=dg.AssetSelection.all() - PROVING - RECONCILING,
    description="From what has arrived to a forecast by the champion, a reorder plan and a Bento; no training.",
)
reconcile = dg.define_asset_job(
    RECONCILE,
    selection=RECONCILING,
    description="Compares all that lies in the sources with what the lake holds, and collects the difference.",
)
