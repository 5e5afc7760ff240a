"""The application: all endpoints, their description, and the page."""

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse, HTMLResponse, Response

from impasto.engine.figures.figure import PICTURES
from impasto.models.version import VERSION
from impasto.server.errors import not_found
from impasto.server.web import (
    description,
    health,
    images,
    inference,
    problems,
    renders,
    results,
    schemas,
    security,
    styles,
    watching,
)
from impasto.server.web.state import State

PAGE = Path(__file__).resolve().parent.parent / "page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


def make_app(server: State) -> Any:
    """Return the ASGI application of a server."""
    app = FastAPI(title="impasto", version=VERSION, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.server = server
    app.state.metrics = health.Metrics(server)
    problems.install(app)
    routers = (
        renders.router, results.router, images.router, watching.router, renders.settings_router, styles.router,
        health.router, inference.router,
    )  # fmt: skip
    for router in routers:
        app.include_router(router)
    _add_description(app, server)
    _add_page(app)
    return security.Security(app, server.config, server.keys)


def _add_description(app: FastAPI, server: State) -> None:
    document = _document(app, with_keys=server.keys.are_required)
    page = description.page(document)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> dict[str, Any]:
        return document

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(page)


def _document(app: FastAPI, *, with_keys: bool) -> dict[str, Any]:
    """Return the OpenAPI description."""
    document = get_openapi(title="impasto", version=VERSION, routes=app.routes, description=description.TEXT)
    components = document.setdefault("components", {}).setdefault("schemas", {})
    template = "#/components/schemas/{model}"
    components["ProblemDetails"] = schemas.ProblemDetails.model_json_schema(ref_template=template)
    error = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
    components["InferenceError"] = error
    for name in ("HTTPValidationError", "ValidationError"):  # this server answers with problem details
        components.pop(name, None)
    operations = {(path, method): item for path, found in document["paths"].items() for method, item in found.items()}
    for operation in operations.values():
        unprocessable = operation["responses"].get("422")
        if unprocessable is not None and "HTTPValidationError" in str(unprocessable):
            del operation["responses"]["422"]
    if with_keys:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        open_paths = set(security.paths_without_key(document["paths"]))
        for (path, _), operation in operations.items():
            if path not in open_paths:
                operation["security"] = [{"key": []}]
    return document


def _add_page(app: FastAPI) -> None:
    """Serve the files of the page: `/` is its index, `/page/NAME` the others."""

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        if not (PAGE / "index.html").is_file():
            return HTMLResponse(description.WELCOME)
        return FileResponse(PAGE / "index.html", media_type=_TYPES[".html"], headers={"cache-control": "no-cache"})

    @app.get("/page/examples/{name}", include_in_schema=False)
    async def example(name: str) -> Response:
        path = PICTURES / name
        if path.parent != PICTURES or path.suffix != ".jpg" or not path.is_file():
            raise not_found("example")
        return FileResponse(path, media_type="image/jpeg", headers={"cache-control": "no-cache"})

    @app.get("/page/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        path = PAGE / name
        if path.parent != PAGE or path.suffix not in _TYPES or not path.is_file():
            raise not_found("file of the page")
        return FileResponse(path, media_type=_TYPES[path.suffix], headers={"cache-control": "no-cache"})
