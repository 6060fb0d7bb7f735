"""The jobs: the whole graph, the nightly path that forecasts with the champion, and the training beside it."""

import dagster as dg

WHOLE_GRAPH = "whole_graph"
COLLECT = "collect"
NIGHTLY = "nightly"
TRAINING = "training"
RECONCILE = "reconcile"
UNFINISHED = [  # statuses of runs
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
PROVING = dg.AssetSelection.assets("demand_features") | dg.AssetSelection.groups("models", "evaluation")
FORECASTING = dg.AssetSelection.assets("forecast_features") | dg.AssetSelection.groups("forecasts", "serving")
RECONCILING = dg.AssetSelection.assets("reconciliation")

whole_graph = dg.define_asset_job(
    WHOLE_GRAPH,
    selection=dg.AssetSelection.all() - RECONCILING,
    description="From what has arrived to trained, compared and promoted models, a forecast, orders and a Bento.",
)
collect = dg.define_asset_job(
    COLLECT,
    selection=dg.AssetSelection.groups("raw", "clean"),
    description="What has arrived, as it arrived and clean. What follows from it is made by the sensor `flow`.",
)
nightly = dg.define_asset_job(
    NIGHTLY,
    selection=dg.AssetSelection.all() - PROVING - RECONCILING,
    description="From what has arrived to a forecast by the champion, a reorder plan and a Bento; no training.",
)
training = dg.define_asset_job(
    TRAINING,
    selection=PROVING | FORECASTING,
    description="New challengers, proven against the champion; then the forecast by whoever won.",
)
reconcile = dg.define_asset_job(
    RECONCILE,
    selection=RECONCILING,
    description="Compares all that lies in the sources with what the lake holds, and collects the difference.",
)
