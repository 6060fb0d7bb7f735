"""A BentoML service that does nothing, as BentoML ships it: what anything served by BentoML costs."""

import os

import bentoml
from pydantic import BaseModel


class Given(BaseModel):  # a dict would cost more
    store_id: str


@bentoml.service(workers=int(os.environ.get("NOOP_WORKERS", "1")))
class NoOp:
    @bentoml.api
    async def noop(self, store_id: str) -> Given:
        return Given(store_id=store_id)
