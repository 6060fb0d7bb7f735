"""A FastAPI endpoint that does nothing."""

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Asked(BaseModel):
    store_id: str


@app.post("/noop")
async def noop(asked: Asked) -> dict[str, str]:
    return {"store_id": asked.store_id}
