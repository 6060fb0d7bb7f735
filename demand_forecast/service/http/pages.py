"""The planner's page at `/` and the API's documentation at `/docs`. Both work offline."""

from pathlib import Path
from typing import Any

import bentoml
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

PAGE = Path(__file__).parents[1] / "page"
FRESH = {"Cache-Control": "no-cache"}  # revalidated each time: a new page must not run with an old script
SWAGGER = ("swagger-ui-bundle.js", "swagger-ui.css")
SWAGGER_FILES = Path(bentoml.__file__).parent / "_internal" / "server" / "static_content"


def add_pages(app: FastAPI) -> None:
    """Adds the pages and their files, which are not in the OpenAPI."""

    @app.get("/", include_in_schema=False)
    async def planner() -> Response:
        return FileResponse(PAGE / "index.html", headers=FRESH)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return FileResponse(PAGE / "docs.html", headers=FRESH)

    @app.get("/docs/{name}", include_in_schema=False)
    async def docs_part(name: str) -> Response:
        if name not in SWAGGER:
            raise HTTPException(404)
        return FileResponse(SWAGGER_FILES / name)

    app.mount("/page", _PageFiles(directory=PAGE))


class _PageFiles(StaticFiles):
    def file_response(self, *arguments: Any, **named: Any) -> Response:
        answer = super().file_response(*arguments, **named)
        answer.headers.update(FRESH)
        return answer
