"""All that one process of the service answers from."""

from dataclasses import dataclass, field

from demand_forecast.service.state.live import Live
from demand_forecast.service.state.model_queue import ModelQueue
from demand_forecast.service.state.prediction_log import PredictionLog


@dataclass
class Worker:
    """The live packages, the log of answers, and the queue for what the model computes on request."""

    live: Live
    log: PredictionLog
    queue: ModelQueue = field(default_factory=ModelQueue)
