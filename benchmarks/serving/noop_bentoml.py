"""A BentoML service that does nothing, as BentoML ships it: what anything served by BentoML costs."""

import os

import bentoml


@bentoml.service(workers=int(os.environ.get("NOOP_WORKERS", "1")))
class NoOp:
    @bentoml.api
    async def noop(self, store_id: str) -> dict[str, str]:
        return {"store_id": store_id}
